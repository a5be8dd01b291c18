import Kafka
import Testing

@testable import Serving

/// What one worker can say of partitions that it does not read.
@Suite(.serialized) struct GroupWatchTests {
    @Test func aPartitionThatNobodyReadsIsNamed() throws {
        let scene = try StreamScene(partitions: 2)
        let status = ServingStatus()
        let watch = try GroupWatch(
            try scene.direct, group: scene.name("group"), topic: scene.topic, bound: .seconds(60),
            status: status, logger: scene.logger)
        var progress = GroupProgress()
        let begin = ContinuousClock.now
        func look(_ second: Int) { watch.look(&progress, at: begin + .seconds(second)) }

        look(0)
        try scene.fill((0..<40).map(String.init))
        look(61)
        #expect(status.groupTrouble?.contains("partition 0 for 61 s at offset none of ") == true)
        #expect(status.groupTrouble?.contains("partition 1 for 61 s") == true)

        // A reader comes, and commits what there is in one of the two.
        let consumer = try scene.consumer()
        defer { consumer.close() }
        var read = 0
        var next: [TopicPartition: Int64] = [:]
        let deadline = ContinuousClock.now + .seconds(60)
        while read < 40, .now < deadline {
            let messages = try consumer.poll(maximumCount: 100, timeoutMilliseconds: 100)
            read += messages.count
            next.merge(messages.nextOffsets) { $1 }
        }
        try consumer.commit(next.filter { $0.key.partition == 1 })
        look(120)
        #expect(status.groupTrouble?.contains("partition 0 for 120 s") == true)
        #expect(status.groupTrouble?.contains("partition 1") == false)
        try consumer.commit(next)
        look(121)
        #expect(status.groupTrouble == nil)
    }
}
