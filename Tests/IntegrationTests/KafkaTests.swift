import Foundation
import Kafka
import Logging
import Synchronization
import Testing

/// Against the broker that `scripts/stack up` starts: `eval "$(scripts/stack env)"`, then run the tests.
@Suite struct KafkaIntegrationTests {
    let logger: Logger = {
        var logger = Logger(label: "kafka.integration")
        logger.logLevel = .critical
        return logger
    }()

    /// A name that no other run has used.
    let run = String(UInt64.random(in: 0 ... .max), radix: 36)

    private func settings() throws -> KafkaSettings {
        let servers = try #require(
            ProcessInfo.processInfo.environment["KAFKA_BOOTSTRAP"],
            "no broker: run scripts/stack up and eval \"$(scripts/stack env)\"")
        return KafkaSettings(bootstrapServers: servers)
    }

    private func makeTopic(_ name: String, partitions: Int) throws -> String {
        let topic = "\(name)-\(run)"
        let admin = try KafkaAdmin(settings: settings(), logger: logger)
        try admin.createTopics([.init(name: topic, partitions: partitions)])
        return topic
    }

    private func fill(_ topic: String, _ payloads: [String]) throws {
        let producer = try KafkaProducer(settings: settings(), logger: logger)
        for payload in payloads {
            try producer.produce(topic: topic, key: payload, payload: Array(payload.utf8))
        }
        try producer.flush()
    }

    private func consumer(
        _ group: String, _ topic: String, extra: [String: String] = [:],
        onAssigned: @escaping @Sendable (KafkaAssignment) -> Void = { _ in },
        onRevoked: @escaping @Sendable ([TopicPartition], Bool) -> Void = { _, _ in }
    ) throws -> KafkaConsumer {
        var settings = try settings()
        settings.extra = extra
        return try KafkaConsumer(
            settings: settings, groupID: "\(group)-\(run)", topics: [topic], onAssigned: onAssigned,
            onRevoked: onRevoked, logger: logger)
    }

    private func read(_ count: Int, from consumer: KafkaConsumer, seconds: Int = 30) throws -> [String] {
        var payloads: [String] = []
        let deadline = ContinuousClock.now + .seconds(seconds)
        while payloads.count < count, ContinuousClock.now < deadline {
            let batch = try consumer.poll(maximumCount: count - payloads.count, timeoutMilliseconds: 100)
            payloads += (0..<batch.count).map { String(decoding: batch.payload($0), as: UTF8.self) }
        }
        return payloads
    }

    @Test func creatingATopicTwiceLeavesItAsItIs() throws {
        let topic = try makeTopic("twice", partitions: 3)
        let admin = try KafkaAdmin(settings: settings(), logger: logger)
        try admin.createTopics([.init(name: topic, partitions: 5)])
        #expect(try admin.partitionCount(topic: topic) == 3)
        try admin.deleteTopics([topic])
        try admin.deleteTopics([topic])
    }

    @Test func messagesAndOffsetsAreCommittedTogether() throws {
        let (input, output) = (try makeTopic("in", partitions: 1), try makeTopic("out", partitions: 1))
        let zero = TopicPartition(topic: input, partition: 0)
        try fill(input, ["a", "b", "c"])
        let worker = try consumer("worker", input)
        #expect(try read(3, from: worker) == ["a", "b", "c"])
        let producer = try KafkaProducer(
            settings: settings(), transactionalID: "worker-\(run)", logger: logger)
        try producer.initTransactions()

        try producer.begin()
        try producer.produce(topic: output, key: "k", payload: Array("aborted".utf8))
        try producer.send(offsets: [zero: 3], consumer: worker)
        try producer.flush()
        try producer.abort()
        #expect(try worker.committed([zero]) == [:])

        try producer.begin()
        try producer.produce(topic: output, key: "k", payload: Array("committed".utf8))
        try producer.send(offsets: [zero: 2], consumer: worker)
        try producer.commit()
        #expect(try worker.committed([zero]) == [zero: 2])
        worker.close()

        #expect(try read(1, from: consumer("reader", output)) == ["committed"])
        #expect(try read(1, from: consumer("worker", input)) == ["c"])
    }

    @Test func anOpenOrAbortedTransactionIsInvisible() throws {
        let output = try makeTopic("out", partitions: 1)
        let producer = try KafkaProducer(
            settings: settings(), transactionalID: "worker-\(run)", logger: logger)
        try producer.initTransactions()
        try producer.begin()
        try producer.produce(topic: output, key: "k", payload: Array("open".utf8))
        try producer.flush()
        #expect(try read(1, from: consumer("early", output), seconds: 3).isEmpty)
        try producer.abort()
        try producer.begin()
        try producer.produce(topic: output, key: "k", payload: Array("kept".utf8))
        try producer.commit()
        // A reader that begins behind the abort would be misled by this broker (0.2.3): it names every abort
        // there ever was, and librdkafka then takes what the same producer wrote later for aborted.
        #expect(try read(1, from: consumer("late", output)) == ["kept"])
    }

    @Test func aZombieWithTheSameTransactionalIDIsFenced() throws {
        let output = try makeTopic("out", partitions: 1)
        let zombie = try KafkaProducer(settings: settings(), transactionalID: "worker-\(run)", logger: logger)
        try zombie.initTransactions()
        try zombie.begin()
        try zombie.produce(topic: output, key: "k", payload: Array("zombie".utf8))
        try zombie.flush()

        let heir = try KafkaProducer(settings: settings(), transactionalID: "worker-\(run)", logger: logger)
        try heir.initTransactions()
        let failure = #expect(throws: KafkaError.self) {
            try zombie.produce(topic: output, key: "k", payload: Array("zombie again".utf8))
            try zombie.commit()
        }
        #expect(failure?.isFenced == true && failure?.isFatal == true && failure?.isRetryable == false)
        #expect(throws: KafkaError.self) { try zombie.begin() }

        try heir.begin()
        try heir.produce(topic: output, key: "k", payload: Array("heir".utf8))
        try heir.commit()
        #expect(try read(1, from: consumer("reader", output)) == ["heir"])
    }

    /// Two members that commit what they have read after each batch. What comes twice was read in the moment
    /// of a rebalance and refused by the broker: the member was told that it had lost it.
    @Test(arguments: ["range", "cooperative-sticky"])
    func aRebalanceMovesPartitionsAndLosesNothing(strategy: String) throws {
        let extra = ["partition.assignment.strategy": strategy]
        let topic = try makeTopic("in", partitions: 6)
        let (first, second) = (Member(), Member())
        let deadline = ContinuousClock.now + .seconds(60)
        try first.join { try consumer("group", topic, extra: extra, onAssigned: $0, onRevoked: $1) }
        while first.assignment.count < 6, ContinuousClock.now < deadline { _ = try first.read() }
        try fill(topic, (0..<3000).map(String.init))
        try second.join { try consumer("group", topic, extra: extra, onAssigned: $0, onRevoked: $1) }
        var seen: [String] = []
        while Set(seen).count < 3000 || first.assignment.count != 3 || second.assignment.count != 3,
            ContinuousClock.now < deadline
        {
            seen += try first.read()
            seen += try second.read()
        }
        #expect(first.assignment.count == 3 && second.assignment.count == 3)
        #expect(Set(seen).count == 3000)
        #expect(seen.count == 3000 + first.abandonedCount + second.abandonedCount)
        #expect(first.handedOutAfterRevocation.isEmpty && second.handedOutAfterRevocation.isEmpty)
        second.leave()
        while first.assignment.count < 6, ContinuousClock.now < deadline { seen += try first.read() }
        #expect(seen.count == 3000 + first.abandonedCount + second.abandonedCount)
        #expect(first.assignment.count == 6)
    }

    @Test func aGarbageAddressIsARetryableErrorThatNamesIt() throws {
        let settings = KafkaSettings(bootstrapServers: "no-such-host.invalid:9092")
        let consumer = try KafkaConsumer(settings: settings, groupID: "g", topics: ["t"], logger: logger)
        var failure: KafkaError?
        let deadline = ContinuousClock.now + .seconds(30)
        while failure == nil, ContinuousClock.now < deadline {
            do { _ = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 100) } catch { failure = error }
        }
        #expect(failure?.isRetryable == true)
        #expect(consumer.isConnected(timeoutMilliseconds: 200) == false)
        let producer = try KafkaProducer(settings: settings, transactionalID: "t", logger: logger)
        #expect {
            try producer.initTransactions(timeoutMilliseconds: 1500)
        } throws: { error in
            (error as? KafkaError)?.isRetryable == true && "\(error)".contains("no-such-host.invalid")
        }
    }
}

/// A consumer with what it has read and not yet committed. Its callbacks come on the thread that reads.
private final class Member: Sendable {
    private struct State {
        var consumer: KafkaConsumer?
        var uncommitted: [TopicPartition: Range<Int64>] = [:]
        var abandonedCount = 0
        var revoked: Set<TopicPartition> = []
        var handedOutAfterRevocation: Set<TopicPartition> = []
    }
    private let state = Mutex(State())

    var assignment: Set<TopicPartition> { state.withLock { $0.consumer }?.assignment ?? [] }
    var abandonedCount: Int { state.withLock { $0.abandonedCount } }
    var handedOutAfterRevocation: Set<TopicPartition> { state.withLock { $0.handedOutAfterRevocation } }

    func join(
        _ make: (
            @escaping @Sendable (KafkaAssignment) -> Void,
            @escaping @Sendable ([TopicPartition], Bool) -> Void
        ) throws -> KafkaConsumer
    ) throws {
        let consumer = try make(
            { [weak self] given in self?.state.withLock { $0.revoked.subtract(given.partitions) } },
            { [weak self] partitions, lost in self?.giveUp(partitions, lost: lost) })
        state.withLock { $0.consumer = consumer }
    }

    func leave() {
        let consumer = state.withLock { $0.consumer }
        consumer?.close()
    }

    func read() throws -> [String] {
        guard let consumer = state.withLock({ $0.consumer }) else { return [] }
        let batch = try consumer.poll(maximumCount: 10, timeoutMilliseconds: 5)
        state.withLock { state in
            state.handedOutAfterRevocation.formUnion(state.revoked.intersection(batch.partitions))
            for index in 0..<batch.count {
                let (partition, offset) = (batch.topicPartition(index), batch.offset(index))
                state.uncommitted[partition] =
                    (state.uncommitted[partition]?.lowerBound ?? offset)..<(offset + 1)
            }
        }
        do {
            try commit(consumer)
        } catch let error as KafkaError where error.isGenerationChange {
            // In the middle of a rebalance: what is kept is committed with the next batch, what is lost in
            // giveUp.
        }
        return (0..<batch.count).map { String(decoding: batch.payload($0), as: UTF8.self) }
    }

    private func giveUp(_ partitions: [TopicPartition], lost: Bool) {
        let consumer = state.withLock { $0.consumer }
        // This broker refuses the old generation as soon as a rebalance begins; Kafka does when it is
        // through.
        do { if let consumer, !lost { try commit(consumer) } } catch {}
        state.withLock { state in
            state.revoked.formUnion(partitions)
            for partition in partitions {
                state.abandonedCount += state.uncommitted.removeValue(forKey: partition)?.count ?? 0
            }
        }
    }

    private func commit(_ consumer: KafkaConsumer) throws {
        try consumer.commit(state.withLock { $0.uncommitted.mapValues(\.upperBound) })
        state.withLock { $0.uncommitted = [:] }
    }
}
