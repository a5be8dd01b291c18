/// What is usual for a user, read off the features of their window; NaN where it holds nothing.
struct OwnUsual {
    enum Kind { case count, sum, mean }

    struct Window {
        let words: String
        /// Of 30 days.
        let share: Double
    }

    /// Mean of the amounts of 30 d.
    let amount: Double
    /// Seconds from one payment to the next, on the mean of 30 d.
    let pause: Double
    private let count: Double
    private let sum: Double

    /// Of `count_30d` in a row of features; sum and mean follow it.
    static let monthCount = 16
    static let monthSeconds = Double(UserWindow.reachMilliseconds) / 1_000
    /// Fewer payments say nothing of what is usual.
    static let minimumCount = 3.0

    /// - Parameter numeric: A row of `UserWindow.featureCount` features.
    init(_ numeric: UnsafeBufferPointer<Float>) {
        let isKnown = Double(numeric[Self.monthCount]) >= Self.minimumCount
        count = isKnown ? Double(numeric[Self.monthCount]) : .nan
        sum = isKnown ? Double(numeric[Self.monthCount + 1]) : .nan
        amount = isKnown ? Double(numeric[Self.monthCount + 2]) : .nan
        pause = isKnown ? Self.monthSeconds / Double(numeric[Self.monthCount]) : .nan
    }

    /// What `count_24h` and its like usually are; of the 30 d themselves nobody knows.
    func usual(_ kind: Kind, _ window: Window) -> Double {
        switch kind {
        case .count: window.share < 1 ? count * window.share : .nan
        case .sum: window.share < 1 ? sum * window.share : .nan
        case .mean: window.share < 1 ? amount : .nan
        }
    }

    /// What `count_24h` says: a count, in the 24 h.
    static func window(of feature: String) -> (Kind, Window)? {
        let parts = feature.split(separator: "_")
        guard parts.count == 2, let window = windows[String(parts[1])] else { return nil }
        switch parts[0] {
        case "count": return (.count, window)
        case "sum": return (.sum, window)
        case "mean": return (.mean, window)
        default: return nil
        }
    }

    private static let windows = [
        "1h": Window(words: "the hour", share: 1 / 720), "24h": Window(words: "the 24 h", share: 1 / 30),
        "7d": Window(words: "the 7 d", share: 7 / 30), "30d": Window(words: "the 30 d", share: 1),
    ]
}
