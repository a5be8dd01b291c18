import Exact

/// A user's window for people, as of its own last event: no clock is asked, so the same window gives the same words.
///
///     let summary = WindowSummary(window)
///     summary?.sentences.first
///     // "12 payments in the last 30 days, 36.10 on average; the last one at 2026-02-14T11:30:00.000Z"
public struct WindowSummary: Sendable, Hashable {
    /// What happened in one of the four windows.
    public struct Span: Sendable, Hashable {
        public let count: UInt64
        public let sum: Double
        /// nil: there is no event.
        public var mean: Double? { count > 0 ? sum / Double(count) : nil }
    }

    /// How many different ones were seen in 30 d; nobody knows of more than `most`.
    public struct Seen: Sendable, Hashable {
        public let count: Int
        let most: Int

        /// `2 countries`
        fileprivate func text(_ one: String, _ many: String) -> String {
            "\(count < most ? "" : "at least ")\(count) \(count == 1 ? one : many)"
        }
    }

    /// Milliseconds since 1970 UTC.
    public let lastEventMilliseconds: Int64
    public let hour: Span
    public let day: Span
    public let week: Span
    public let month: Span
    public let merchants: Seen
    public let countries: Seen
    public let devices: Seen
    /// Up to the last event, since the beginning of the oldest day that is kept.
    private let seconds: Double

    /// nil: nothing has been folded into the window.
    public init?(_ window: UserWindow) {
        guard let last = window.lastEventMilliseconds else { return nil }
        lastEventMilliseconds = last
        hour = window.span(.hour)
        day = window.span(.day)
        week = window.span(.week)
        month = window.span(.month)
        merchants = window.seen(.merchants)
        countries = window.seen(.countries)
        devices = window.seen(.devices)
        seconds = Double(last - (window.earliestDayMilliseconds ?? last)) / 1_000
    }

    /// What reasons call this user's usual amount, the mean of 30 d; nil: there are too few payments to say.
    public var usualAmount: Double? {
        month.count >= UInt64(OwnUsual.minimumCount) ? month.mean : nil
    }

    /// English, one thing each.
    public var sentences: [String] {
        let last = TimeText.text(lastEventMilliseconds)
        guard let mean = month.mean else {
            // All that is left of a user who has been idle for as long as windows reach.
            return ["the last payment was at \(last); nothing is kept of the 30 days before it"]
        }
        var sentences = [
            "\(payments(month.count)) in the last 30 days, \(money(mean)) on average; the last one at \(last)"
        ]
        if month.count > 1 {
            sentences.append(
                "of them \(part(week)) in the last 7 days, \(part(day)) in the last 24 h, \(part(hour)) in the last hour"
            )
        }
        let pause = OwnUsual.pause(payments: Double(month.count), seconds: seconds)
        if !pause.isNaN {
            sentences.append("one payment in \(FigureText.duration(pause)) is usual for this user")
        }
        let seen = [
            merchants.text("merchant", "merchants"), countries.text("country", "countries"),
            devices.text("device", "devices"),
        ]
        let known = zip([merchants, countries, devices], seen).filter { $0.0.count > 0 }.map(\.1)
        if !known.isEmpty { sentences.append("seen in the last 30 days: \(known.joined(separator: ", "))") }
        return sentences
    }

    private func payments(_ count: UInt64) -> String { count == 1 ? "1 payment" : "\(count) payments" }
    private func money(_ x: Double) -> String { FigureText.money(x) }

    /// `2 (70.00)`
    private func part(_ span: Span) -> String {
        span.count == 0 ? "none" : "\(span.count) (\(money(span.sum)))"
    }
}

extension UserWindow {
    /// A tier as of the last event; every bucket is in reach of it. Summed from the oldest on, as features are.
    fileprivate func span(_ tier: WindowTier) -> WindowSummary.Span {
        let start = (0..<tier.rawValue).reduce(0) { $0 + Int(tierCounts[$1]) }
        var (count, sum) = (UInt64(0), 0.0)
        for bucket in buckets[start..<start + Int(tierCounts[tier.rawValue])] {
            count += UInt64(bucket.count)
            sum += bucket.sum
        }
        return WindowSummary.Span(count: count, sum: sum)
    }

    fileprivate func seen(_ set: RecentSet) -> WindowSummary.Seen {
        WindowSummary.Seen(count: Int(setCounts[set.rawValue]), most: set.capacity)
    }
}
