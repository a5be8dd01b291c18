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
        let wanted = PartitionList(
            (0..<partitions).map { TopicPartition(topic: topic, partition: Int32($0)) })
        var requests: [OpaquePointer?] = [rd_kafka_ListConsumerGroupOffsets_new(group, wanted.pointer)]
        defer { rd_kafka_ListConsumerGroupOffsets_destroy(requests[0]) }
        return try ask(
            operation, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeoutMilliseconds,
            waitsForBrokers: false,
            request: { rd_kafka_ListConsumerGroupOffsets(client.pointer, &requests, 1, $0, $1) },
            body: { event throws(KafkaError) in try offsets(in: event, operation) })
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

    /// The offsets after the last message of a topic's partitions, asked of all leaders at once.
    ///
    /// - Parameter partitions: How many the topic has.
    public func ends(
        topic: String, partitions: Int, timeoutMilliseconds: Int = 5_000
    ) throws(KafkaError) -> [Int32: Int64] {
        let operation = "ends of topic \(topic)"
        let list = PartitionList((0..<partitions).map { TopicPartition(topic: topic, partition: Int32($0)) })
        // The call takes times in the place of offsets, and these two words as the protocol does.
        list.setOffsets { _ in Int64(RD_KAFKA_OFFSET_END) }
        let code = rd_kafka_offsets_for_times(
            client.pointer, list.pointer, Int32(clamping: timeoutMilliseconds))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
        if let failed = list.firstError { throw client.error(failed.code, "end of \(failed.partition)") }
        return Dictionary(list.offsets.map { ($0.key.partition, $0.value) }, uniquingKeysWith: max)
    }

    /// Whether a broker answers within the time.
    public func isAnswering(timeoutMilliseconds: Int = 1_000) -> Bool {
        client.isConnected(timeoutMilliseconds: timeoutMilliseconds)
    }
}
