import Foundation
import Kafka
import Logging
import Synchronization

/// Transactions from a Kafka topic, verdicts to others, offsets in the same Kafka transaction.
///
/// The consumer's rebalances are eager: a batch may span partitions and is read ahead, so that a rebalance drops
/// what is read and not yet delivered, and every partition starts anew at its committed offset.
public final class KafkaTransactionStream: TransactionStream {
    public enum DeliveryGuarantee: String, Sendable, CaseIterable {
        case exactlyOnce = "exactly-once"
        /// For brokers without transactions: after a crash the same bytes may be published again.
        case atLeastOnce = "at-least-once"
    }

    public struct Settings: Sendable {
        public var kafka: KafkaSettings
        public var group: String
        public var topic: String
        public var verdictTopic: String
        public var deadLetterTopic: String
        public var guarantee: DeliveryGuarantee
        /// Unique to this worker and the same after its restart, which then ends what the killed one left open.
        public var instance: String

        public init(
            kafka: KafkaSettings, group: String = "ml-service", topic: String = "transactions",
            verdictTopic: String = "anomalies", deadLetterTopic: String = "transactions.dlq",
            guarantee: DeliveryGuarantee = .exactlyOnce, instance: String
        ) {
            self.kafka = kafka
            self.group = group
            self.topic = topic
            self.verdictTopic = verdictTopic
            self.deadLetterTopic = deadLetterTopic
            self.guarantee = guarantee
            self.instance = instance
        }
    }

    private let settings: Settings
    private let consumer: KafkaConsumer
    private let producer: KafkaProducer
    private let assignments: Assignments
    private let reportedTrouble = Mutex<String?>(nil)
    private let isPaused = Mutex(false)
    private let logger: Logger

    public var location: String { "kafka://\(settings.kafka.bootstrapServers)/\(settings.topic)" }

    /// Joins the group. Blocks until the broker has fenced an older producer of this instance.
    ///
    /// - Throws: `KafkaError`: a wrong setting, or a broker that is away.
    public init(_ settings: Settings, logger: Logger) throws {
        self.settings = settings
        self.logger = logger
        let isTransactional = settings.guarantee == .exactlyOnce
        producer = try KafkaProducer(
            settings: settings.kafka,
            transactionalID: isTransactional ? "\(settings.group)-\(settings.instance)" : nil, logger: logger)
        if isTransactional { try producer.initTransactions(timeoutMilliseconds: 30_000) }
        var consumerSettings = settings.kafka
        consumerSettings.extra["partition.assignment.strategy"] = "range"
        // A static member: after a restart it has its partitions at once, where a new member would wait for the
        // killed one's session to end; and a second process with this instance is fenced.
        consumerSettings.extra["group.instance.id"] = settings.instance
        let assignments = Assignments()
        self.assignments = assignments
        consumer = try KafkaConsumer(
            settings: consumerSettings, groupID: settings.group, topics: [settings.topic],
            onAssigned: { _ in assignments.change() }, onRevoked: { _, _ in assignments.change() },
            logger: logger)
    }

    public var isFinished: Bool { false }

    public var trouble: String? { reportedTrouble.withLock { $0 } }

    public func next(_ limits: BatchLimits) throws -> RawRecords? {
        try resume()
        do {
            let messages = try consumer.poll(
                maximumCount: limits.records, maximumBytes: limits.sizeBytes,
                timeoutMilliseconds: limits.waitMilliseconds)
            // A poll that brings nothing says nothing of the broker's health; an error it has kept would.
            guard !messages.isEmpty else {
                if trouble != nil, consumer.isConnected(timeoutMilliseconds: 200) { setTrouble(nil) }
                return nil
            }
            setTrouble(nil)
            return try records(messages)
        } catch let error as KafkaError where error.isRetryable && !error.isFatal {
            setTrouble("\(error)")
            Thread.sleep(forTimeInterval: 0.1)
            return nil
        }
    }

    private func setTrouble(_ text: String?) {
        let isNew = reportedTrouble.withLock { trouble in
            defer { trouble = text }
            return trouble == nil && text != nil
        }
        if isNew, let text { logger.warning("the stream cannot be read", metadata: ["reason": "\(text)"]) }
    }

    private func records(_ messages: KafkaMessages) throws -> RawRecords {
        let assignment = assignments.current
        let next = messages.nextOffsets
        // Where reading begins in a partition is asked of the broker once: what lies below is committed.
        let unknown = assignments.withoutStart(messages.partitions)
        if !unknown.isEmpty {
            let committed = try consumer.committed(unknown, timeoutMilliseconds: 10_000)
            for index in 0..<messages.count where unknown.contains(messages.topicPartition(index)) {
                let partition = messages.topicPartition(index)
                assignments.begin(partition, at: min(committed[partition] ?? .max, messages.offset(index)))
            }
        }
        let slices = messages.partitions.map { partition in
            let end = next[partition] ?? 0
            return PartitionSlice(
                source: partition, start: assignments.advance(partition, to: end) ?? end, end: end)
        }
        var payloads: [UnsafeRawBufferPointer] = []
        var offsets: [Int64] = []
        var sliceIndex: [Int32] = []
        var keys: [UnsafeRawBufferPointer] = []
        keys.reserveCapacity(messages.count)
        payloads.reserveCapacity(messages.count)
        offsets.reserveCapacity(messages.count)
        sliceIndex.reserveCapacity(messages.count)
        for index in 0..<messages.count {
            payloads.append(messages.payload(index))
            keys.append(messages.key(index))
            offsets.append(messages.offset(index))
            sliceIndex.append(Int32(messages.partitionIndex(index)))
        }
        return RawRecords(
            payloads: payloads, offsets: offsets, sliceIndex: sliceIndex, slices: slices,
            assignment: assignment, keys: keys, owner: messages)
    }

    /// Polls with every partition paused, so that the group keeps this member while it may not read on.
    public func heartbeat() throws {
        let owned = Array(consumer.assignment)
        if !owned.isEmpty {
            try consumer.pause(owned)
            isPaused.withLock { $0 = true }
        }
        do {
            try pollWithoutReading()
        } catch let error as KafkaError where error.isRetryable && !error.isFatal {
            setTrouble("\(error)")
        }
    }

    private func pollWithoutReading() throws {
        let messages = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 0)
        guard !messages.isEmpty else { return }
        // A partition that has just been assigned is not paused: read again from where it stands.
        try consumer.seek(messages.topicPartition(0), offset: messages.offset(0))
    }

    private func resume() throws {
        let wasPaused = isPaused.withLock { paused in
            defer { paused = false }
            return paused
        }
        if wasPaused { try consumer.resume(Array(consumer.assignment)) }
    }

    public func isCurrent(_ assignment: UInt64) -> Bool { assignments.current == assignment }

    public func committedOffset(partition: Int32) throws -> Int64? {
        let source = TopicPartition(topic: settings.topic, partition: partition)
        return try consumer.committed([source], timeoutMilliseconds: 10_000)[source]
    }

    public func deliver(_ delivery: Delivery, writeWindows: () throws -> Bool) throws -> Bool {
        // Held until the batch is delivered: a revocation waits for it.
        try assignments.delivering {
            switch settings.guarantee {
            case .exactlyOnce: try deliverTransaction(delivery, writeWindows)
            case .atLeastOnce: try deliverAtLeastOnce(delivery, writeWindows)
            }
        }
    }

    private func deliverTransaction(_ delivery: Delivery, _ writeWindows: () throws -> Bool) throws -> Bool {
        try producer.begin()
        do {
            try produce(delivery)
            try retrying {
                try producer.send(offsets: delivery.offsets, consumer: consumer)
            }
            guard try writeWindows() else {
                try abort()
                return false
            }
        } catch {
            try abort()
            throw error
        }
        do {
            try retrying { try producer.commit() }
        } catch let error as KafkaError where error.requiresAbort {
            try abort()
            throw error
        }
        return true
    }

    private func deliverAtLeastOnce(_ delivery: Delivery, _ writeWindows: () throws -> Bool) throws -> Bool {
        try produce(delivery)
        try producer.flush()
        guard try writeWindows() else { return false }
        try retrying { try consumer.commit(delivery.offsets) }
        return true
    }

    private func abort() throws {
        try retrying { try producer.abort() }
    }

    /// Calls again what the client says to call again: the outcome is open until it answers.
    private func retrying(_ call: () throws -> Void) throws {
        var attempts = 0
        while true {
            do {
                return try call()
            } catch let error as KafkaError
                where error.isRetryable && !error.isFatal && !error.requiresAbort && attempts < 20
            {
                attempts += 1
                setTrouble("\(error)")
                Thread.sleep(forTimeInterval: 0.25)
            }
        }
    }

    private func produce(_ delivery: Delivery) throws {
        try delivery.verdicts.visit { key, payload in
            try producer.produce(topic: settings.verdictTopic, key: key, payload: payload)
        }
        for letter in delivery.deadLetters {
            try producer.produce(
                topic: settings.deadLetterTopic, key: nil, payload: letter.payload,
                headers: [
                    KafkaHeader("reason", letter.reason), KafkaHeader("detail", letter.detail),
                    KafkaHeader("source_topic", letter.source.topic),
                    KafkaHeader("source_partition", "\(letter.source.partition)"),
                    KafkaHeader("source_offset", "\(letter.offset)"),
                ])
        }
    }

    public func close() {
        consumer.close()
        do {
            try producer.close(timeoutMilliseconds: 5_000)
        } catch {
            logger.warning("the producer did not close cleanly", metadata: ["error": "\(error)"])
        }
    }
}

extension Delivery {
    fileprivate var offsets: [TopicPartition: Int64] {
        Dictionary(slices.map { ($0.source, $0.end) }, uniquingKeysWith: max)
    }
}

/// Which assignment of partitions is in force, and how far each partition has been read under it.
private final class Assignments: Sendable {
    private struct State {
        var generation: UInt64 = 1
        /// The offset after the last record handed out; absent until the first.
        var positions: [TopicPartition: Int64] = [:]
    }

    private let state = Mutex(State())
    private let delivery = Mutex(())

    var current: UInt64 { state.withLock { $0.generation } }

    /// Everything read so far and not delivered is void. Waits for a delivery that is under way.
    func change() {
        state.withLock { state in
            state.generation += 1
            state.positions = [:]
        }
        delivery.withLock { _ in }
    }

    func delivering<Result>(_ body: () throws -> Result) throws -> Result {
        try delivery.withLock { _ in try body() }
    }

    func withoutStart(_ partitions: [TopicPartition]) -> [TopicPartition] {
        state.withLock { state in partitions.filter { state.positions[$0] == nil } }
    }

    func begin(_ partition: TopicPartition, at offset: Int64) {
        state.withLock { $0.positions[partition] = min($0.positions[partition] ?? .max, offset) }
    }

    /// - Returns: Where the partition stood.
    func advance(_ partition: TopicPartition, to end: Int64) -> Int64? {
        state.withLock { state in
            defer { state.positions[partition] = end }
            return state.positions[partition]
        }
    }
}
