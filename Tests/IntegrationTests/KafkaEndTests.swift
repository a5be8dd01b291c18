import Foundation
import Kafka
import KafkaProxy
import RecordedLog
import Testing

/// How clients of librdkafka end.
@Suite struct KafkaEndTests {
    /// librdkafka frees the text of a transactional producer's failure when it ends, and again when the answer to what it
    /// has sent comes in that moment and says that it is fenced: the process ends by "double free or corruption". The
    /// moment is too short to be hit at will; that nothing waits for an answer any more when it begins is shown by
    /// librdkafka's own log.
    @Test func aProducerThatEndsHasNothingOnItsWay() throws {
        let scene = try StreamScene(partitions: 1)
        let log = RecordedLog()
        var settings = scene.settings
        settings.extra["debug"] = "queue,generic"
        scene.proxy.onRequest { $0.call == .produce ? .hold : .pass }
        do {
            let producer = try KafkaProducer(
                settings: settings, transactionalID: scene.name("worker"),
                logger: log.logger)
            try producer.initTransactions()
            try producer.begin()
            try producer.produce(topic: scene.name("verdicts"), key: "k", payload: Array("v".utf8))
            let deadline = ContinuousClock.now + .seconds(60)
            while scene.proxy.count(of: .produce) == 0, .now < deadline {
                Thread.sleep(forTimeInterval: 0.01)
            }
            producer.abandon()
        }
        // The last of its owners waits for the end for a second, and not longer.
        let deadline = ContinuousClock.now + .seconds(60)
        while log.place(of: "Termination done: freeing resources") == nil, .now < deadline {
            Thread.sleep(forTimeInterval: 0.01)
        }
        let purged = try #require(log.place(of: "Purged 1 in-flight"))
        let ended = try #require(log.place(of: "Sending TERMINATE to internal main thread"))
        #expect(purged < ended)
    }
}
