/// How many of the transactions that were scored within the last hour of the stream's time were alerts.
///
/// Counts by the minute, sixty of them. A transaction counts in the minute that the stream had come to, whatever its own
/// event says: one that is dated ahead or comes late was scored then, too.
struct AlertRate: Sendable {
    private static let minutes: Int64 = 60
    private static let minuteMilliseconds: Int64 = 60_000

    private var transactions = [Int32](repeating: 0, count: 60)
    private var alerts = [Int32](repeating: 0, count: 60)
    /// nil: nothing was counted.
    private var newest: Int64?
    private(set) var transactionCount = 0
    private(set) var alertCount = 0

    /// - Parameter milliseconds: The stream's time; one before the latest counts as that.
    mutating func add(at milliseconds: Int64, isAlert: Bool) {
        let slot = Self.slot(advance(to: milliseconds))
        transactions[slot] += 1
        transactionCount += 1
        guard isAlert else { return }
        alerts[slot] += 1
        alertCount += 1
    }

    /// Forgets what lies an hour before a time.
    ///
    /// - Returns: The minute that it stands at.
    @discardableResult
    mutating func advance(to milliseconds: Int64) -> Int64 {
        let minute = Self.minute(milliseconds)
        let last = newest ?? minute
        newest = max(last, minute)
        guard minute > last else { return last }
        for passed in 1...min(minute - last, Self.minutes) {
            let slot = Self.slot(last + passed)
            transactionCount -= Int(transactions[slot])
            alertCount -= Int(alerts[slot])
            (transactions[slot], alerts[slot]) = (0, 0)
        }
        return minute
    }

    /// Where the hour begins, milliseconds.
    var start: Int64 { ((newest ?? 0) - Self.minutes + 1) * Self.minuteMilliseconds }

    /// Where the stretch up to now begins that has the most alerts beyond a share of its transactions, milliseconds.
    func start(ofAlertsBeyond share: Double) -> Int64 {
        let newest = newest ?? 0
        var (excess, most, start) = (0.0, -Double.infinity, newest)
        for minute in (newest - Self.minutes + 1...newest).reversed() {
            let slot = Self.slot(minute)
            excess += Double(alerts[slot]) - share * Double(transactions[slot])
            if excess > most { (most, start) = (excess, minute) }
        }
        return start * Self.minuteMilliseconds
    }

    private static func slot(_ minute: Int64) -> Int { Int((minute % minutes + minutes) % minutes) }

    private static func minute(_ milliseconds: Int64) -> Int64 {
        let bounded = min(max(milliseconds, -(1 << 46)), 1 << 46)
        return (bounded - (bounded % minuteMilliseconds + minuteMilliseconds) % minuteMilliseconds)
            / minuteMilliseconds
    }
}
