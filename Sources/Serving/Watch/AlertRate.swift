/// How many of the transactions of the last hour, by event time, were alerts.
///
/// Counts by the minute, sixty of them. What comes late counts in its own minute while that is in reach.
struct AlertRate: Sendable {
    private static let minutes: Int64 = 60
    private static let minuteMilliseconds: Int64 = 60_000

    private var transactions = [Int32](repeating: 0, count: 60)
    private var alerts = [Int32](repeating: 0, count: 60)
    private var newest = Int64.min
    private(set) var transactionCount = 0
    private(set) var alertCount = 0

    mutating func add(timeMilliseconds: Int64, isAlert: Bool) {
        let minute = Self.floored(timeMilliseconds)
        if newest == .min { newest = minute }
        if minute > newest { advance(to: minute) }
        guard minute > newest - Self.minutes else { return }
        let slot = Self.slot(minute)
        transactions[slot] += 1
        transactionCount += 1
        guard isAlert else { return }
        alerts[slot] += 1
        alertCount += 1
    }

    private mutating func advance(to minute: Int64) {
        for passed in 1...min(minute - newest, Self.minutes) {
            let slot = Self.slot(newest + passed)
            transactionCount -= Int(transactions[slot])
            alertCount -= Int(alerts[slot])
            (transactions[slot], alerts[slot]) = (0, 0)
        }
        newest = minute
    }

    private static func slot(_ minute: Int64) -> Int { Int((minute % minutes + minutes) % minutes) }

    private static func floored(_ milliseconds: Int64) -> Int64 {
        let bounded = min(max(milliseconds, -(1 << 46)), 1 << 46)
        return (bounded - (bounded % minuteMilliseconds + minuteMilliseconds) % minuteMilliseconds)
            / minuteMilliseconds
    }
}
