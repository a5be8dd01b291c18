import Exact
import Features
import Lake
import ObjectStore

/// Users' windows as the lake tells them: for a service that begins without any, or has lost them.
///
/// Events are folded in the order of their times, by the code that serving runs. A stream that brought some of them late
/// folded those in another order: counts, sets, times and places are the same, sums differ in their last bits, by some
/// 1e-12 of their size.
public struct LakeWindows: Sendable {
    public struct Outcome: Sendable, Hashable {
        public var users = 0
        public var transactions = 0
        /// Rows that are no transactions.
        public var skippedRows = 0
        /// First and last event time that was folded, milliseconds since 1970 UTC.
        public var span: ClosedRange<Int64>?
    }

    private let reader: LakeReader
    private let scratch: String
    private let memoryBytes: Int

    /// - Parameters:
    ///   - scratch: A folder for temporary files.
    ///   - memoryBytes: Rows kept in memory; beyond that they go to temporary files.
    ///   - zone: Of times that do not say theirs.
    ///   - badFiles: What to do with files that cannot be read.
    public init(
        lake: any ObjectStore, scratch: String, memoryBytes: Int = 256 << 20, zone: PlaceZone? = nil,
        badFiles: BadFiles = .fail
    ) {
        reader = LakeReader(store: lake, zone: zone).onBadFile(badFiles)
        self.scratch = scratch
        self.memoryBytes = memoryBytes
    }

    /// - Parameters:
    ///   - end: Only events before it are folded, milliseconds since 1970 UTC; nil: all.
    ///   - users: nil: everybody.
    ///   - visit: Called for each user, once.
    /// - Throws: `TrainingError.noData` when the lake has no days before the end.
    public func run(
        before end: Int64?, users: Set<String>? = nil, isCancelled: () -> Bool = { false },
        progress: (Double) -> Void = { _ in }, visit: (String, UserWindow) throws -> Void
    ) throws -> Outcome {
        let endDay = end.map { LakeDay(dayNumber: Int(($0 - 1) / LakeDay.milliseconds)) }
        guard let last = try reader.days().last(where: { $0 <= endDay ?? $0 }) else {
            throw TrainingError.noData("the lake has no transactions before that")
        }
        let first = last.adding(days: -Int(UserWindow.reachMilliseconds / 86_400_000) - 1)
        let scan = HistoryScan(
            reader: reader, days: first...last, warmUpDays: 0,
            userIDs: users, scratch: scratch, memoryBytes: memoryBytes)
        let history = try scan.run(isCancelled: isCancelled) { progress($0 * 0.8) }
        var outcome = Outcome(skippedRows: history.passedOver.count)
        let fold = HistoryFold(startMilliseconds: .max)
        try history.takeAll(
            { part in
                let rows = part.rows.filter { $0.timestampMilliseconds < end ?? .max }
                try fold.windows(rows, isCancelled: isCancelled) { user, window, count in
                    let id = history.users.id(user)
                    guard users?.contains(id) ?? true else { return }
                    outcome.users += 1
                    outcome.transactions += count
                    try visit(id, window)
                }
                for row in rows {
                    let time = row.timestampMilliseconds
                    outcome.span =
                        min(
                            outcome.span?.lowerBound ?? time, time)...max(
                            outcome.span?.upperBound ?? time, time)
                }
            }, progress: { progress(0.8 + 0.2 * $0) })
        return outcome
    }
}
