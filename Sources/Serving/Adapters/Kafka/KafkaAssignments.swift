import BatchProtocol
import Foundation
import Kafka

/// Which assignment of partitions is in force, under which generation of the group, and how far each partition
/// has been read under it.
///
/// Thread-safe. `changed` is called by the thread that reads, in the middle of a poll: the group waits for its
/// return, or until it takes this member for dead.
final class KafkaAssignments: @unchecked Sendable {  // every access to `state` holds `condition`
    private struct State {
        var ledger = ReadLedger<TopicPartition>()
        /// This member's place in the group when the partitions came; nil while there are none.
        var group: KafkaGroupMetadata?
        /// Where reading began; absent where nothing was ever committed.
        var committed: [TopicPartition: Int64] = [:]
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
    var current: UInt64 { withState { $0.ledger.assignment } }

    /// Everything read so far and not delivered is void. Waits for a delivery that is under way.
    ///
    /// - Parameter assignment: nil: partitions were given up.
    func changed(to assignment: KafkaAssignment?) {
        condition.lock()
        defer { condition.unlock() }
        state.ledger.assignmentChanged()
        state.group = assignment?.group
        state.committed = assignment?.committed ?? [:]
        while state.isDelivering { condition.wait() }
    }

    /// Keeps an assignment in force until `endDelivery`.
    ///
    /// - Returns: The group's metadata of that assignment, not of now: should the group have moved on without our
    ///   knowing, the broker refuses the old one. nil when the assignment has ended, and then nothing is kept.
    func beginDelivery(_ assignment: UInt64) -> KafkaGroupMetadata? {
        withState { state in
            guard state.ledger.assignment == assignment, let group = state.group, group.isMember else {
                return nil
            }
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
    func position(of partition: TopicPartition) -> Int64? {
        withState { $0.ledger.position(of: partition) ?? $0.committed[partition] }
    }

    /// Reading goes on elsewhere.
    func move(_ partition: TopicPartition, to offset: Int64) {
        withState { $0.ledger.move(partition, to: offset) }
    }

    /// Hands out what lies before `end`.
    ///
    /// - Parameter first: The first offset that was read.
    func advance(_ partition: TopicPartition, first: Int64, to end: Int64) -> PartitionSlice {
        withState { state in
            state.ledger.begin(partition, committed: state.committed[partition], first: first)
            let (start, isBeginning) = state.ledger.advance(partition, first: first, to: end)
            return PartitionSlice(
                source: partition, start: start, end: end, isAtBeginning: isBeginning ? true : nil)
        }
    }
}
