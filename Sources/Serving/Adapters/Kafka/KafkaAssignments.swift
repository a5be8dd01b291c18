import Foundation
import Kafka

/// Which assignment of partitions is in force, under which generation of the group, and how far each partition
/// has been read under it.
///
/// Thread-safe. `changed` is called by the thread that reads, in the middle of a poll: the group waits for its
/// return, or until it takes this member for dead.
final class KafkaAssignments: @unchecked Sendable {  // every access to `state` holds `condition`
    private struct State {
        var number: UInt64 = 1
        /// This member's place in the group when the partitions came; nil while there are none.
        var group: KafkaGroupMetadata?
        /// The offset after the last record handed out; before the first one, where reading begins. Absent while
        /// nothing is committed or read of a partition.
        var positions: [TopicPartition: Int64] = [:]
        var isDelivering = false
    }

    private let condition = NSCondition()
    private var state = State()

    private func withState<Result>(_ body: (inout State) -> Result) -> Result {
        condition.lock()
        defer { condition.unlock() }
        return body(&state)
    }

    /// Counts up with each change.
    var current: UInt64 { withState { $0.number } }

    /// Everything read so far and not delivered is void. Waits for a delivery that is under way.
    ///
    /// - Parameter assignment: nil: partitions were given up.
    func changed(to assignment: KafkaAssignment?) {
        condition.lock()
        defer { condition.unlock() }
        state.number += 1
        state.group = assignment?.group
        state.positions = assignment?.committed ?? [:]
        while state.isDelivering { condition.wait() }
    }

    /// Keeps an assignment in force until `endDelivery`.
    ///
    /// - Returns: The group's metadata of that assignment, not of now: should the group have moved on without our
    ///   knowing, the broker refuses the old one. nil when the assignment has ended, and then nothing is kept.
    func beginDelivery(_ assignment: UInt64) -> KafkaGroupMetadata? {
        withState { state in
            guard state.number == assignment, let group = state.group, group.isMember else { return nil }
            state.isDelivering = true
            return group
        }
    }

    /// Does nothing where no delivery is under way.
    func endDelivery() {
        withState { $0.isDelivering = false }
        condition.broadcast()
    }

    /// Where reading stands in a partition; nil: nothing is committed or read of it.
    func position(of partition: TopicPartition) -> Int64? { withState { $0.positions[partition] } }

    /// Reading goes on elsewhere.
    func move(_ partition: TopicPartition, to offset: Int64) {
        withState { $0.positions[partition] = offset }
    }

    /// Hands out what lies before `end`.
    ///
    /// - Parameter first: The first offset that was read.
    /// - Returns: Where the partition stood.
    func advance(_ partition: TopicPartition, first: Int64, to end: Int64) -> Int64 {
        withState { state in
            defer { state.positions[partition] = max(end, state.positions[partition] ?? end) }
            return min(state.positions[partition] ?? first, first)
        }
    }
}
