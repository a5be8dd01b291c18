import Features

/// A row of training data: what serving would have computed for this transaction, at its time.
struct PreparedRow {
    let row: HistoryRow
    /// `UserWindow.featureCount` numeric features. Borrowed for the call.
    let features: UnsafeBufferPointer<Float>
}

/// Stage 2: runs the windows over history in event-time order, user by user, with the code that serving runs.
///
/// One window is alive at a time. Rows of one user and moment go by the hash of their transaction's id, so that the
/// result does not depend on how the rows lie in files; the same id at the same moment is the same transaction, and
/// counts once.
struct HistoryFold {
    /// First moment of the range; rows before it only fill the windows.
    let startMilliseconds: Int64

    /// - Parameters:
    ///   - part: Of the history.
    ///   - visit: Called for each row in range, with the user's window before it.
    ///   - endUser: Called after each user that has rows in range.
    func run(
        _ part: HistoryPart, isCancelled: () -> Bool, visit: (PreparedRow, UserWindow) throws -> Void,
        endUser: (UInt32) throws -> Void = { _ in }
    ) throws {
        let rows = part.rows
        let width = ReferencePast.width
        var features = [Float](repeating: 0, count: UserWindow.featureCount)
        var window = UserWindow()
        var previous: HistoryRow?
        var hasVisited = false
        for (place, index) in order(rows).enumerated() {
            if place % 4096 == 0, isCancelled() { throw TrainingError.cancelled }
            let row = rows[Int(index)]
            if let previous {
                if previous.user != row.user {
                    if hasVisited { try endUser(previous.user) }
                    hasVisited = false
                    window = UserWindow()
                } else if previous.timestampMilliseconds == row.timestampMilliseconds,
                    previous.transaction == row.transaction, row.transaction != 0
                {
                    continue
                }
            }
            previous = row
            let event = row.event
            if row.timestampMilliseconds >= startMilliseconds {
                hasVisited = true
                try features.withUnsafeMutableBufferPointer { features in
                    window.writeFeatures(for: event, into: features)
                    if !part.references.isEmpty {
                        let first = UserWindow.referenceRange.lowerBound
                        for place in 0..<width {
                            features[first + place] = part.references[Int(index) * width + place]
                        }
                    }
                    try visit(PreparedRow(row: row, features: UnsafeBufferPointer(features)), window)
                }
            }
            window.fold(event)
        }
        if let previous, hasVisited { try endUser(previous.user) }
    }

    /// The windows after the last row of each user.
    ///
    /// - Parameter body: Is given the user, the window, and how many rows it is of.
    func windows(
        _ rows: [HistoryRow], isCancelled: () -> Bool, _ body: (UInt32, UserWindow, Int) throws -> Void
    ) throws {
        var window = UserWindow()
        var count = 0
        var previous: HistoryRow?
        for (place, index) in order(rows).enumerated() {
            if place % 4096 == 0, isCancelled() { throw TrainingError.cancelled }
            let row = rows[Int(index)]
            if let previous, previous.user != row.user {
                try body(previous.user, window, count)
                (window, count) = (UserWindow(), 0)
            } else if let previous, previous.timestampMilliseconds == row.timestampMilliseconds,
                previous.transaction == row.transaction, row.transaction != 0
            {
                continue
            }
            previous = row
            window.fold(row.event)
            count += 1
        }
        if let previous { try body(previous.user, window, count) }
    }

    /// Rows by user, time, transaction, and their order in the part.
    ///
    /// Files are read day by day, and most are sorted by user and time: of most users the rows come in their order, so
    /// they are dealt out by user first, and sorted only where they are not sorted.
    private func order(_ rows: [HistoryRow]) -> [UInt32] {
        var counts: [UInt32: Int] = [:]
        eachRun(rows) { user, run in counts[user, default: 0] += run.count }
        var ranges: [Range<Int>] = []
        var ends: [UInt32: Int] = [:]
        for (user, count) in counts.sorted(by: { $0.key < $1.key }) {
            let start = ranges.last?.upperBound ?? 0
            ranges.append(start..<start + count)
            ends[user] = start
        }
        var order = [UInt32](repeating: 0, count: rows.count)
        eachRun(rows) { user, run in
            let place = ends[user, default: 0]
            for row in run { order[place + row - run.lowerBound] = UInt32(row) }
            ends[user] = place + run.count
        }
        func precedes(_ a: UInt32, _ b: UInt32) -> Bool {
            let (first, second) = (rows[Int(a)], rows[Int(b)])
            if first.timestampMilliseconds != second.timestampMilliseconds {
                return first.timestampMilliseconds < second.timestampMilliseconds
            }
            if first.transaction != second.transaction { return first.transaction < second.transaction }
            return a < b
        }
        for range in ranges {
            let isSorted = range.dropFirst().allSatisfy { !precedes(order[$0], order[$0 - 1]) }
            if !isSorted { order[range].sort(by: precedes) }
        }
        return order
    }

    /// Visits the rows of one user that follow one another.
    private func eachRun(_ rows: [HistoryRow], _ body: (UInt32, Range<Int>) -> Void) {
        var start = 0
        for row in rows.indices where row + 1 == rows.count || rows[row + 1].user != rows[row].user {
            body(rows[row].user, start..<row + 1)
            start = row + 1
        }
    }
}
