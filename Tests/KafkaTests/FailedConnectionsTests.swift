import RecordedLog
import Synchronization
import Testing

@testable import Kafka

/// What the log says of brokers that are not reached.
@Suite struct FailedConnectionsTests {
    private static func refused(_ broker: String, milliseconds: Int = 0, suppressed: Int = 0) -> String {
        let more = suppressed > 0 ? ", \(suppressed) identical error(s) suppressed" : ""
        return "[thrd:\(broker)/bootstrap]: \(broker)/bootstrap: Connect to ipv4#\(broker) failed: "
            + "Connection refused (after \(milliseconds)ms in state CONNECT\(more))"
    }

    private let start = ContinuousClock.now
    private func time(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test func aReasonIsSaidAtOnceAndThenOnceInAWhileWithHowOften() {
        var failed = FailedConnections()
        #expect(failed.note(Self.refused("a:1"), at: time(0)) == 1)
        var said: [Int: Int] = [:]
        // 25 a second, for 90 seconds.
        for index in 1...2_250 {
            let text = Self.refused("a:1", milliseconds: index % 7, suppressed: index % 3)
            if let times = failed.note(text, at: time(Double(index) / 25)) { said[index] = times }
        }
        #expect(said == [750: 750, 1_500: 750, 2_250: 750])
    }

    @Test func anotherBrokerOrAnotherReasonIsSaidAtOnce() {
        var failed = FailedConnections()
        #expect(failed.note(Self.refused("a:1"), at: time(0)) == 1)
        #expect(failed.note(Self.refused("b:1"), at: time(0.1)) == 1)
        #expect(failed.note("[thrd:a:1/bootstrap]: a:1/bootstrap: SSL handshake failed", at: time(0.2)) == 1)
        #expect(failed.note(Self.refused("b:1"), at: time(0.3)) == nil)
    }

    @Test func whatIsOverIsSaidOnceABrokerAnswers() {
        var failed = FailedConnections()
        for index in 0..<100 { _ = failed.note(Self.refused("a:1"), at: time(Double(index))) }
        _ = failed.note(Self.refused("b:1"), at: time(99))
        // Another broker of the cluster answers: this one may still be away.
        #expect(failed.ended(at: time(101)).isEmpty)
        #expect(
            failed.ended(at: time(105)) == [.init(text: Self.refused("a:1"), times: 100, seconds: 99)])
        #expect(failed.isEmpty)
        #expect(failed.note(Self.refused("a:1"), at: time(106)) == 1)
    }

    @Test func theirNumberIsBounded() {
        var failed = FailedConnections()
        for index in 0..<10_000 { #expect(failed.note(Self.refused("a:\(index)"), at: time(0)) == 1) }
        #expect(failed.ended(at: time(60)).count == 0)
        for index in 0..<1_000 {
            _ = failed.note(Self.refused("a:\(index)"), at: time(Double(100 + index)))
            _ = failed.note(Self.refused("a:\(index)"), at: time(Double(100 + index)))
        }
        #expect(failed.remaining().count == FailedConnections.maximumReasons)
    }

    @Test func theLogOfAClientSaysSo() {
        let log = RecordedLog()
        let now = Mutex(start)
        let events = ClientEvents(
            logger: log.logger, now: { now.withLock { $0 } })
        let text = Self.refused("a:1")
        for _ in 0..<1_000 {
            events.log(.error, facility: "FAIL", text)
            now.withLock { $0 += .milliseconds(40) }
        }
        // What is no connection is not counted.
        for _ in 0..<2 { events.log(.warning, facility: "SESSTMOUT", "[thrd:main]: session timed out") }
        now.withLock { $0 += .seconds(10) }
        events.answered()
        events.log(.error, facility: "FAIL", text)
        events.log(.error, facility: "FAIL", text)
        events.end()
        #expect(
            log.lines == [
                "error Kafka: \(text) facility=FAIL",
                "error Kafka: \(text) facility=FAIL times=750",
                "warning Kafka: [thrd:main]: session timed out facility=SESSTMOUT",
                "warning Kafka: [thrd:main]: session timed out facility=SESSTMOUT",
                "notice Kafka: connections are taken again failure=\(text) seconds=40 times=1000",
                "error Kafka: \(text) facility=FAIL",
                "error Kafka: connections failed until the client ended failure=\(text) seconds=0 times=2",
            ])
    }

    /// librdkafka does say it again and again, and in the words that are told apart here.
    @Test func aBrokerThatIsAwayMakesFewLines() throws {
        let log = RecordedLog()
        let consumer = try KafkaConsumer(
            settings: KafkaSettings(bootstrapServers: "127.0.0.1:1"), groupID: "g", topics: ["t"],
            logger: log.logger)
        defer { consumer.close() }
        let deadline = ContinuousClock.now + .seconds(60)
        while consumer.client.events.failedConnections < 5, .now < deadline {
            _ = try? consumer.poll(maximumCount: 1, timeoutMilliseconds: 50)
        }
        #expect(consumer.client.events.failedConnections >= 5)
        #expect(log.lines.count { $0.contains("Connection refused") && $0.contains("FAIL") } == 1)
    }
}
