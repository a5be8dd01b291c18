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
        /// How long one delivery may take. After it the session ends: its clients are left behind, and new ones
        /// end its transaction.
        public var deliveryTimeout = Duration.seconds(10)

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

    let settings: Settings
    let consumer: KafkaConsumer
    let producer: KafkaProducer
    let assignments: KafkaAssignments
    let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var trouble: String?
        /// Since when a delivery has been under way; nil: none is.
        var deliveringSince: ContinuousClock.Instant?
        /// Since when the broker has refused this assignment's offsets.
        var refused: (assignment: UInt64, since: ContinuousClock.Instant)?
        /// Partitions that were told to pause. librdkafka remembers it of each, assigned or not.
        var paused: Set<TopicPartition> = []
        /// Polled, and not handed out yet, with the assignment that they were read under.
        var held: [(messages: KafkaMessages, assignment: UInt64)] = []
    }

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
        let assignments = KafkaAssignments()
        self.assignments = assignments
        consumer = try KafkaConsumer(
            settings: consumerSettings, groupID: settings.group, topics: [settings.topic],
            onAssigned: { _, group in assignments.changed(to: group) },
            onRevoked: { _, _ in assignments.changed(to: nil) },
            logger: logger)
    }

    public var isFinished: Bool { false }

    /// Whether the group has given this worker partitions to read.
    public var hasPartitions: Bool { !consumer.assignment.isEmpty }

    public var trouble: String? {
        state.withLock { state in
            if let trouble = state.trouble { return trouble }
            guard let since = state.deliveringSince, .now - since > .seconds(3) else { return nil }
            return "a delivery has been waiting for the broker or the windows for more than 3 s"
        }
    }

    public func isCurrent(_ assignment: UInt64) -> Bool { assignments.current == assignment }

    public func committedOffset(partition: Int32) throws -> Int64? {
        let source = TopicPartition(topic: settings.topic, partition: partition)
        return try consumer.committed([source], timeoutMilliseconds: 10_000)[source]
    }

    public func close() {
        consumer.close(timeoutMilliseconds: 3_000)
        producer.abandon()
    }

    func setTrouble(_ text: String?) {
        let isNew = state.withLock { state in
            defer { state.trouble = text }
            return state.trouble == nil && text != nil
        }
        if isNew, let text { logger.warning("the stream is held up", metadata: ["reason": "\(text)"]) }
    }

    func setDelivering(_ isDelivering: Bool) {
        state.withLock { $0.deliveringSince = isDelivering ? .now : nil }
    }

    /// - Returns: Whether the broker has refused the offsets of this assignment for so long that the rebalance
    ///   which would explain it is not to be expected any more.
    func isRefusedForLong(_ assignment: UInt64) -> Bool {
        state.withLock { state in
            if let refused = state.refused, refused.assignment == assignment {
                return .now - refused.since > .seconds(20)
            }
            state.refused = (assignment, .now)
            return false
        }
    }
}

// MARK: Reading. Called by the reading thread alone, on which rebalances come too.

extension KafkaTransactionStream {
    /// A reader that finds nothing looks this often whether it is to stop.
    private static let idleMilliseconds = 100

    public func next(_ limits: BatchLimits) throws -> RawRecords? {
        do {
            if let records = try handOut() { return records }
            try resume()
            let messages = try consumer.poll(
                maximumCount: limits.records, maximumBytes: limits.sizeBytes,
                timeoutMilliseconds: Self.idleMilliseconds, lingerMilliseconds: limits.waitMilliseconds)
            // A poll that brings nothing says nothing of the broker's health; an error it has kept would.
            guard !messages.isEmpty else {
                if trouble != nil, consumer.isConnected(timeoutMilliseconds: 200) { setTrouble(nil) }
                return nil
            }
            hold(messages)
            let records = try handOut()
            setTrouble(nil)
            return records
        } catch let error as KafkaError where error.isRetryable && !error.isFatal {
            setTrouble("\(error)")
            Thread.sleep(forTimeInterval: 0.1)
            // What is held waits for an answer of the broker; rebalances do not wait for that.
            try heartbeat()
            return nil
        }
    }

    /// Polls with every partition paused, so that the group keeps this member while it may not read on.
    public func heartbeat() throws {
        do {
            try pause()
            // A partition that has just been assigned is not paused yet: what it brings is held.
            hold(try consumer.poll(maximumCount: 1, timeoutMilliseconds: 0))
        } catch let error as KafkaError where error.isRetryable && !error.isFatal {
            setTrouble("\(error)")
        }
    }

    private func hold(_ messages: KafkaMessages) {
        guard !messages.isEmpty else { return }
        let assignment = assignments.current
        state.withLock { $0.held.append((messages, assignment)) }
    }

    /// The records that have been held longest. Those of an assignment that has ended are let go: their
    /// partitions are read again from the committed offset.
    ///
    /// - Throws: `KafkaError`; a retryable one leaves everything held.
    private func handOut() throws -> RawRecords? {
        let assignment = assignments.current
        let first = state.withLock { state in
            state.held.removeAll { $0.assignment != assignment }
            return state.held.first?.messages
        }
        guard let first else { return nil }
        let records = try records(first, assignment: assignment)
        state.withLock { _ = $0.held.removeFirst() }
        return records
    }

    private func pause() throws {
        let partitions = consumer.assignment.subtracting(state.withLock { $0.paused })
        guard !partitions.isEmpty else { return }
        // Noted first: a call that fails half way may have paused some of them.
        state.withLock { $0.paused.formUnion(partitions) }
        try consumer.pause(partitions.sorted())
    }

    /// A partition that is not ours now stays noted: should it come back, librdkafka has kept it paused.
    private func resume() throws {
        let partitions = consumer.assignment.intersection(state.withLock { $0.paused })
        guard !partitions.isEmpty else { return }
        try consumer.resume(partitions.sorted())
        state.withLock { $0.paused.subtract(partitions) }
    }

    private func records(_ messages: KafkaMessages, assignment: UInt64) throws -> RawRecords {
        let next = messages.nextOffsets
        // Where reading begins in a partition is asked of the broker once: what lies below is committed.
        let unknown = assignments.withoutStart(messages.partitions)
        var untouched: Set<TopicPartition> = []
        if !unknown.isEmpty {
            let committed = try consumer.committed(unknown, timeoutMilliseconds: 5_000)
            untouched = Set(unknown.filter { committed[$0] == nil })
            for index in 0..<messages.count where unknown.contains(messages.topicPartition(index)) {
                let partition = messages.topicPartition(index)
                assignments.begin(partition, at: min(committed[partition] ?? .max, messages.offset(index)))
            }
        }
        let slices = messages.partitions.map { partition in
            let end = next[partition] ?? 0
            return PartitionSlice(
                source: partition, start: assignments.advance(partition, to: end) ?? end, end: end,
                isAtBeginning: untouched.contains(partition) ? true : nil)
        }
        var payloads: [UnsafeRawBufferPointer] = []
        var offsets: [Int64] = []
        var sliceIndex: [Int32] = []
        var keys: [UnsafeRawBufferPointer] = []
        var times: [Int64] = []
        times.reserveCapacity(messages.count)
        keys.reserveCapacity(messages.count)
        payloads.reserveCapacity(messages.count)
        offsets.reserveCapacity(messages.count)
        sliceIndex.reserveCapacity(messages.count)
        for index in 0..<messages.count {
            payloads.append(messages.payload(index))
            keys.append(messages.key(index))
            offsets.append(messages.offset(index))
            times.append(messages.timestampMilliseconds(index) ?? .min)
            sliceIndex.append(Int32(messages.partitionIndex(index)))
        }
        return RawRecords(
            payloads: payloads, offsets: offsets, sliceIndex: sliceIndex, slices: slices,
            assignment: assignment, keys: keys, recordMilliseconds: times, owner: messages)
    }
}
