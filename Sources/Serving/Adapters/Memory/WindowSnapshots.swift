import Logging
import Synchronization

/// Writes windows in memory to a file now and then, always between two batches. Used by the scoring thread.
public final class WindowSnapshots: Sendable {
    private let store: MemoryWindowStore
    private let path: String
    private let interval: Duration
    private let logger: Logger
    private let written = Mutex(ContinuousClock.now)

    public init(_ store: MemoryWindowStore, path: String, intervalSeconds: Int, logger: Logger) {
        self.store = store
        self.path = path
        interval = .seconds(intervalSeconds)
        self.logger = logger
    }

    /// Writes a snapshot if the last one is old enough.
    public func writeIfDue(_ stream: any TransactionStream) {
        guard written.withLock({ ContinuousClock.now - $0 >= interval }) else { return }
        write(stream)
    }

    /// Writes a snapshot. A failure is logged: the older one stays, and serving goes on.
    public func write(_ stream: any TransactionStream) {
        written.withLock { $0 = .now }
        do {
            try store.snapshot(to: path, checkpoint: try (stream as? FileTransactionStream)?.checkpoint ?? [])
        } catch {
            logger.error("windows could not be written", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }
}
