import Crypto
import Hummingbird

/// The key that changing calls need. Without one configured they are refused, not open.
public struct AdminKey: Sendable {
    /// Of the key, so that comparing takes the same time whatever is sent, whatever its length.
    private let digest: SHA256Digest?

    /// - Parameter key: nil or empty: no changing call is allowed.
    public init(_ key: String?) {
        digest = key.flatMap { $0.isEmpty ? nil : SHA256.hash(data: Array($0.utf8)) }
    }

    /// - Throws: `Problem` 401 or 403.
    func check(_ request: Request) throws {
        guard let digest else {
            throw Problem(
                .forbidden, "no-admin-key",
                "changing calls are off: start the service with an admin key (ML_SERVICE_ADMIN_KEY)")
        }
        guard let sent = Self.key(of: request) else {
            throw Problem(
                .unauthorized, "unauthorized",
                "send the admin key as 'Authorization: Bearer KEY' or 'X-Admin-Key: KEY'")
        }
        // Digests are compared in constant time by swift-crypto.
        guard SHA256.hash(data: Array(sent.utf8)) == digest else {
            throw Problem(.unauthorized, "unauthorized", "this is not the admin key")
        }
    }

    private static func key(of request: Request) -> String? {
        if let key = request.headers[.init("X-Admin-Key")!] { return key }
        guard let authorization = request.headers[.authorization] else { return nil }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : nil
    }
}
