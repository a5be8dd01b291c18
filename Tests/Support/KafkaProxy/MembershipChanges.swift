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
        func isSettled(after pause: Duration) -> Bool {
            guard waiting > 0, let lastChange else { return true }
            return .now - lastChange > pause
        }
    }

    /// Longer than a group's first rebalance takes.
    private static let firstPause = Duration.milliseconds(400)
    /// Longer than an answer takes. Those that wait may need this member's joining, and a cooperative member joins again as
    /// soon as it is assigned to.
    private static let memberPause = Duration.milliseconds(50)

    private let groups = Mutex<[String: Group]>([:])

    /// Waits until a join may pass.
    func join(_ group: String, isMember: Bool) {
        pass(group, joining: 1, after: isMember ? Self.memberPause : Self.firstPause)
    }

    /// Waits until a leave may pass.
    func leave(_ group: String) { pass(group, joining: 0, after: Self.firstPause) }

    /// A join is answered, or never will be.
    func joinHasEnded(_ group: String) {
        groups.withLock { groups in
            guard let waiting = groups[group]?.waiting else { return }
            groups[group]?.waiting = max(0, waiting - 1)
        }
    }

    private func pass(_ name: String, joining: Int, after pause: Duration) {
        while true {
            let isPassed = groups.withLock { groups in
                var group = groups[name] ?? Group()
                guard group.isSettled(after: pause) else { return false }
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
