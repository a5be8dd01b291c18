/// The time that the stream has come to: the latest of the events that were believed. It never goes back.
///
/// As in windows an event that is marked as of the future moves nothing, and one ahead of its record's time moves it no
/// further than that.
struct StreamTime: Sendable {
    /// Since 1970 UTC; nil before the first event.
    private(set) var milliseconds: Int64?

    /// Takes the next batch.
    ///
    /// - Returns: The time that each transaction was scored at; nil: no event was believed so far.
    mutating func advance(_ windowed: WindowedBatch) -> [Int64?] {
        let consumed = windowed.consumed
        var times: [Int64?] = []
        times.reserveCapacity(windowed.count)
        for row in 0..<windowed.count {
            if !windowed.marks[row].contains(.future) {
                let event = consumed.transactions.timestampMilliseconds[row]
                let believed = min(event, consumed.recordMilliseconds(row) ?? .max)
                milliseconds = max(milliseconds ?? believed, believed)
            }
            times.append(milliseconds)
        }
        return times
    }
}
