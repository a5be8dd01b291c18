/// With what a server is spoken to in `rediss://`.
public struct RedisTLS: Sendable, Hashable {
    /// PEM file of the authorities that the server's certificate may be of; nil: the system's.
    public var authorities: String?
    /// PEM file of the certificate that this client shows, with its chain; nil: none.
    public var certificate: String?
    /// PEM file of its key.
    public var key: String?

    public init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }
}
