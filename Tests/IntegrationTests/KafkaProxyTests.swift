import Foundation
import Kafka
import KafkaProxy
import Synchronization
import Testing

/// The proxy does what Kafka does: what the other tests rest on.
@Suite struct KafkaProxyTests {
    /// A member that was taken for silent, by the proxy or by the broker behind it, was fenced as it came back, and its group
    /// stood still.
    @Test func aMemberIsNotSilentWhileItWaitsForOthersToJoin() throws {
        let scene = try StreamScene(
            partitions: 3,
            properties: ["session.timeout.ms": "6000", "heartbeat.interval.ms": "500"])
        let (waits, slow) = (try scene.consumer(), try scene.consumer())
        func poll(_ consumers: [KafkaConsumer], until isDone: () -> Bool) throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while !isDone(), ContinuousClock.now < deadline {
                for consumer in consumers {
                    _ = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 20)
                }
            }
        }
        try poll([waits, slow]) { Set([waits.assignment.count, slow.assignment.count]) == [1, 2] }
        // It joins, and `waits` joins again; `slow` takes longer for it than a session.
        let comes = try scene.consumer()
        let begin = ContinuousClock.now
        try poll([waits, comes]) { ContinuousClock.now - begin > .seconds(9) }
        let all = [waits, slow, comes]
        try poll(all) { all.allSatisfy { $0.assignment.count == 1 } }
        let counts = all.map { $0.assignment.count }
        #expect(counts == [1, 1, 1])
        #expect(scene.proxy.duties.removedMembers == 0)
        for consumer in all { consumer.close() }
    }

    /// The stack's broker answers who waits for a group's first rebalance 300 to 320 ms after the first join. Who joined in
    /// the last of these 20 ms kept it from answering, for ever.
    @Test(arguments: [300, 304, 308, 312, 316])
    func whoJoinsAsARebalanceEndsKeepsNobodyFromItsAnswer(afterMilliseconds: Int) throws {
        let scene = try StreamScene(
            partitions: 2, properties: ["session.timeout.ms": "6000", "heartbeat.interval.ms": "500"])
        let firstJoin = Mutex<ContinuousClock.Instant?>(nil)
        scene.proxy.onRequest { request in
            guard request.call == .joinGroup, request.member.isEmpty else { return .pass }
            let first = firstJoin.withLock { first in
                defer { first = first ?? .now }
                return first
            }
            if let first {
                let rest = first + .milliseconds(afterMilliseconds) - .now
                usleep(UInt32(max(0, rest / .microseconds(1))))
            }
            return .pass
        }
        let workers = [Worker(scene, "a"), Worker(scene, "b")]
        let deadline = ContinuousClock.now + .seconds(30)
        while !workers.allSatisfy(\.isAssigned), .now < deadline {
            for worker in workers { try worker.step() }
        }
        #expect(workers.map(\.isAssigned) == [true, true])
        for worker in workers { worker.leave() }
    }

    /// KIP-447: who does not ask for stable offsets is told the committed one, whatever transaction is about to change it.
    @Test func committedOffsetsAreWithheldOnlyFromWhoAsksForStableOnes() throws {
        let scene = try StreamScene(partitions: 1)
        try scene.fill(["a", "b"])
        let place = TopicPartition(topic: scene.topic, partition: 0)
        let member = try scene.consumer()
        let deadline = ContinuousClock.now + .seconds(60)
        while member.assignment.isEmpty, .now < deadline {
            _ = try member.poll(maximumCount: 1, timeoutMilliseconds: 20)
        }
        let producer = try KafkaProducer(
            settings: scene.settings, transactionalID: scene.name("id"), logger: scene.logger)
        try producer.initTransactions()
        try producer.begin()
        try producer.send(offsets: [place: 1], consumer: member)
        try producer.commit()
        try producer.begin()
        try producer.send(offsets: [place: 2], consumer: member)

        let looks = try KafkaGroup(scene.name("group"), settings: scene.settings, logger: scene.logger)
        #expect(try looks.committedOffsets(topic: scene.topic, partitions: 1) == [0: 1])
        #expect(scene.proxy.duties.unstableOffsets == 0)
        #expect(throws: KafkaError.self) { try member.committed([place], timeoutMilliseconds: 2_000) }
        #expect(scene.proxy.duties.unstableOffsets > 0)
        try producer.commit()
        #expect(try member.committed([place]) == [place: 2])
        member.close()
    }
}
