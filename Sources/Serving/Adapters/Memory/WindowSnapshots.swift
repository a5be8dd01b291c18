import Logging
import Models
import Synchronization

/// Writes windows in memory to a file now and then, always between two batches. Used by the scoring thread.
public final class WindowSnapshots: Sendable {
    private let store: MemoryWindowStore
    private let path: String
    private let interval: Duration
    private let logger: Logger
    private let written = Mutex(ContinuousClock.now)
    private let place: Mutex<[UInt8]>
    /// Held while the file is written.
    private let file = Mutex(())

    /// - Parameter place: What the windows' offsets are of, for a stream that keeps its own checkpoint elsewhere.
    public init(
        _ store: MemoryWindowStore, path: String, intervalSeconds: Int, place: [UInt8] = [], logger: Logger
    ) {
        self.place = Mutex(place)
        self.store = store
        self.path = path
        interval = .seconds(intervalSeconds)
        self.logger = logger
    }

    /// Names another place that the offsets are of.
    public func move(to place: [UInt8]) { self.place.withLock { $0 = place } }

    /// Writes a snapshot if the last one is old enough, or names files that are others now.
    public func writeIfDue(_ stream: any TransactionStream) {
        let isDue = written.withLock { ContinuousClock.now - $0 >= interval }
        if isDue || (stream as? FileTransactionStream)?.isUnsaved == true { write(stream) }
    }

    /// Writes a snapshot. A failure is logged: the older one stays, and serving goes on.
    public func write(_ stream: any TransactionStream) {
        written.withLock { $0 = .now }
        do {
            let files = stream as? FileTransactionStream
            let checkpoint = try files?.checkpoint ?? place.withLock { $0 }
            try file.withLock { _ in try store.snapshot(to: path, checkpoint: checkpoint) }
            files?.noteSaved()
        } catch {
            logger.error("windows could not be written", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    /// Removes a user from the file too, which is otherwise written again only after the next batch, and the copy of a
    /// damaged one that has the user in it.
    ///
    /// - Returns: How many items that were.
    public func erase(userID: String) throws -> Int {
        try file.withLock { _ in
            let copy = MemoryWindowStore()
            var removed = 0
            if let snapshot = try copy.restore(from: path) {
                removed = try copy.remove(userID: userID)
                // Of a damaged one what cannot be read goes as well: the user may be in it.
                if removed > 0 || snapshot.problem != nil {
                    try copy.snapshot(to: path, checkpoint: snapshot.checkpoint)
                }
            }
            // Last, as reading a damaged file makes such a copy.
            if try DamagedCopy.remove(WindowSnapshot.damagedCopy(of: path), naming: userID) { removed += 1 }
            return removed
        }
    }
}
