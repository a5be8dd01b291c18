import Foundation

/// The connections of one client that have failed lately, by reason: each is said at once, and then once in a while with
/// how often it has come.
///
/// librdkafka holds back what one of its brokers says again and again, but the broker that stands for `bootstrap.servers`
/// it makes anew for each attempt, and that one knows nothing of the attempts before: some 25 lines a second while a
/// cluster is away.
struct FailedConnections {
    /// Between two lines of one reason.
    static let interval = Duration.seconds(30)
    /// A reason that has not come for so long is over once a broker answers: librdkafka tries at least once a second
    /// (`reconnect.backoff.max.ms`).
    static let quiet = Duration.seconds(5)
    /// Brokers times what may be wrong with them; beyond that the one that came least lately goes.
    static let maximumReasons = 64

    /// What is said of a reason that is over, or of which nobody listens any more.
    struct Account: Equatable {
        let text: String
        let times: Int
        let seconds: Int
    }

    private struct Reason {
        let text: String
        let since: ContinuousClock.Instant
        var said: ContinuousClock.Instant
        var last: ContinuousClock.Instant
        var times = 1
        /// Of these, how many came after the last line.
        var withheld = 0
    }

    private var reasons: [String: Reason] = [:]

    var isEmpty: Bool { reasons.isEmpty }
    var times: Int { reasons.values.reduce(0) { $0 + $1.times } }

    /// Takes note of a line of librdkafka's log about a connection.
    ///
    /// - Returns: How often this was so since it was last said, this time included; nil: it is not to be said now.
    mutating func note(_ text: String, at now: ContinuousClock.Instant) -> Int? {
        let key = Self.key(text)
        guard var reason = reasons[key] else {
            if reasons.count >= Self.maximumReasons,
                let oldest = reasons.min(by: { $0.value.last < $1.value.last })
            {
                reasons[oldest.key] = nil
            }
            reasons[key] = Reason(text: text, since: now, said: now, last: now)
            return 1
        }
        reason.last = now
        reason.times += 1
        reason.withheld += 1
        defer { reasons[key] = reason }
        guard now - reason.said >= Self.interval else { return nil }
        defer { (reason.said, reason.withheld) = (now, 0) }
        return reason.withheld
    }

    /// A broker answers.
    ///
    /// - Returns: What is over now, if it was more than once.
    mutating func ended(at now: ContinuousClock.Instant) -> [Account] {
        take { now - $0.last >= Self.quiet }.filter { $0.times > 1 }.map(Self.account)
    }

    /// The client ends.
    ///
    /// - Returns: What has come since it was last said.
    mutating func remaining() -> [Account] {
        take { _ in true }.filter { $0.withheld > 0 }.map(Self.account)
    }

    private mutating func take(where isTaken: (Reason) -> Bool) -> [Reason] {
        let taken = reasons.filter { isTaken($0.value) }
        for key in taken.keys { reasons[key] = nil }
        return taken.values.sorted { $0.since < $1.since }
    }

    private static func account(_ reason: Reason) -> Account {
        Account(
            text: reason.text, times: reason.times,
            seconds: Int(((reason.last - reason.since) / .seconds(1)).rounded()))
    }

    /// Lines are alike that differ in the thread that says it, in how long the attempt took, and in how many librdkafka
    /// has held back: `[thrd:h:1/bootstrap]: h:1/bootstrap: Connect to ... failed: ... (after 3ms in state CONNECT)`.
    private static func key(_ text: String) -> String {
        var line = text[...]
        if line.hasPrefix("[thrd:"), let end = line.range(of: "]: ") { line = line[end.upperBound...] }
        if let end = line.range(of: " (after ", options: .backwards) { line = line[..<end.lowerBound] }
        return String(line)
    }
}
