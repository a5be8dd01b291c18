import CRdKafka

/// The messages read so far by one poll. Whoever holds it ends it with `finish` or `destroy`.
struct PolledBatch: ~Copyable {
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
    /// partitions that were given up and those behind a failure, and passes on errors, which librdkafka delivers as
    /// messages.
    ///
    /// - Returns: What keeps partitions from being read.
    mutating func adopt(
        _ received: Int, owned: Set<TopicPartition>, client: KafkaClient,
        stopped: [TopicPartition: KafkaReadFailure]
    ) -> [KafkaReadFailure] {
        let end = count + received
        var failures: [KafkaReadFailure] = []
        var stopped = stopped
        var lastTopic: OpaquePointer?
        var lastPartition: Int32 = -1
        var isOwned = false
        for index in count..<end {
            guard let message = slots[index] else { continue }
            if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                if let failure = Self.failure(message), owned.contains(failure.partition) {
                    failures.append(failure)
                    stopped[failure.partition] = failure
                    lastTopic = nil
                } else {
                    report(message, client: client)
                }
                rd_kafka_message_destroy(message)
                continue
            }
            if message.pointee.rkt != lastTopic || message.pointee.partition != lastPartition {
                (lastTopic, lastPartition) = (message.pointee.rkt, message.pointee.partition)
                let partition = Self.topicPartition(message)
                isOwned = owned.contains(partition) && stopped[partition] == nil
            }
            guard isOwned else {
                rd_kafka_message_destroy(message)
                continue
            }
            slots[count] = message
            count += 1
            sizeBytes += message.pointee.len + message.pointee.key_len
        }
        return failures
    }

    private static func failure(
        _ message: UnsafeMutablePointer<rd_kafka_message_t>
    ) -> KafkaReadFailure? {
        guard message.pointee.rkt != nil, let kind = KafkaReadFailure.Kind(message.pointee.err) else {
            return nil
        }
        return KafkaReadFailure(
            kind: kind, partition: topicPartition(message), offset: message.pointee.offset,
            reason: String(cString: rd_kafka_message_errstr(message)))
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
