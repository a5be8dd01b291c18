import CRdKafka
import Logging
import Synchronization

/// A member of a consumer group that commits by hand, sees committed transactions only, and reads in batches.
///
/// What moves the reading (`poll`, `seek`, `restart`, `pause`, `resume`, `takeReadFailures`) is called by one thread at a
/// time, and `close` when that has stopped. `commit` and everything that only asks (`committed`, `groupMetadata`,
/// `position`, `assignment`, `partitionCount`, `watermarks`, `isConnected`) may be called from any thread, also while
/// another one polls. All calls block.
public final class KafkaConsumer: Sendable {
    public enum OffsetReset: Sendable {
        case earliest, latest

        var logicalOffset: Int64 {
            switch self {
            case .earliest: Int64(RD_KAFKA_OFFSET_BEGINNING)
            case .latest: Int64(RD_KAFKA_OFFSET_END)
            }
        }
    }

    public let groupID: String
    let settings: KafkaSettings
    let client: KafkaClient
    private let queue: KafkaQueue
    let rebalances: Rebalances
    private let poll = Mutex(PollState())

    private let offsetReset: OffsetReset

    struct PollState {
        var isClosed = false
        var isPolling = false
        /// Where reading stopped, until a seek.
        var failures: [TopicPartition: KafkaReadFailure] = [:]
        /// Of those, the ones that nobody has taken yet.
        var untaken: [KafkaReadFailure] = []
        /// Running mean of a message's size, by which a read is sized so that it stays near `maximumBytes`.
        var meanBytes = 0.0
    }

    /// Joins the group: with the first poll the partitions come.
    ///
    /// - Parameters:
    ///   - offsetReset: Where to begin in a partition of which the group has no offset. An offset that does not
    ///     exist (any more) is a failure of reading: `takeReadFailures`.
    ///   - onAssigned: Called by `poll`, before the first message of these partitions.
    ///   - onRevoked: Called by `poll` or `close` before the partitions are given up: finish or abandon their
    ///     work and commit, there is time. When `lost` they have another owner already: abandon, commit
    ///     nothing. No message of theirs is handed out afterwards.
    /// - Throws: `KafkaError` for a wrong setting. A broker that is away is no error here: polls report it.
    public init(
        settings: KafkaSettings, groupID: String, offsetReset: OffsetReset = .earliest, topics: [String],
        onAssigned: @escaping @Sendable (KafkaAssignment) -> Void = { _ in },
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
                required: ["group.id": groupID, "auto.offset.reset": "error"],
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
        self.settings = settings
        self.client = client
        self.queue = queue
        self.rebalances = rebalances
        self.offsetReset = offsetReset
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

        var batch = PolledBatch(capacity: maximumCount)
        var deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        // What is there already is taken without a wait.
        var remaining = 0
        while applyChanges(to: &batch) {
            // librdkafka waits until it has as many as it is asked for: for the first message, one.
            let isFirst = batch.count == 0 && remaining > 0
            let size =
                isFirst ? 1 : readSize(of: batch, maximumCount: maximumCount, maximumBytes: maximumBytes)
            let hadNone = batch.count == 0
            rebalances.setDeferring(true)
            let received = rd_kafka_consume_batch_queue(
                queue.pointer, Int32(clamping: remaining), batch.free, size)
            rebalances.setDeferring(false)
            let failures = batch.adopt(
                max(received, 0), owned: rebalances.owned, client: client,
                stopped: poll.withLock { $0.failures })
            note(failures)
            if received < 0 {
                client.events.keep(client.error(rd_kafka_last_error(), "poll of group \(groupID)"))
            }
            guard applyChanges(to: &batch) else { break }
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

    /// Ends: `onRevoked` is called for what is owned, on a thread that this one waits for, a second at most. Idempotent.
    /// Messages that were handed out stay valid.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: After it the group is left as it is, and the broker ends the membership with its session.
    ///   - isLeaving: A static member gives up its place, too, and the others get its partitions at once. Otherwise it
    ///     keeps its place for a session's time, and has its partitions again when it is back before that. Other members
    ///     always leave.
    public func close(timeoutMilliseconds: Int = 5_000, isLeaving: Bool = false) {
        let isFirst = poll.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        guard isFirst else { return }
        var deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        do {
            if isLeaving {
                answerNoted()
                awaitMembership(until: deadline - Self.leavingTime)
                deadline = max(deadline, .now + Self.leavingTime)
                try leave(until: deadline)
            }
            try end(until: deadline)
        } catch {
            client.events.logger.warning("\(error)")
        }
        rebalances.detach()
    }

    /// What is kept for leaving of the time in which a member waits for the answer to its joining.
    private static let leavingTime = Duration.milliseconds(500)

    /// What the group has given or taken and nobody has answered yet would be waited for.
    private func answerNoted() {
        while let change = rebalances.noted {
            if change.isRevocation {
                _ = rd_kafka_assign(client.pointer, nil)
            } else {
                rebalances.decline(client: client.pointer, logger: client.events.logger)
            }
            rebalances.dropNoted()
        }
    }

    /// The group has a member from the moment on at which it is asked, and answers when all others have come. librdkafka
    /// tells the group nothing of the end of a member that does not know yet that it is one, and a broker reads nothing
    /// more of a connection while a request to join waits on it: its partitions would have no reader until its session is
    /// over. One that has been told its place, and not what it has there, would leave while the others wait for what the
    /// first of them deals out, which it may be.
    private func awaitMembership(until deadline: ContinuousClock.Instant) {
        guard !isMember, client.isConnected(timeoutMilliseconds: 300) else { return }
        while !isMember, .now < deadline {
            if let message = rd_kafka_consumer_poll(client.pointer, 10) { rd_kafka_message_destroy(message) }
        }
    }

    private var isMember: Bool { hasMemberID && rebalances.isSettled }

    /// A static member that closes keeps its place (KIP-345), and librdkafka has no call for giving it up. But one that
    /// gives up its subscription first tells the group so, static or not.
    private func leave(until deadline: ContinuousClock.Instant) throws(KafkaError) {
        let code = rd_kafka_unsubscribe(client.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, "leaving group \(groupID)") }
        // Polls serve the revocation; the id of the member is gone when the group has been told.
        while hasMemberID, .now < deadline {
            if let message = rd_kafka_consumer_poll(client.pointer, 10) { rd_kafka_message_destroy(message) }
        }
    }

    private var hasMemberID: Bool {
        guard let id = rd_kafka_memberid(client.pointer) else { return false }
        defer { rd_kafka_mem_free(client.pointer, id) }
        return id.pointee != 0
    }

    /// rd_kafka_consumer_close() waits for the group for ever; with a queue of our own the wait is bounded.
    private func end(until deadline: ContinuousClock.Instant) throws(KafkaError) {
        let operation = "close of group \(groupID)"
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
                let change = Rebalances.Change(
                    code: rd_kafka_event_error(event), list: PartitionList(copying: list),
                    isLost: rd_kafka_assignment_lost(client.pointer) != 0)
                answer(change, waiting: min(remaining, Self.answerMilliseconds))
            }
            rd_kafka_event_destroy(event)
        }
    }

    /// How long the end of a group waits for an answer of the owner or of librdkafka before it looks on.
    private static let answerMilliseconds = 1_000

    /// Should librdkafka have ended the group since it said what it gives or takes, it answers no more what is asked of the
    /// group: that costs a thread and its client then, and not who closes.
    private func answer(_ change: Rebalances.Change, waiting milliseconds: Int) {
        let (client, rebalances) = (client, rebalances)
        _ = CallThread(name: "kafka close").call(timeoutMilliseconds: milliseconds) {
            if rebalances.received(change, client: client.pointer, logger: client.events.logger) {
                rebalances.decline(client: client.pointer, logger: client.events.logger)
            }
        }
    }

    /// What keeps partitions from being read, since the last call. A partition gives nothing more until a `seek`
    /// says where to go on.
    public func takeReadFailures() -> [KafkaReadFailure] {
        poll.withLock { state in
            defer { state.untaken = [] }
            return state.untaken
        }
    }

    func forgetFailures(of partitions: some Sequence<TopicPartition>) {
        poll.withLock { state in
            for partition in partitions {
                state.failures[partition] = nil
                state.untaken.removeAll { $0.partition == partition }
            }
        }
    }

    private func note(_ failures: [KafkaReadFailure]) {
        for failure in failures {
            let isNew = poll.withLock { state in
                guard state.failures[failure.partition] == nil else { return false }
                state.failures[failure.partition] = failure
                state.untaken.append(failure)
                return true
            }
            if isNew { client.events.logger.warning("Kafka: \(failure)") }
        }
    }

    /// Applies the rebalances that were noted.
    ///
    /// - Returns: false when one needs the committed offsets and they are not to be had: the error is kept, and the
    ///   next poll tries again. The group waits for the answer meanwhile, with its session alive.
    private func applyChanges(to batch: inout PolledBatch) -> Bool {
        while let change = rebalances.noted {
            let logger = client.events.logger
            let partitions = change.list.partitions
            if change.isRevocation {
                batch.remove(Set(partitions))
                forgetFailures(of: partitions)
                rebalances.revoke(change, client: client.pointer, logger: logger)
            } else {
                do {
                    rebalances.assign(
                        change, committed: try committed(partitions, timeoutMilliseconds: 3_000),
                        otherwise: offsetReset.logicalOffset, client: client.pointer, logger: logger)
                } catch {
                    client.events.keep(error)
                    return false
                }
            }
            rebalances.dropNoted()
        }
        return true
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
    private func readSize(of batch: borrowing PolledBatch, maximumCount: Int, maximumBytes: Int) -> Int {
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

extension Duration {
    /// Rounded up, so that a wait for it does not end early.
    var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(clamping: seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
