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

    private struct Key {
        let user: UInt32
        let index: UInt32
        let time: Int64
        let transaction: UInt64
    }

    private func order(_ rows: [HistoryRow]) -> [UInt32] {
        var keys = rows.indices.map { index in
            Key(
                user: rows[index].user, index: UInt32(index), time: rows[index].timestampMilliseconds,
                transaction: rows[index].transaction)
        }
        keys.sort { a, b in
            if a.user != b.user { return a.user < b.user }
            if a.time != b.time { return a.time < b.time }
            if a.transaction != b.transaction { return a.transaction < b.transaction }
            return a.index < b.index
        }
        return keys.map(\.index)
    }
}
