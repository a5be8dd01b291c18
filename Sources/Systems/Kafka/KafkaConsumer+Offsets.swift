import CRdKafka

// MARK: Offsets. An offset is always that of the next message to read: the last one done and one.

extension KafkaConsumer {
    /// Commits outside of any transaction, and waits for the broker's answer: at least once.
    ///
    /// - Parameter group: This member's place under which the offsets were read; nil: its place of now.
    /// - Throws: `KafkaError`; `isGenerationChange` when the group has moved on meanwhile.
    public func commit(
        _ offsets: [TopicPartition: Int64], group: KafkaGroupMetadata? = nil,
        timeoutMilliseconds: Int = 30_000
    ) throws(KafkaError) {
        guard !offsets.isEmpty else { return }
        let operation = "commit of \(offsets.count) offsets of group \(groupID)"
        try checkOpen(operation)
        // librdkafka commits under its generation of now. Once it has heard that it was removed that is none, and a
        // group without members takes such offsets from anybody.
        if let group, try groupMetadata().generation != group.generation {
            throw client.error(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, operation)
        }
        // With a queue of our own the wait can be bounded; rd_kafka_commit() waits for ever.
        guard let answers = KafkaQueue(rd_kafka_queue_new(client.pointer), of: client) else {
            throw client.error(rd_kafka_last_error(), operation)
        }
        let list = PartitionList(offsets: offsets)
        let code = rd_kafka_commit_queue(client.pointer, list.pointer, answers.pointer, nil, nil)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
        guard let event = rd_kafka_queue_poll(answers.pointer, Int32(clamping: timeoutMilliseconds)) else {
            throw client.error(RD_KAFKA_RESP_ERR__TIMED_OUT, operation)
        }
        defer { rd_kafka_event_destroy(event) }
        let result = rd_kafka_event_error(event)
        guard result == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(result, operation) }
        // The list is the event's own.
        if let list = rd_kafka_event_topic_partition_list(event),
            let failure = PartitionList(copying: list).firstError
        {
            throw client.error(failure.code, "commit of \(failure.partition) of group \(groupID)")
        }
    }

    /// The group's committed offsets; partitions without one are absent. Waits while a transaction that holds
    /// offsets of these partitions is open.
    public func committed(
        _ partitions: [TopicPartition], timeoutMilliseconds: Int = 30_000
    ) throws(KafkaError) -> [TopicPartition: Int64] {
        guard !partitions.isEmpty else { return [:] }
        let operation = "committed offsets of group \(groupID)"
        try checkOpen(operation)
        let list = PartitionList(partitions)
        let code = rd_kafka_committed(client.pointer, list.pointer, Int32(clamping: timeoutMilliseconds))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
        if let failure = list.firstError {
            throw client.error(failure.code, "\(operation), \(failure.partition)")
        }
        return list.offsets
    }

    /// Where polling goes on; partitions of which nothing was polled yet are absent.
    public func position(_ partitions: [TopicPartition]) throws(KafkaError) -> [TopicPartition: Int64] {
        let list = PartitionList(partitions)
        let code = rd_kafka_position(client.pointer, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw client.error(code, "positions of group \(groupID)")
        }
        return list.offsets
    }

    /// Goes on reading from these offsets, as after an aborted transaction. What was prefetched is dropped.
    ///
    /// - Throws: `KafkaError`, for instance for a partition that is not assigned.
    public func seek(
        _ offsets: [TopicPartition: Int64], timeoutMilliseconds: Int = 10_000
    ) throws(KafkaError) {
        guard !offsets.isEmpty else { return }
        let operation = "seek in group \(groupID)"
        try checkOpen(operation)
        let list = PartitionList(offsets: offsets)
        try client.check(
            rd_kafka_seek_partitions(client.pointer, list.pointer, Int32(clamping: timeoutMilliseconds)),
            operation)
        if let failure = list.firstError { throw client.error(failure.code, "seek in \(failure.partition)") }
        forgetFailures(of: offsets.keys)
    }

    public func seek(_ partition: TopicPartition, offset: Int64) throws(KafkaError) {
        try seek([partition: offset])
    }

    /// Goes on reading a partition whose reading has stopped for want of its offset (`KafkaReadFailure.Kind.outOfRange`):
    /// librdkafka seeks only where it reads. Reading of the others begins anew where it stands.
    public func restart(_ partition: TopicPartition, offset: Int64) throws(KafkaError) {
        let operation = "restart of \(partition)"
        try checkOpen(operation)
        guard assignment.contains(partition) else {
            throw KafkaError(invalid: "the partition is not assigned", operation: operation)
        }
        var starts = rebalances.starts
        starts.merge(try position(assignment.sorted())) { $1 }
        starts[partition] = offset
        try rebalances.restart(starts, of: partition, client: client, operation: operation)
        forgetFailures(of: [partition])
    }

    /// Stops reading from these partitions while polls go on, so that the membership is kept. Drops what was
    /// prefetched.
    public func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
        try change(partitions, "pause", rd_kafka_pause_partitions)
    }

    public func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
        try change(partitions, "resume", rd_kafka_resume_partitions)
    }

    private func change(
        _ partitions: [TopicPartition], _ word: String,
        _ function: (OpaquePointer?, UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?) ->
            rd_kafka_resp_err_t
    ) throws(KafkaError) {
        guard !partitions.isEmpty else { return }
        try checkOpen(word)
        let list = PartitionList(partitions)
        let code = function(client.pointer, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, "\(word) of \(partitions)") }
        if let failure = list.firstError {
            throw client.error(failure.code, "\(word) of \(failure.partition)")
        }
    }
}

// MARK: The cluster

extension KafkaConsumer {
    /// Who this member is in its group right now, for the transaction that commits its offsets. Take it for
    /// each transaction anew: the broker refuses offsets under the metadata of an older generation.
    public func groupMetadata() throws(KafkaError) -> KafkaGroupMetadata {
        try checkOpen("metadata of group \(groupID)")
        guard let pointer = rd_kafka_consumer_group_metadata(client.pointer) else {
            throw KafkaError(invalid: "the consumer has no group", operation: "metadata of group \(groupID)")
        }
        return KafkaGroupMetadata(pointer: pointer)
    }

    /// - Throws: `KafkaError`; an unknown topic is `UNKNOWN_TOPIC_OR_PART`.
    public func partitionCount(topic: String, timeoutMilliseconds: Int = 10_000) throws(KafkaError) -> Int {
        try checkOpen("metadata of topic \(topic)")
        return try client.partitionCount(topic: topic, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// The offset of the first message there is and the one after the last that is committed (messages of a
    /// transaction that is still open come after it), asked of the broker. The lag is the upper bound less
    /// the committed offset; markers of transactions count as messages in it.
    public func watermarks(
        _ partition: TopicPartition, timeoutMilliseconds: Int = 10_000
    ) throws(KafkaError) -> Range<Int64> {
        try checkOpen("watermarks of \(partition)")
        return try client.watermarks(partition, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// The offset after the partition's last message, as the last answer to a fetch said; nil: none has come yet. Asks
    /// nobody.
    public func knownEnd(_ partition: TopicPartition) -> Int64? {
        guard (try? checkOpen("end of \(partition)")) != nil else { return nil }
        return client.knownEnd(partition)
    }

    /// Whether a broker can be reached: immediate while nothing is amiss, else a broker is asked, for at most
    /// the timeout.
    public func isConnected(timeoutMilliseconds: Int = 1000) -> Bool {
        client.isConnected(timeoutMilliseconds: timeoutMilliseconds)
    }
}

/// A consumer's place in its group at one moment.
///
/// `@unchecked Sendable`: immutable after creation and freed once.
public final class KafkaGroupMetadata: @unchecked Sendable {
    let pointer: OpaquePointer

    init(pointer: OpaquePointer) { self.pointer = pointer }

    deinit { rd_kafka_consumer_group_metadata_destroy(pointer) }

    /// Whether this is a place in a generation of the group. Offsets sent under none are taken by a broker
    /// without a question, as those of a consumer that is in no group.
    public var isMember: Bool { generation != -1 }

    /// -1: none; -2: the library cannot tell.
    var generation: Int32 { kafka_group_generation(pointer) }
}
