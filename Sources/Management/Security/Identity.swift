/// What a key may be used for.
public enum Scope: String, Sendable, Hashable, CaseIterable, Codable {
    /// Look at models, jobs, users and anomalies.
    case read
    /// Have transactions scored that are not in the stream.
    case score
    /// Say what a transaction turned out to be.
    case label
    /// Begin and cancel training.
    case train
    /// Change which models are active.
    case promote
    /// Remove a user's data.
    case erase
    /// Everything.
    case admin
}

/// Whose key a request came with.
public struct Identity: Sendable, Hashable {
    public let name: String
    public let scopes: Set<Scope>
    /// The key is good for users whose ids begin so, and for nobody else's models; nil: for all.
    public let tenantPrefix: String?

    func allows(_ scope: Scope) -> Bool { scopes.contains(scope) || scopes.contains(.admin) }

    /// - Parameter userID: nil: the global model, or everybody.
    /// - Throws: `Problem` 403.
    func check(userID: String?) throws {
        guard let tenantPrefix else { return }
        guard let userID, userID.utf8.starts(with: tenantPrefix.utf8) else {
            throw Problem(
                .forbidden, "other-tenant",
                "the key of \(name) is for users whose ids begin with '\(tenantPrefix)'")
        }
    }
}
