import Kafka
import Testing

@testable import Serving

/// How far partitions have been read, as slices that follow one another.
@Suite struct KafkaAssignmentsTests {
    private let partition = TopicPartition(topic: "in", partition: 3)

    /// A log that does not begin at 0: what came before is gone, and was never in anybody's window. Also where its first
    /// records cannot be read.
    @Test func aPartitionOfWhichNothingWasEverCommittedHasABeginning() {
        let assignments = KafkaAssignments()
        #expect(assignments.position(of: partition) == nil)
        let first = assignments.advance(partition, first: 40, to: 50)
        #expect(first.start == 40 && first.end == 50 && first.isAtBeginning)
        let second = assignments.advance(partition, first: 55, to: 60)
        #expect(second.start == 50 && second.end == 60 && !second.isAtBeginning)
        #expect(assignments.position(of: partition) == 60)
    }

    @Test func aChangeMakesWhatWasReadVoid() {
        let assignments = KafkaAssignments()
        let before = assignments.current
        _ = assignments.advance(partition, first: 40, to: 50)
        assignments.changed(to: nil)
        #expect(assignments.current != before)
        #expect(assignments.position(of: partition) == nil)
        // Nobody is in the group: nothing can be delivered, and nothing is kept.
        #expect(assignments.beginDelivery(assignments.current) == nil)
        assignments.changed(to: nil)
    }
}
