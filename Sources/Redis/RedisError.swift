import Retrying

/// What went wrong with Redis, where, and whether trying again can help.
public struct RedisError: Retryable, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// No connection could be made, or it broke. A command under way may have been carried out or not.
        case unavailable(String)
        /// No complete answer came in time. The command may have been carried out or not.
        case timeout(milliseconds: Int)
        /// Redis answered with an error: `WRONGTYPE Operation against a key ...`.
        case server(String)
        /// The answer is not one that this command can have.
        case `protocol`(String)
    }

    public let kind: Kind
    /// The server, without its password.
    public let address: String

    public init(_ kind: Kind, address: String) {
        self.kind = kind
        self.address = address
    }

    /// The first word of the server's answer, which names the error: `WRONGTYPE`, `NOSCRIPT`; nil for other kinds.
    public var serverCode: String? {
        guard case .server(let message) = kind else { return nil }
        return String(message.prefix { $0 != " " })
    }

    public var isRetryable: Bool {
        switch kind {
        case .unavailable, .timeout, .protocol: true
        case .server(let message):
            // The one passing error without a code of its own.
            Self.passingCodes.contains(serverCode ?? "") || message.hasPrefix("ERR max number of clients")
        }
    }

    /// Errors that a server gets over by itself: starting, failing over, running another script.
    private static let passingCodes: Set<String> = [
        "LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOREPLICAS",
    ]

    public var description: String {
        switch kind {
        case .unavailable(let reason): "Redis at \(address) is not available: \(reason)"
        case .timeout(let milliseconds): "Redis at \(address) did not answer within \(milliseconds) ms"
        case .server(let message): "Redis at \(address) answered: \(message)"
        case .protocol(let reason): "Redis at \(address) sent an answer that makes no sense: \(reason)"
        }
    }
}
