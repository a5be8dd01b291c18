import CRdKafka
import Logging
import Synchronization

/// What the group gives to this consumer and takes from it.
///
/// librdkafka calls back in the middle of a batch, when messages of a partition that is being taken away may
/// already lie in the batch. So while a batch is read a change is only noted (`Mutex` below), librdkafka
/// waits ("the application must call assign"), and the poll applies the note between two reads: first it
/// drops that partition's messages, then it tells the owner, then it gives the partition up. Nothing of a
/// partition is handed out after `onRevoked` named it, and nothing is read twice.
final class Rebalances: Sendable {
    let onAssigned: @Sendable (KafkaAssignment) -> Void
    let onRevoked: @Sendable ([TopicPartition], _ lost: Bool) -> Void

    struct Change: Sendable {
        let code: rd_kafka_resp_err_t
        let list: PartitionList
        let isLost: Bool
        var isRevocation: Bool { code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS }
    }

    private struct State {
        var owned: Set<TopicPartition> = []
        /// Where reading was last told to begin.
        var starts: [TopicPartition: Int64] = [:]
        var isCooperative = false
        var isDeferring = false
        /// The group has given something, be it nothing, and taken nothing since: no request to join is under way.
        var isSettled = false
        var noted: [Change] = []
        /// The consumer's queue, woken so that a waiting read returns and the change is applied at once.
        var queue: KafkaQueue?
    }
    private let state = Mutex(State())

    init(
        onAssigned: @escaping @Sendable (KafkaAssignment) -> Void,
        onRevoked: @escaping @Sendable ([TopicPartition], _ lost: Bool) -> Void
    ) {
        self.onAssigned = onAssigned
        self.onRevoked = onRevoked
    }

    var owned: Set<TopicPartition> { state.withLock { $0.owned } }
    /// Whether the group has answered the last request to join it.
    var isSettled: Bool { state.withLock { $0.isSettled } }
    /// Of what is owned.
    var starts: [TopicPartition: Int64] {
        state.withLock { state in state.starts.filter { state.owned.contains($0.key) } }
    }

    /// The queue holds its client, and the client holds us: `detach` breaks the circle.
    func attach(_ queue: KafkaQueue) { state.withLock { $0.queue = queue } }
    func detach() { state.withLock { $0.queue = nil } }

    func setDeferring(_ isDeferring: Bool) { state.withLock { $0.isDeferring = isDeferring } }

    /// The oldest change that is not applied yet. It stays until `dropNoted`.
    var noted: Change? { state.withLock { $0.noted.first } }

    func dropNoted() { state.withLock { _ = $0.noted.removeFirst() } }

    /// librdkafka's callback, on the thread that polls or closes.
    ///
    /// - Returns: Whether what was assigned is to be declined: the consumer closes, and takes nothing over any more.
    func received(_ change: Change, client: OpaquePointer, logger: Logger) -> Bool {
        let isNoted = state.withLock { state in
            state.isSettled = !change.isRevocation
            guard state.isDeferring else { return false }
            state.noted.append(change)
            // Not rd_kafka_yield(): in a batch read it drops the message that it interrupts.
            if let queue = state.queue { rd_kafka_queue_yield(queue.pointer) }
            return true
        }
        guard !isNoted else { return false }
        guard change.isRevocation else { return true }
        revoke(change, client: client, logger: logger)
        return false
    }

    /// Takes nothing of what was assigned. An assignment of nothing, and not the end of one: librdkafka waits for an
    /// assignment, and until there is one it does not leave a group either.
    func decline(client: OpaquePointer, logger: Logger) {
        let nothing = PartitionList([TopicPartition]())
        withExtendedLifetime(nothing) {
            if isCooperative(client) {
                log(rd_kafka_incremental_assign(client, nothing.pointer), "taking over nothing", logger)
            } else {
                log(rd_kafka_assign(client, nothing.pointer), "taking over nothing", logger)
            }
        }
    }

    /// Tells the owner and answers librdkafka.
    func revoke(_ change: Change, client: OpaquePointer, logger: Logger) {
        let partitions = change.list.partitions
        logger.info(
            "Kafka: partitions revoked",
            metadata: ["partitions": "\(partitions)", "lost": "\(change.isLost)"])
        onRevoked(partitions, change.isLost)
        state.withLock { $0.owned.subtract(partitions) }
        let operation = "giving up \(partitions)"
        if isCooperative(client) {
            log(rd_kafka_incremental_unassign(client, change.list.pointer), operation, logger)
        } else {
            state.withLock { $0.owned = [] }
            log(rd_kafka_assign(client, nil), operation, logger)
        }
    }

    /// Tells the owner and answers librdkafka.
    ///
    /// - Parameters:
    ///   - committed: Where reading begins; partitions that are absent have no committed offset.
    ///   - otherwise: Where those begin, one of librdkafka's logical offsets.
    func assign(
        _ change: Change, committed: [TopicPartition: Int64], otherwise: Int64, client: OpaquePointer,
        logger: Logger
    ) {
        let partitions = change.list.partitions
        change.list.setOffsets { committed[$0] ?? otherwise }
        state.withLock { state in
            for partition in partitions { state.starts[partition] = committed[partition] ?? otherwise }
        }
        logger.info("Kafka: partitions assigned", metadata: ["partitions": "\(partitions)"])
        state.withLock { $0.owned.formUnion(partitions) }
        // Told first, so that the owner is ready before the first message; none comes before the next read. The
        // group cannot have moved on from the generation of these partitions before we answer.
        if let group = rd_kafka_consumer_group_metadata(client) {
            onAssigned(
                KafkaAssignment(
                    partitions: partitions, committed: committed, group: KafkaGroupMetadata(pointer: group)))
        }
        let operation = "taking over \(partitions)"
        if isCooperative(client) {
            log(rd_kafka_incremental_assign(client, change.list.pointer), operation, logger)
        } else {
            log(rd_kafka_assign(client, change.list.pointer), operation, logger)
        }
    }

    /// Assigns anew what is owned, so that reading begins where it is told.
    func restart(
        _ starts: [TopicPartition: Int64], of partition: TopicPartition, client: KafkaClient,
        operation: String
    ) throws(KafkaError) {
        if isCooperative(client.pointer) {
            let one = PartitionList([partition])
            one.setOffsets { starts[$0] ?? Int64(RD_KAFKA_OFFSET_INVALID) }
            // The list must outlive the calls that read it.
            let errors = withExtendedLifetime(one) {
                (
                    rd_kafka_incremental_unassign(client.pointer, one.pointer),
                    rd_kafka_incremental_assign(client.pointer, one.pointer)
                )
            }
            try client.check(errors.0, operation)
            try client.check(errors.1, operation)
        } else {
            let all = PartitionList(offsets: starts)
            let code = withExtendedLifetime(all) { rd_kafka_assign(client.pointer, all.pointer) }
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
        }
        state.withLock { $0.starts.merge(starts) { $1 } }
    }

    private func log(_ error: OpaquePointer?, _ operation: String, _ logger: Logger) {
        if let error { logger.error("\(KafkaError(consuming: error, operation: operation))") }
    }

    private func log(_ code: rd_kafka_resp_err_t, _ operation: String, _ logger: Logger) {
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        logger.error("\(KafkaError(code: code, operation: operation))")
    }
}

/// What the group gives to a member.
public struct KafkaAssignment: Sendable {
    /// New ones; all of them where rebalances are eager.
    public let partitions: [TopicPartition]
    /// The group's committed offsets of these partitions, where reading begins; those without one are absent.
    public let committed: [TopicPartition: Int64]
    /// This member's place in the group under which the partitions may be read: their offsets are to be committed
    /// under no later one.
    public let group: KafkaGroupMetadata
}

extension Rebalances {
    /// Whether only what changes is named. librdkafka cannot tell while it closes: then it is as it was.
    private func isCooperative(_ client: OpaquePointer) -> Bool {
        let name = rd_kafka_rebalance_protocol(client).map { String(cString: $0) }
        return state.withLock { state in
            if let name { state.isCooperative = name == "COOPERATIVE" }
            return state.isCooperative
        }
    }
}

func forwardRebalance(
    client: OpaquePointer?, code: rd_kafka_resp_err_t,
    list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?, opaque: UnsafeMutableRawPointer?
) {
    guard let client, let list, let events = ClientEvents.of(opaque), let rebalances = events.rebalances
    else { return }
    let change = Rebalances.Change(
        code: code, list: PartitionList(copying: list), isLost: rd_kafka_assignment_lost(client) != 0)
    if rebalances.received(change, client: client, logger: events.logger) {
        rebalances.decline(client: client, logger: events.logger)
    }
}
