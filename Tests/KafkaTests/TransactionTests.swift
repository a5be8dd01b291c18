import Kafka
import Synchronization
import Testing

@Suite struct TransactionTests {
    @Test func aCommittedTransactionIsSeen() throws {
        let cluster = try MockKafkaCluster(topics: [.init("out", partitions: 1)])
        let producer = try KafkaProducer(
            settings: cluster.settings, transactionalID: "worker", logger: quietLogger)
        try producer.initTransactions()
        try producer.begin()
        try producer.produce(["1", "2"], to: "out")
        try producer.commit()
        let reader = try KafkaConsumer(
            settings: cluster.settings, groupID: "r", topics: ["out"], logger: quietLogger)
        #expect(try reader.read(2).map(\.payload) == ["1", "2"])
    }

    /// The mock has no aborts on its side (the real broker's test has): what was not sent yet is dropped by
    /// the client.
    @Test func anAbortDropsWhatIsQueuedAndTheProducerGoesOn() throws {
        let cluster = try MockKafkaCluster(topics: [.init("out", partitions: 1)])
        var settings = cluster.settings
        settings.extra["linger.ms"] = "10000"
        let producer = try KafkaProducer(settings: settings, transactionalID: "worker", logger: quietLogger)
        try producer.initTransactions()
        try producer.begin()
        try producer.produce((0..<100).map { "dropped \($0)" }, to: "out")
        let start = ContinuousClock.now
        try producer.abort()
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(producer.outstandingCount == 0)
        try producer.begin()
        try producer.produce(["kept"], to: "out")
        try producer.commit()
        let reader = try KafkaConsumer(
            settings: cluster.settings, groupID: "r", topics: ["out"], logger: quietLogger)
        #expect(try reader.read(1).map(\.payload) == ["kept"])
    }

    /// librdkafka's own call waits for the group's coordinator for ever, whatever time-out it is given.
    @Test func aCallThatLibrdkafkaDoesNotReturnFromFailsAndTheProducerIsDoneFor() throws {
        let cluster = try MockKafkaCluster(
            topics: [.init("in", partitions: 1), .init("out", partitions: 1)])
        let group = try GroupMember(of: cluster)
        let producer = try KafkaProducer(
            settings: cluster.settings, transactionalID: "worker", logger: quietLogger)
        try producer.initTransactions()
        try producer.begin()
        try producer.produce(["1"], to: "out")
        try producer.flush()
        try cluster.setBroker(1, isUp: false)
        let zero = TopicPartition(topic: "in", partition: 0)
        let failure = #expect(throws: KafkaError.self) {
            try producer.send(offsets: [zero: 1], group: group.metadata, timeoutMilliseconds: 500)
        }
        #expect(failure?.isFatal == true && failure?.isFenced == false)
        #expect(throws: KafkaError.self) { try producer.abort(timeoutMilliseconds: 100) }
        producer.abandon()
    }

    /// A consumer and what it was told with its partitions.
    private struct GroupMember {
        let consumer: KafkaConsumer
        let metadata: KafkaGroupMetadata

        init(of cluster: MockKafkaCluster) throws {
            let box = MetadataBox()
            consumer = try KafkaConsumer(
                settings: cluster.settings, groupID: "g", topics: ["in"],
                onAssigned: { box.set($0.group) }, logger: quietLogger)
            try consumer.poll(until: { box.group != nil })
            metadata = try #require(box.group)
            #expect(metadata.isMember)
        }
    }

    private final class MetadataBox: Sendable {
        private let state = Mutex<KafkaGroupMetadata?>(nil)
        var group: KafkaGroupMetadata? { state.withLock { $0 } }
        func set(_ group: KafkaGroupMetadata) { state.withLock { $0 = group } }
    }

    @Test func callsOutOfOrderAreErrorsNotTraps() throws {
        let cluster = try MockKafkaCluster(topics: [.init("out", partitions: 1)])
        let plain = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        #expect(throws: KafkaError.self) { try plain.begin() }
        let producer = try KafkaProducer(
            settings: cluster.settings, transactionalID: "worker", logger: quietLogger)
        #expect(throws: KafkaError.self) { try producer.begin() }
        try producer.initTransactions()
        #expect(throws: KafkaError.self) { try producer.commit() }
        #expect(throws: KafkaError.self) { try producer.produce(["outside"], to: "out") }
        try producer.begin()
        try producer.produce(["inside"], to: "out")
        try producer.commit()
        try producer.close()
        #expect(throws: KafkaError.self) { try producer.begin() }
        #expect(throws: KafkaError.self) { try producer.produce(["closed"], to: "out") }
    }
}
