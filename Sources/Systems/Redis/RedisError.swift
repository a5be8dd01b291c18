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

    /// Whether trying again later can help.
    public var isRetryable: Bool {
        switch kind {
        case .unavailable, .timeout, .protocol: true
        case .server(let message): Self.passingCode(of: message) != nil
        }
    }

    /// The code of an error that a server gets over by itself, or another server behind the same address does not have.
    ///
    /// A script's error is wrapped: `ERR Error running script (call to ...): -READONLY You can't write ...`.
    private static func passingCode(of message: String) -> String? {
        // The one passing error without a code of its own.
        if message.hasPrefix("ERR max number of clients") { return "ERR" }
        let first = message.prefix { $0 != " " }
        if let code = passingCodes.first(where: { $0 == first }) { return code }
        guard first == "ERR", message.contains("script") else { return nil }
        return passingCodes.first { message.contains("-\($0) ") }
    }

    /// Starting, failing over, running another script, out of memory or disk.
    private static let passingCodes = [
        "LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOREPLICAS", "OOM",
        "MISCONF",
    ]

    /// Whether a server that answers so is perhaps no longer the one that its address names, as after a failover behind
    /// a virtual address: an old connection still leads to what is a replica now.
    static func asksForNewConnection(_ message: String) -> Bool {
        switch passingCode(of: message) {
        case "READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOREPLICAS": true
        default: false
        }
    }

    public var description: String {
        switch kind {
        case .unavailable(let reason): "Redis at \(address) is not available: \(reason)"
        case .timeout(let milliseconds): "Redis at \(address) did not answer within \(milliseconds) ms"
        case .server(let message): "Redis at \(address) answered: \(message)"
        case .protocol(let reason): "Redis at \(address) sent an answer that makes no sense: \(reason)"
        }
    }
}
