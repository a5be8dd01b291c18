/// How far a partition's events have come in time, so that one event dated in the future moves no window.
///
/// A pure function of the records in the order of the partition: their event times and, where the stream knows it, the
/// time at which the stream took each record in. No clock of this machine is asked, so that a replay decides alike.
///
/// An event is in the future when it is more than the skew ahead of both the partition's time and its record's time. It
/// moves nothing then. The partition's time is the latest of the events that are not, and never goes back; an event that
/// is ahead of its record's time moves it no further than that. When `streakLength` records in a row were in the future
/// it is the stream that has moved on, and the earliest of them becomes the partition's time.
struct EventClock: Sendable, Hashable {
    /// Milliseconds since 1970 UTC; nil before the first event.
    private(set) var milliseconds: Int64?
    /// Records in a row that were in the future, up to the last one.
    private var streak: UInt32 = 0
    /// The earliest of them.
    private var streakMilliseconds: Int64 = 0

    /// Many enough that no few forged or broken records move the clock, few enough that a stream which has moved on
    /// (simulated times, a pause in a stream without record times) is followed soon.
    static let streakLength: UInt32 = 16

    init() {}

    /// Takes the partition's next record.
    ///
    /// - Returns: Whether its event is in the future.
    mutating func isFuture(
        eventMilliseconds event: Int64, recordMilliseconds record: Int64?, skewMilliseconds skew: Int64
    ) -> Bool {
        if let reached = reached(by: event, record, skew) {
            milliseconds = max(milliseconds ?? reached, reached)
            streak = 0
            return false
        }
        streakMilliseconds = streak == 0 ? event : min(streakMilliseconds, event)
        streak += 1
        guard streak >= Self.streakLength else { return true }
        milliseconds = max(milliseconds ?? streakMilliseconds, streakMilliseconds)
        streak = 0
        guard event.isAhead(of: milliseconds, by: skew) else {
            milliseconds = max(milliseconds ?? event, event)
            return false
        }
        return true
    }

    /// Whether an event is more than the skew ahead of all before it, or there is none before it.
    func isJump(_ event: Int64, skewMilliseconds skew: Int64) -> Bool {
        milliseconds == nil || event.isAhead(of: milliseconds, by: skew)
    }

    /// What an event says of the partition's time; nil when it is in the future.
    private func reached(by event: Int64, _ record: Int64?, _ skew: Int64) -> Int64? {
        if let record {
            if !event.isAhead(of: record, by: skew) { return min(event, record) }
            return milliseconds == nil || event.isAhead(of: milliseconds, by: skew) ? nil : event
        }
        return event.isAhead(of: milliseconds, by: skew) ? nil : event
    }

    // MARK: - Bytes

    static let encodedSize = 20

    func append(to bytes: inout [UInt8]) {
        bytes.appendWord(milliseconds ?? .min)
        bytes.appendWord(streak)
        bytes.appendWord(streakMilliseconds)
    }

    /// Reads `encodedSize` bytes.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        let time = loadWord(bytes, offset, as: Int64.self)
        milliseconds = time == .min ? nil : time
        streak = min(loadWord(bytes, offset + 8, as: UInt32.self), Self.streakLength - 1)
        streakMilliseconds = loadWord(bytes, offset + 12, as: Int64.self)
    }
}

extension Int64 {
    /// Whether this time is more than `skew` after another one; nothing is after none.
    fileprivate func isAhead(of other: Int64?, by skew: Int64) -> Bool {
        guard let other else { return false }
        let (limit, overflow) = other.addingReportingOverflow(skew)
        return !overflow && self > limit
    }
}
