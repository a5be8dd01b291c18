import Glibc
import Synchronization

/// Lets who joins a group and who leaves it pass one after the other.
///
/// The test stack's broker ends a rebalance when the last member has joined, a group's first one 300 ms after its first
/// join, and answers who waits up to 20 ms later. Who joins or leaves in between begins the next rebalance, and those who
/// still wait are never answered: their group stands. Kafka answers all of them at once.
final class MembershipChanges: Sendable {
    private struct Group {
        /// Joins that the broker has seen and not answered.
        var waiting = 0
        /// When a join or a leave last passed.
        var lastChange: ContinuousClock.Instant?

        /// Whether no rebalance can have ended whose members still wait.
        var isSettled: Bool {
            guard waiting > 0, let lastChange else { return true }
            return .now - lastChange > .milliseconds(400)
        }
    }

    private let groups = Mutex<[String: Group]>([:])

    /// Waits until a join may pass. Who is a member joins because of a rebalance, which needs it to end.
    func join(_ group: String, isMember: Bool) { pass(group, joining: 1, atOnce: isMember) }

    func leave(_ group: String) { pass(group, joining: 0, atOnce: false) }

    /// A join is answered, or never will be.
    func joinHasEnded(_ group: String) {
        groups.withLock { groups in
            guard let waiting = groups[group]?.waiting else { return }
            groups[group]?.waiting = max(0, waiting - 1)
        }
    }

    private func pass(_ name: String, joining: Int, atOnce: Bool) {
        while true {
            let isPassed = groups.withLock { groups in
                var group = groups[name] ?? Group()
                guard atOnce || group.isSettled else { return false }
                group.waiting += joining
                group.lastChange = .now
                groups[name] = group
                return true
            }
            if isPassed { return }
            usleep(5_000)
        }
    }
}
