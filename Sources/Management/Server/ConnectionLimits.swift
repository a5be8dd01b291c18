import Glibc
import NIOCore

/// How many connections the HTTP API holds, and how long each may take over what it does.
public struct ConnectionLimits: Sendable {
    /// At this number a new connection takes the place of the one that has been silent for longest.
    public var maximumConnections = 256
    /// From the connection's beginning to the end of its first request's head.
    public var headTimeoutMilliseconds: Int64 = 10_000
    /// Between an answer and the end of the next request's head.
    public var idleTimeoutMilliseconds: Int64 = 30_000
    /// From the end of a request's head to the end of its body.
    public var bodyTimeoutMilliseconds: Int64 = 30_000
    /// For the client to take a piece of the answer.
    public var answerTimeoutMilliseconds: Int64 = 30_000

    /// File handles that are left to the stream, stores and plugins, whatever the HTTP API would like.
    public static let reservedFileHandles = 512

    public init() {}

    /// At most `connections`, and no more than leaves the reserve to the rest of the process.
    ///
    /// - Parameter fileHandles: What the process may open, see `FileHandles.limit()`.
    public init(connections: Int, fileHandles: Int) {
        maximumConnections = max(8, min(connections, fileHandles - Self.reservedFileHandles))
    }
}

/// The file handles of this process.
public enum FileHandles {
    /// Raises the soft limit to the hard one, and says what it is then.
    public static func raiseLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            // More than a million helps nobody, and some code goes through all numbers there are.
            raised.rlim_cur = min(limit.rlim_max, max(limit.rlim_cur, 1 << 20))
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
