import Foundation
import Synchronization

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
        let deadline = ContinuousClock.now + .milliseconds(next)
        next = min(next * 2, range.upperBound)
        while ContinuousClock.now < deadline, !stop.isGiven {
            Thread.sleep(forTimeInterval: 0.02)
        }
    }
}

/// Somebody's word that nothing new is to be begun. Thread-safe.
final class StopSignal: Sendable {
    private let state = Mutex(false)

    var isGiven: Bool { state.withLock { $0 } }

    func give() { state.withLock { $0 = true } }
}
