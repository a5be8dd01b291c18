/// One change of what is active for a tenant.
public struct ModelChange: Codable, Sendable, Hashable {
    /// nil: the global model.
    public var userID: String?
    /// 1 for a tenant's first change, and so on: of two changes the later one says what is active.
    public var sequence: Int
    /// nil: none was active.
    public var from: Int?
    /// nil: deactivated.
    public var to: Int?
    /// Of the artifact that became active, hexadecimal.
    public var sha256: String?
    public var by: String
    public var reason: String
    /// Epoch milliseconds.
    public var timeMilliseconds: Int64

    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }
}

/// What is active for a tenant.
public struct ActiveModel: Sendable, Hashable {
    public var version: Int
    /// Of the whole artifact.
    public var sha256: ArtifactHash?
    /// Of the change that made it active.
    public var sequence: Int

    public init(version: Int, sha256: ArtifactHash? = nil, sequence: Int = 1) {
        self.version = version
        self.sha256 = sha256
        self.sequence = sequence
    }
}

/// What is to be active for a tenant.
public struct Activation: Sendable, Hashable {
    public var tenant: Tenant
    /// nil: nothing.
    public var version: Int?
    public var sha256: ArtifactHash?
    /// Why; nil: for the reason of the whole change.
    public var reason: String?

    public init(_ tenant: Tenant, version: Int?, sha256: ArtifactHash? = nil, reason: String? = nil) {
        self.tenant = tenant
        self.version = version
        self.sha256 = sha256
        self.reason = reason
    }
}
