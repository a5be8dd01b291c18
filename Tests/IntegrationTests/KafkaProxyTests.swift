import Foundation
import Kafka
import KafkaProxy
import Testing

/// The proxy does what Kafka does: what the other tests rest on.
@Suite struct KafkaProxyTests {
    /// A member that was taken for silent was fenced as it came back, and its group stood still.
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
        #expect(scene.proxy.duties.removedMembers == 0)
        for consumer in [waits, slow, comes] { consumer.close() }
    }
}
