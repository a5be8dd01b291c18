import Foundation

/// For one process.
public final class InProcessModelEvents: ModelEvents, @unchecked Sendable {
    // Safe: `log` and `first` are used only with `condition` locked.
    private let condition = NSCondition()
    private var log: [ModelChange] = []
    /// The place in the stream of `log`'s first change.
    private var first = 0
    private let maximumLength: Int

    /// - Parameter maximumLength: Changes that are kept; a follower that is further behind loses its place.
    public init(maximumLength: Int = 10_000) {
        self.maximumLength = max(1, maximumLength)
    }

    public func publish(_ changes: [ModelChange]) {
        condition.lock()
        defer { condition.unlock() }
        log += changes
        // A half at once, so that a long log is not moved for every change.
        if log.count > maximumLength {
            let excess = log.count - maximumLength / 2
            log.removeFirst(excess)
            first += excess
        }
        condition.broadcast()
    }

    public func erase(_ tenant: Tenant) -> Int {
        condition.lock()
        defer { condition.unlock() }
        let count = log.count { $0.tenant == tenant }
        // Nobody's place is in the stream any more.
        first += log.count + 1
        log = []
        condition.broadcast()
        return count
    }

    public func read(after cursor: String?, waitMilliseconds: Int) throws -> (
        changes: [ModelChange], cursor: String
    ) {
        let deadline = Date(timeIntervalSinceNow: Double(waitMilliseconds) / 1_000)
        condition.lock()
        defer { condition.unlock() }
        let end = first + log.count
        guard let cursor else { return ([], "\(end)") }
        guard let start = Int(cursor), (first...end).contains(start) else { throw ModelEventsError.placeLost }
        while first + log.count == start, condition.wait(until: deadline) {}
        guard start >= first else { throw ModelEventsError.placeLost }
        return (Array(log[(start - first)...]), "\(first + log.count)")
    }
}
