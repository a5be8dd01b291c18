import Kafka
import Testing

@Suite struct ErrorTests {
    @Test func aWrongSettingIsNamed() {
        var settings = KafkaSettings(bootstrapServers: "127.0.0.1:1", extra: ["no.such.property": "1"])
        #expect {
            try KafkaProducer(settings: settings, logger: quietLogger)
        } throws: { error in
            "\(error)".contains("no.such.property") && (error as? KafkaError)?.isRetryable == false
        }
        settings.extra = ["enable.auto.commit": "true"]
        #expect {
            try KafkaConsumer(settings: settings, groupID: "g", topics: ["t"], logger: quietLogger)
        } throws: {
            "\($0)".contains("enable.auto.commit")
        }
        #expect(throws: KafkaError.self) {
            try KafkaProducer(settings: KafkaSettings(bootstrapServers: ""), logger: quietLogger)
        }
        #expect(throws: KafkaError.self) {
            try KafkaConsumer(
                settings: .init(bootstrapServers: "h:1"), groupID: "g", topics: [], logger: quietLogger)
        }
    }

    /// Before anything is contacted: no broker is there.
    @Test(arguments: [
        ["no.such.property": "1"],
        ["sasl.mechanism": "SCRAM-SHA-999", "security.protocol": "SASL_PLAINTEXT"],
        ["isolation.level": "read_uncommitted"], ["auto.offset.reset": "latest"], ["group.id": "g"],
        ["enable.auto.commit": "true"], ["transactional.id": "t"], ["acks": "1"],
        ["session.timeout.ms": "soon"],
    ])
    func aWrongSettingIsRefusedBeforeTheStart(extra: [String: String]) {
        let settings = KafkaSettings(bootstrapServers: "127.0.0.1:1", extra: extra)
        let failure = #expect(throws: KafkaError.self) { try settings.check(logger: quietLogger) }
        #expect(failure?.isHopeless == true && failure?.isRetryable == false)
    }

    @Test func rightSettingsPassTheCheck() throws {
        try KafkaSettings(bootstrapServers: "127.0.0.1:1", extra: ["session.timeout.ms": "20000"])
            .check(logger: quietLogger)
    }

    @Test func aBrokerThatIsAwayIsARetryableErrorThatNamesIt() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        try producer.produce(["a"], to: "in")
        try producer.flush()
        #expect(try consumer.read(1).count == 1)
        #expect(consumer.isConnected() && producer.isConnected())

        try cluster.setBroker(1, isUp: false)
        var failure: KafkaError?
        let deadline = ContinuousClock.now + .seconds(30)
        while failure == nil, ContinuousClock.now < deadline {
            do { _ = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 50) } catch { failure = error }
        }
        #expect(failure?.isRetryable == true && failure?.isFatal == false)
        #expect(consumer.isConnected(timeoutMilliseconds: 100) == false)
        #expect {
            try producer.partitionCount(topic: "other", timeoutMilliseconds: 300)
        } throws: { error in
            (error as? KafkaError)?.isRetryable == true && "\(error)".contains(cluster.bootstrapServers)
        }
        try producer.produce(["b"], to: "in")
        #expect { try producer.flush(timeoutMilliseconds: 100) } throws: {
            ($0 as? KafkaError)?.name == "_TIMED_OUT"
        }

        try cluster.setBroker(1, isUp: true)
        try producer.flush()
        #expect(try consumer.read(1).map(\.payload) == ["b"])
        #expect(consumer.isConnected())
    }

    @Test func anUndeliverableMessageIsToldByTheFlush() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        try cluster.setBroker(1, isUp: false)
        var settings = cluster.settings
        settings.extra = ["message.timeout.ms": "200"]
        let producer = try KafkaProducer(settings: settings, logger: quietLogger)
        try producer.produce(["a", "b"], to: "in")
        #expect {
            try producer.flush(timeoutMilliseconds: 20_000)
        } throws: { error in
            (error as? KafkaError)?.name == "_MSG_TIMED_OUT" && "\(error)".contains("2 messages")
        }
        try producer.flush()
    }

    @Test func aFullQueueWaitsInsteadOfFailing() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        var settings = cluster.settings
        settings.extra = ["queue.buffering.max.messages": "10"]
        let producer = try KafkaProducer(settings: settings, logger: quietLogger)
        try producer.produce((0..<200).map(String.init), to: "in")
        try producer.flush()
        #expect(producer.outstandingCount == 0)
    }
}
