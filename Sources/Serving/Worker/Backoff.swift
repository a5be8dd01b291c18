import Retrying

/// Bounded exponential waiting that ends early when asked to.
struct Backoff {
    private let range: ClosedRange<Int>
    private var next: Int

    init(_ milliseconds: ClosedRange<Int>) {
        range = milliseconds
        next = milliseconds.lowerBound
    }

    mutating func reset() { next = range.lowerBound }

    /// Waits for longer than the last time, or until there is a stop.
    mutating func wait(_ stop: StopSignal) {
        let now = next
        next = min(next * 2, range.upperBound)
        stop.wait(.milliseconds(now))
    }
}
