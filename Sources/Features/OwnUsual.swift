/// What is usual for a user, read off the features of their window; NaN where it holds nothing.
struct OwnUsual {
    enum Kind { case count, sum, mean }

    struct Window {
        let words: String
        let seconds: Double
    }

    /// Mean of the amounts of 30 d.
    let amount: Double
    /// Seconds from one payment to the next, on the mean.
    let pause: Double
    /// A second.
    private let count: Double
    private let sum: Double

    /// Of `count_30d` in a row of features; sum and mean follow it.
    static let monthCount = 16
    static let monthSeconds = Double(UserWindow.reachMilliseconds) / 1_000
    /// Fewer payments say nothing of what is usual.
    static let minimumCount = 3.0
    /// In less time nobody shows how often they pay.
    private static let minimumSeconds = 3 * 86_400.0

    /// - Parameters:
    ///   - numeric: A row of `UserWindow.featureCount` features.
    ///   - seconds: How long the window has seen the user, by which what it holds is divided.
    init(_ numeric: UnsafeBufferPointer<Float>, seconds: Double) {
        let payments = Double(numeric[Self.monthCount])
        amount = payments >= Self.minimumCount ? Double(numeric[Self.monthCount + 2]) : .nan
        pause = Self.pause(payments: payments, seconds: seconds)
        count = 1 / pause
        sum = pause.isNaN ? .nan : Double(numeric[Self.monthCount + 1]) / seconds
    }

    /// Seconds from one payment to the next, on the mean; NaN: too little has been seen.
    static func pause(payments: Double, seconds: Double) -> Double {
        payments >= minimumCount && seconds >= minimumSeconds ? seconds / payments : .nan
    }

    /// What `count_24h` and its like usually are; of the 30 d themselves nobody knows.
    func usual(_ kind: Kind, _ window: Window) -> Double {
        guard window.seconds < Self.monthSeconds else { return .nan }
        return switch kind {
        case .count: count * window.seconds
        case .sum: sum * window.seconds
        case .mean: amount
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
        "1h": Window(words: "the hour", seconds: 3_600), "24h": Window(words: "the 24 h", seconds: 86_400),
        "7d": Window(words: "the 7 d", seconds: 7 * 86_400),
        "30d": Window(words: "the 30 d", seconds: monthSeconds),
    ]
}
