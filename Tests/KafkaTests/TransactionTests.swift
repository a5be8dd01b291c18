import Kafka
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
