import Kafka
import Synchronization

/// Which assignment of partitions is in force, under which generation of the group, and how far each partition
/// has been read under it.
///
/// Thread-safe. `changed` is called by the thread that reads, in the middle of a poll: the group waits for its
/// return, or until it takes this member for dead.
final class KafkaAssignments: Sendable {
    private struct State {
        var number: UInt64 = 1
        /// This member's place in the group when the partitions came; nil while there are none.
        var group: KafkaGroupMetadata?
        /// The offset after the last record handed out; before the first one, where reading begins. Absent while
        /// nothing is committed or read of a partition.
        var positions: [TopicPartition: Int64] = [:]
    }

    private let state = Mutex(State())
    private let delivery = Mutex(())

    /// Counts up with each change.
    var current: UInt64 { state.withLock { $0.number } }

    /// Everything read so far and not delivered is void. Waits for a delivery that is under way.
    ///
    /// - Parameter assignment: nil: partitions were given up.
    func changed(to assignment: KafkaAssignment?) {
        state.withLock { state in
            state.number += 1
            state.group = assignment?.group
            state.positions = assignment?.committed ?? [:]
        }
        delivery.withLock { _ in }
    }

    /// Runs `body` if the assignment is still in force, and keeps it in force meanwhile.
    ///
    /// - Parameter body: Is given the group's metadata of that assignment, not of now: should the group have
    ///   moved on without our knowing, the broker refuses the old one.
    /// - Returns: nil when the assignment has ended.
    func delivering<Result>(
        _ assignment: UInt64, _ body: (KafkaGroupMetadata) throws -> Result
    ) rethrows -> Result? {
        try delivery.withLock { _ in
            let group = state.withLock { $0.number == assignment ? $0.group : nil }
            guard let group, group.isMember else { return nil }
            return try body(group)
        }
    }

    /// Where reading stands in a partition; nil: nothing is committed or read of it.
    func position(of partition: TopicPartition) -> Int64? { state.withLock { $0.positions[partition] } }

    /// Reading goes on elsewhere.
    func move(_ partition: TopicPartition, to offset: Int64) {
        state.withLock { $0.positions[partition] = offset }
    }

    /// Hands out what lies before `end`.
    ///
    /// - Parameter first: The first offset that was read.
    /// - Returns: Where the partition stood.
    func advance(_ partition: TopicPartition, first: Int64, to end: Int64) -> Int64 {
        state.withLock { state in
            defer { state.positions[partition] = max(end, state.positions[partition] ?? end) }
            return min(state.positions[partition] ?? first, first)
        }
    }
}
