import Dispatch
import Synchronization

/// Somebody's word that nothing new is to be begun. Thread-safe; it is given once and stays.
public final class StopSignal: Sendable {
    private let state = Mutex(false)
    /// One that was given is passed on by each that it has woken.
    private let given = DispatchSemaphore(value: 0)

    public init() {}

    public var isGiven: Bool { state.withLock { $0 } }

    public func give() {
        state.withLock { $0 = true }
        given.signal()
    }

    /// Blocks for so long, or until there is a stop.
    public func wait(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let interval = Double(seconds) + Double(attoseconds) * 1e-18
        if given.wait(timeout: .now() + interval) == .success { given.signal() }
    }

    /// Does something at once and then every so often, until there is a stop. Blocks.
    ///
    /// - Parameter interval: From the end of one time to the beginning of the next.
    public func untilGiven(every interval: Duration, _ body: () -> Void) {
        while !isGiven {
            body()
            wait(interval)
        }
    }
}
