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
        let order = order(part.rows)
        try part.rows.withUnsafeBufferPointer { rows in
            try withUnsafeTemporaryAllocation(of: Float.self, capacity: UserWindow.featureCount) { features in
                // Of this closure alone: a window that others could change would be copied for each row.
                var window = UserWindow()
                var previous: Int?
                var hasVisited = false
                for (place, index) in order.enumerated() {
                    if place % 4096 == 0, isCancelled() { throw TrainingError.cancelled }
                    let index = Int(index)
                    if let previous {
                        if rows[previous].user != rows[index].user {
                            if hasVisited { try endUser(rows[previous].user) }
                            hasVisited = false
                            // Its memory serves the next user.
                            window.clear()
                        } else if Self.isRepeated(rows[index], after: rows[previous]) {
                            continue
                        }
                    }
                    previous = index
                    let event = rows[index].event
                    if rows[index].timestampMilliseconds >= startMilliseconds {
                        hasVisited = true
                        window.writeFeatures(for: event, into: features)
                        Self.writeReferences(of: index, in: part, into: features)
                        try visit(
                            PreparedRow(row: rows[index], features: UnsafeBufferPointer(features)), window)
                    }
                    window.fold(event)
                }
                if let previous, hasVisited { try endUser(rows[previous].user) }
            }
        }
    }

    /// What reference tables said of a row, where it was asked for.
    private static func writeReferences(
        of row: Int, in part: HistoryPart, into features: UnsafeMutableBufferPointer<Float>
    ) {
        guard !part.references.isEmpty else { return }
        let width = ReferencePast.width
        for (number, place) in UserWindow.referencePlaces.enumerated() {
            features[place] = part.references[row * width + number]
        }
    }

    /// Of one user: the same transaction, which counts once.
    @inline(__always)
    private static func isRepeated(_ row: HistoryRow, after previous: HistoryRow) -> Bool {
        previous.timestampMilliseconds == row.timestampMilliseconds
            && previous.transaction == row.transaction && row.transaction != 0
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
            } else if let previous, Self.isRepeated(row, after: previous) {
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
        rows.withUnsafeBufferPointer { rows in
            var users = Users()
            var runs: [Run] = []
            var start = 0
            for row in rows.indices where row + 1 == rows.count || rows[row + 1].user != rows[row].user {
                let count = row + 1 - start
                runs.append(Run(user: users.add(rows[row].user, count), start: start, count: count))
                start = row + 1
            }
            let ranges = users.ranges
            var ends = ranges.map(\.lowerBound)
            var order = [UInt32](repeating: 0, count: rows.count)
            for run in runs {
                for offset in 0..<run.count {
                    order[ends[run.user] + offset] = UInt32(run.start + offset)
                }
                ends[run.user] += run.count
            }
            func precedes(_ a: UInt32, _ b: UInt32) -> Bool {
                let (first, second) = (Int(a), Int(b))
                if rows[first].timestampMilliseconds != rows[second].timestampMilliseconds {
                    return rows[first].timestampMilliseconds < rows[second].timestampMilliseconds
                }
                if rows[first].transaction != rows[second].transaction {
                    return rows[first].transaction < rows[second].transaction
                }
                return a < b
            }
            for range in ranges {
                let isSorted = range.dropFirst().allSatisfy { !precedes(order[$0], order[$0 - 1]) }
                if !isSorted { order[range].sort(by: precedes) }
            }
            return order
        }
    }

    /// Rows of one user that follow one another.
    private struct Run {
        /// In `Users`.
        let user: Int
        let start: Int
        let count: Int
    }

    /// The users of some rows, in the order in which they come, and how many rows each has.
    private struct Users {
        private var places: [UInt32: Int] = [:]
        private var numbers: [UInt32] = []
        private var counts: [Int] = []

        /// - Returns: The user's place.
        mutating func add(_ number: UInt32, _ count: Int) -> Int {
            if let place = places[number] {
                counts[place] += count
                return place
            }
            places[number] = numbers.count
            numbers.append(number)
            counts.append(count)
            return numbers.count - 1
        }

        /// For each place where its rows go, where users go by their numbers.
        var ranges: [Range<Int>] {
            var ranges = [Range<Int>](repeating: 0..<0, count: numbers.count)
            var start = 0
            for place in numbers.indices.sorted(by: { numbers[$0] < numbers[$1] }) {
                ranges[place] = start..<start + counts[place]
                start += counts[place]
            }
            return ranges
        }
    }
}
