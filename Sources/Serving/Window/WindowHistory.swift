import Synchronization

/// Fills windows with what happened before a stream began, once, before its first transaction is folded.
///
/// The first transaction says where that is: what came before its day (UTC) is history, all else comes with the stream. So
/// the same windows come out whenever the stream is read, and in whatever batches.
public final class WindowHistory: Sendable {
    private enum State {
        case unread
        /// The stream is read from its beginning, and no transaction has come.
        case beforeFirst
        case done
    }

    private let fill: @Sendable (any WindowStore, Int64) throws -> Void
    private let state = Mutex(State.unread)

    /// - Parameter fill: Puts into a store what happened before a moment, milliseconds since 1970 UTC.
    public init(_ fill: @escaping @Sendable (any WindowStore, Int64) throws -> Void) { self.fill = fill }

    /// Called with each batch before its windows are read. Whoever else reads the stream waits meanwhile: what is filled in
    /// beside it would undo what it has counted.
    ///
    /// - Throws: What filling throws; the next batch tries again.
    public func precede(_ batch: ConsumedBatch, in windows: any WindowStore) throws {
        try state.withLock { state in
            if case .unread = state {
                let isBeginning = try batch.slices.allSatisfy(\.isAtBeginning) && windows.partitions().isEmpty
                state = isBeginning ? .beforeFirst : .done
            }
            guard case .beforeFirst = state, let first = batch.firstMilliseconds else { return }
            try fill(windows, first.startOfDay)
            state = .done
        }
    }
}

extension Int64 {
    /// The midnight (UTC) before a time in milliseconds since 1970 UTC, also before 1970.
    var startOfDay: Int64 {
        let day: Int64 = 86_400_000
        return self - ((self % day) + day) % day
    }
}

extension ConsumedBatch {
    /// The earliest of the times with which the slices begin; nil: there is no transaction.
    fileprivate var firstMilliseconds: Int64? {
        var begun: Set<Int32> = []
        return (0..<count).filter { begun.insert(sliceIndex[$0]).inserted }
            .map { transactions.timestampMilliseconds[$0] }.min()
    }
}
