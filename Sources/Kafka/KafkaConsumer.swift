import CRdKafka
import Logging
import Synchronization

/// A member of a consumer group that commits by hand, sees committed transactions only, and reads in batches.
///
/// One thread polls, commits and closes; `committed`, `groupMetadata`, `partitionCount`, `watermarks` and
/// `isConnected` may be asked from any thread. All calls block.
public final class KafkaConsumer: Sendable {
    public enum OffsetReset: String, Sendable { case earliest, latest }

    public let groupID: String
    let client: KafkaClient
    private let queue: KafkaQueue
    private let rebalances: Rebalances
    private let poll = Mutex(PollState())

    struct PollState {
        var isClosed = false
        var isPolling = false
        /// Running mean of a message's size, by which a read is sized so that it stays near `maximumBytes`.
        var meanBytes = 0.0
    }

    /// Joins the group: with the first poll the partitions come.
    ///
    /// - Parameters:
    ///   - offsetReset: Where to begin in a partition of which the group has no offset, or none that still
    ///     exists.
    ///   - onAssigned: Called by `poll`, before the first message of these partitions, with this member's place
    ///     in the group under which they may be read: their offsets are to be committed under no later one.
    ///   - onRevoked: Called by `poll` or `close` before the partitions are given up: finish or abandon their
    ///     work and commit, there is time. When `lost` they have another owner already: abandon, commit
    ///     nothing. No message of theirs is handed out afterwards.
    /// - Throws: `KafkaError` for a wrong setting. A broker that is away is no error here: polls report it.
    public init(
        settings: KafkaSettings, groupID: String, offsetReset: OffsetReset = .earliest, topics: [String],
        onAssigned: @escaping @Sendable ([TopicPartition], KafkaGroupMetadata) -> Void = { _, _ in },
        onRevoked: @escaping @Sendable ([TopicPartition], _ lost: Bool) -> Void = { _, _ in },
        logger: Logger
    ) throws(KafkaError) {
        let operation = "consumer of group \(groupID)"
        guard !groupID.isEmpty else { throw KafkaError(invalid: "no group id", operation: operation) }
        guard !topics.isEmpty else { throw KafkaError(invalid: "no topics", operation: operation) }
        let rebalances = Rebalances(onAssigned: onAssigned, onRevoked: onRevoked)
        let client = try KafkaClient(
            type: RD_KAFKA_CONSUMER,
            properties: settings.properties(
                defaults: KafkaSettings.consumerDefaults,
                required: ["group.id": groupID, "auto.offset.reset": offsetReset.rawValue],
                operation: operation),
            bootstrapServers: settings.bootstrapServers,
            events: ClientEvents(logger: logger, rebalances: rebalances), operation: operation
        ) { configuration in
            rd_kafka_conf_set_rebalance_cb(configuration, forwardRebalance)
            rd_kafka_conf_set_error_cb(configuration, forwardError)
        }
        // Errors and rebalances come through the same queue as the messages, on the thread that polls.
        _ = rd_kafka_poll_set_consumer(client.pointer)
        guard let queue = KafkaQueue(rd_kafka_queue_get_consumer(client.pointer), of: client) else {
            throw KafkaError(invalid: "librdkafka gave no consumer queue", operation: operation)
        }
        let subscription = PartitionList(topics.map { TopicPartition(topic: $0, partition: -1) })
        let code = rd_kafka_subscribe(client.pointer, subscription.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw client.error(code, "subscription to \(topics)")
        }
        rebalances.attach(queue)
        self.groupID = groupID
        self.client = client
        self.queue = queue
        self.rebalances = rebalances
    }

    deinit { close() }

    /// The partitions that this member owns now.
    public var assignment: Set<TopicPartition> { rebalances.owned }

    /// Waits until `maximumCount` messages or about `maximumBytes` are there or the time is up, and gives
    /// what there is. Rebalances are served meanwhile, on this thread. Polls must not lie further apart than
    /// `max.poll.interval.ms`.
    ///
    /// - Parameters:
    ///   - maximumBytes: Of payloads and keys. Reading stops with the message that reaches it, or a few later
    ///     where sizes vary much; what is left stays queued.
    ///   - lingerMilliseconds: How long a batch is kept open for company after its first message; nil: until
    ///     the time is up.
    /// - Throws: `KafkaError`. After a retryable one (no broker can be reached, a topic does not exist yet)
    ///   librdkafka goes on trying by itself: poll again. Messages that were read before the error are not
    ///   lost: the error comes with the next poll.
    public func poll(
        maximumCount: Int, maximumBytes: Int = .max, timeoutMilliseconds: Int, lingerMilliseconds: Int? = nil
    ) throws(KafkaError) -> KafkaMessages {
        precondition(maximumCount > 0 && maximumBytes > 0 && timeoutMilliseconds >= 0)
        try beginPoll()
        defer { poll.withLock { $0.isPolling = false } }
        if let error = client.events.takePending() { throw error }

        var batch = Batch(capacity: maximumCount)
        var deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        // What is there already is taken without a wait.
        var remaining = 0
        while true {
            // librdkafka waits until it has as many as it is asked for: for the first message, one.
            let isFirst = batch.count == 0 && remaining > 0
            let size =
                isFirst ? 1 : readSize(of: batch, maximumCount: maximumCount, maximumBytes: maximumBytes)
            let hadNone = batch.count == 0
            rebalances.setDeferring(true)
            let received = rd_kafka_consume_batch_queue(
                queue.pointer, Int32(clamping: remaining), batch.free, size)
            rebalances.setDeferring(false)
            batch.adopt(max(received, 0), owned: rebalances.owned, client: client)
            if received < 0 {
                client.events.keep(client.error(rd_kafka_last_error(), "poll of group \(groupID)"))
            }
            for change in rebalances.takeNoted() {
                if change.isRevocation { batch.remove(Set(change.list.partitions)) }
                rebalances.apply(change, client: client.pointer, logger: client.events.logger)
            }
            if batch.count >= maximumCount || batch.sizeBytes >= maximumBytes || received < 0 { break }
            if hadNone, batch.count > 0, let lingerMilliseconds {
                deadline = min(deadline, .now + .milliseconds(lingerMilliseconds))
            }
            remaining = (deadline - .now).wholeMilliseconds
            if remaining <= 0 { break }
        }
        if batch.count > 0 {
            client.events.answered()
            let mean = Double(batch.sizeBytes) / Double(batch.count)
            poll.withLock { $0.meanBytes = $0.meanBytes == 0 ? mean : 0.8 * $0.meanBytes + 0.2 * mean }
        } else if let error = client.events.takePending() {
            batch.destroy()
            throw error
        }
        return batch.finish(client: client)
    }

    /// Leaves the group: `onRevoked` is called for what is owned, on this thread. Idempotent. Messages that
    /// were handed out stay valid.
    ///
    /// - Parameter timeoutMilliseconds: After it the group is left as it is, and the broker ends the membership
    ///   with its session.
    public func close(timeoutMilliseconds: Int = 5_000) {
        let isFirst = poll.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        guard isFirst else { return }
        do {
            try leave(timeoutMilliseconds: timeoutMilliseconds)
        } catch {
            client.events.logger.warning("\(error)")
        }
        rebalances.detach()
    }

    /// rd_kafka_consumer_close() waits for the group for ever; with a queue of our own the wait is bounded.
    private func leave(timeoutMilliseconds: Int) throws(KafkaError) {
        let operation = "close of group \(groupID)"
        let deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        guard let queue = KafkaQueue(rd_kafka_queue_new(client.pointer), of: client) else {
            throw client.error(rd_kafka_last_error(), operation)
        }
        try client.check(rd_kafka_consumer_close_queue(client.pointer, queue.pointer), operation)
        while rd_kafka_consumer_closed(client.pointer) == 0 {
            let remaining = (deadline - .now).wholeMilliseconds
            guard remaining > 0 else { throw client.error(RD_KAFKA_RESP_ERR__TIMED_OUT, operation) }
            // The end of the group makes no event, so the wait for one is short.
            guard let event = rd_kafka_queue_poll(queue.pointer, Int32(min(remaining, 10))) else { continue }
            if rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE,
                let list = rd_kafka_event_topic_partition_list(event)
            {
                rebalances.received(
                    Rebalances.Change(
                        code: rd_kafka_event_error(event), list: PartitionList(copying: list),
                        isLost: rd_kafka_assignment_lost(client.pointer) != 0),
                    client: client.pointer, logger: client.events.logger)
            }
            rd_kafka_event_destroy(event)
        }
    }

    func checkOpen(_ operation: @autoclosure () -> String) throws(KafkaError) {
        if poll.withLock({ $0.isClosed }) { throw KafkaError.closed(operation()) }
    }

    private func beginPoll() throws(KafkaError) {
        let wasPolling = poll.withLock { state in
            defer { state.isPolling = true }
            return state.isPolling
        }
        precondition(!wasPolling, "two threads poll the same consumer")
        if poll.withLock({ $0.isClosed }) {
            poll.withLock { $0.isPolling = false }
            throw KafkaError.closed("poll of group \(groupID)")
        }
    }

    /// How many messages to ask for, so that the bytes come out near the limit. Small while sizes are
    /// unknown.
    private func readSize(of batch: borrowing Batch, maximumCount: Int, maximumBytes: Int) -> Int {
        let room = maximumCount - batch.count
        guard maximumBytes < .max else { return room }
        let mean =
            batch.count > 0
            ? max(Double(batch.sizeBytes) / Double(batch.count), poll.withLock { $0.meanBytes })
            : poll.withLock { $0.meanBytes }
        guard mean > 0 else { return min(room, 16) }
        let fitting = Double(maximumBytes - batch.sizeBytes) / mean
        return min(room, max(1, Int(fitting.rounded(.up))))
    }
}

/// The messages read so far by one poll. Whoever holds it ends it with `finish` or `destroy`.
private struct Batch: ~Copyable {
    private let slots: UnsafeMutableBufferPointer<UnsafeMutablePointer<rd_kafka_message_t>?>
    private(set) var count = 0
    private(set) var sizeBytes = 0

    init(capacity: Int) {
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: nil)
    }

    /// Where the next read goes.
    var free: UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>? {
        slots.baseAddress.map { $0 + count }
    }

    /// Takes what a read put behind the last message: keeps messages of owned partitions, drops late ones of
    /// partitions that were given up, and passes on errors, which librdkafka delivers as messages.
    mutating func adopt(_ received: Int, owned: Set<TopicPartition>, client: KafkaClient) {
        let end = count + received
        var lastTopic: OpaquePointer?
        var lastPartition: Int32 = -1
        var isOwned = false
        for index in count..<end {
            guard let message = slots[index] else { continue }
            if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                report(message, client: client)
                rd_kafka_message_destroy(message)
                continue
            }
            if message.pointee.rkt != lastTopic || message.pointee.partition != lastPartition {
                (lastTopic, lastPartition) = (message.pointee.rkt, message.pointee.partition)
                isOwned = owned.contains(Self.topicPartition(message))
            }
            guard isOwned else {
                rd_kafka_message_destroy(message)
                continue
            }
            slots[count] = message
            count += 1
            sizeBytes += message.pointee.len + message.pointee.key_len
        }
    }

    /// Drops the messages of partitions that are being given up.
    mutating func remove(_ partitions: Set<TopicPartition>) {
        let end = count
        (count, sizeBytes) = (0, 0)
        for index in 0..<end {
            guard let message = slots[index] else { continue }
            if partitions.contains(Self.topicPartition(message)) {
                rd_kafka_message_destroy(message)
            } else {
                slots[count] = message
                count += 1
                sizeBytes += message.pointee.len + message.pointee.key_len
            }
        }
    }

    consuming func finish(client: KafkaClient) -> KafkaMessages {
        KafkaMessages(adopting: slots, count: count, sizeBytes: sizeBytes, client: client)
    }

    consuming func destroy() {
        for index in 0..<count { rd_kafka_message_destroy(slots[index]) }
        slots.deallocate()
    }

    private func report(_ message: UnsafeMutablePointer<rd_kafka_message_t>, client: KafkaClient) {
        let code = message.pointee.err
        guard code != RD_KAFKA_RESP_ERR__PARTITION_EOF else { return }
        let place =
            message.pointee.rkt.map { "reading \(String(cString: rd_kafka_topic_name($0)))" } ?? "reading"
        let text = String(cString: rd_kafka_message_errstr(message))
        client.events.keep(KafkaError(code: code, message: text, operation: place))
    }

    private static func topicPartition(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> TopicPartition
    {
        TopicPartition(
            topic: String(cString: rd_kafka_topic_name(message.pointee.rkt)),
            partition: message.pointee.partition)
    }
}

extension Duration {
    /// Rounded up, so that a wait for it does not end early.
    var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(clamping: seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
