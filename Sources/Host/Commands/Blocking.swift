import NIOPosix

/// Runs work that blocks on a thread of NIO's pool, never on Swift's.
func blocking<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await NIOThreadPool.singleton.runIfActive(work)
}
