import CRdKafka

// MARK: Where groups and topics stand, asked by somebody who is in no group

extension KafkaAdmin {
    /// A group's committed offsets of a topic's partitions. Those without one, and those that the broker does not tell
    /// because a transaction is about to change them, are absent.
    ///
    /// - Parameter partitions: How many the topic has.
    public func committedOffsets(
        group: String, topic: String, partitions: Int, timeoutMilliseconds: Int = 5_000
    ) throws(KafkaError) -> [Int32: Int64] {
        let operation = "offsets of group \(group)"
        guard let queue = KafkaQueue(rd_kafka_queue_new(client.pointer), of: client) else {
            throw client.error(rd_kafka_last_error(), operation)
        }
        let options = rd_kafka_AdminOptions_new(client.pointer, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)
        defer { rd_kafka_AdminOptions_destroy(options) }
        let timeout = Int32(clamping: timeoutMilliseconds)
        var text = [CChar](repeating: 0, count: 512)
        let code = rd_kafka_AdminOptions_set_request_timeout(options, timeout, &text, text.count)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code: code, message: KafkaError.string(text), operation: operation)
        }
        let wanted = PartitionList(
            (0..<partitions).map { TopicPartition(topic: topic, partition: Int32($0)) })
        var requests: [OpaquePointer?] = [rd_kafka_ListConsumerGroupOffsets_new(group, wanted.pointer)]
        defer { rd_kafka_ListConsumerGroupOffsets_destroy(requests[0]) }
        rd_kafka_ListConsumerGroupOffsets(client.pointer, &requests, 1, options, queue.pointer)
        guard let event = rd_kafka_queue_poll(queue.pointer, timeout) else {
            throw client.error(RD_KAFKA_RESP_ERR__TIMED_OUT, operation)
        }
        defer { rd_kafka_event_destroy(event) }
        let answer = rd_kafka_event_error(event)
        guard answer == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(answer, operation) }
        return try offsets(in: event, operation)
    }

    private func offsets(
        in event: OpaquePointer, _ operation: String
    ) throws(KafkaError) -> [Int32: Int64] {
        var count = 0
        let groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
            rd_kafka_event_ListConsumerGroupOffsets_result(event), &count)
        guard count > 0, let group = groups?[0] else { return [:] }
        if let error = rd_kafka_group_result_error(group) {
            throw client.error(rd_kafka_error_code(error), operation)
        }
        // The list is the event's own.
        guard let list = rd_kafka_group_result_partitions(group) else { return [:] }
        let offsets = PartitionList(copying: list).offsets
        return Dictionary(offsets.map { ($0.key.partition, $0.value) }, uniquingKeysWith: max)
    }

    /// The offset of the first message there is and the one after the last, asked of the partition's leader.
    public func watermarks(
        _ partition: TopicPartition, timeoutMilliseconds: Int = 5_000
    ) throws(KafkaError) -> Range<Int64> {
        try client.watermarks(partition, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// Whether a broker answers within the time.
    public func isAnswering(timeoutMilliseconds: Int = 1_000) -> Bool {
        client.isConnected(timeoutMilliseconds: timeoutMilliseconds)
    }
}
