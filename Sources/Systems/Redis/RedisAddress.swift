import Foundation

/// Where a Redis server is, and how to log in there.
public struct RedisAddress: Sendable, Hashable, CustomStringConvertible {
    public enum Endpoint: Sendable, Hashable {
        case tcp(host: String, port: Int32)
        case unix(path: String)
    }

    public let endpoint: Endpoint
    public let user: String?
    public let password: String?
    /// Number of the logical database.
    public let database: Int
    /// nil: in the clear.
    public var tls: RedisTLS?

    /// Reads `redis://[[user]:password@]host[:port][/database]`, `rediss://` for the same over TLS, or `unix://[[user]:password@]/path[?db=number]`.
    ///
    /// User, password and path may hold percent-encoded characters.
    ///
    /// - Throws: `RedisAddressError`, which never repeats the password.
    public init(parsing text: String) throws(RedisAddressError) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased() else {
            throw RedisAddressError(
                "it is no URL (characters such as # % / @ in a password must be percent-encoded)")
        }
        user = parts.user.flatMap { $0.isEmpty ? nil : $0 }
        password = parts.password.flatMap { $0.isEmpty ? nil : $0 }
        if user != nil, password == nil {
            throw RedisAddressError(
                "it has a user but no password; a password alone is written redis://:password@host")
        }
        switch scheme {
        case "redis", "rediss":
            tls = scheme == "rediss" ? RedisTLS() : nil
            endpoint = try Self.tcpEndpoint(of: parts)
            let path = parts.path.drop { $0 == "/" }
            database = try Self.database(path.isEmpty ? nil : String(path))
        case "unix":
            endpoint = try Self.unixEndpoint(of: parts)
            database = try Self.database(parts.queryItems?.first { $0.name == "db" }?.value)
        default:
            throw RedisAddressError("the scheme is '\(scheme)', not redis, rediss or unix")
        }
    }

    private static func tcpEndpoint(of parts: URLComponents) throws(RedisAddressError) -> Endpoint {
        guard var host = parts.host, !host.isEmpty else { throw RedisAddressError("it has no host") }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard let port = Int32(exactly: parts.port ?? 6379), (1...65535).contains(port) else {
            throw RedisAddressError("its port is not between 1 and 65535")
        }
        return .tcp(host: host, port: port)
    }

    private static func unixEndpoint(of parts: URLComponents) throws(RedisAddressError) -> Endpoint {
        guard parts.host?.isEmpty ?? true, parts.path.hasPrefix("/") else {
            throw RedisAddressError("a socket's path starts with a slash: unix:///run/redis.sock")
        }
        // hiredis cuts a longer path off without a word, and would connect to another socket.
        guard parts.path.utf8.count <= 107 else {
            throw RedisAddressError("a socket's path has at most 107 bytes")
        }
        return .unix(path: parts.path)
    }

    private static func database(_ text: String?) throws(RedisAddressError) -> Int {
        guard let text else { return 0 }
        guard let number = Int(text), (0...65535).contains(number) else {
            throw RedisAddressError("'\(text)' is no database number")
        }
        return number
    }

    /// The address without user and password.
    public var description: String {
        switch endpoint {
        case .tcp(let host, let port):
            "\(tls == nil ? "redis" : "rediss")://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unix(let path): "unix://\(path)" + (database == 0 ? "" : "?db=\(database)")
        }
    }
}

/// A Redis address that cannot be used.
public struct RedisAddressError: Error, Sendable, Hashable, CustomStringConvertible {
    public let reason: String

    init(_ reason: String) { self.reason = reason }

    public var description: String {
        "the Redis address is wrong: \(reason); write redis://:password@host:6379/0 or unix:///path/to.sock"
    }
}
