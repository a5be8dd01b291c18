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
    let onAssigned: @Sendable ([TopicPartition], KafkaGroupMetadata) -> Void
    let onRevoked: @Sendable ([TopicPartition], _ lost: Bool) -> Void

    struct Change: Sendable {
        let code: rd_kafka_resp_err_t
        let list: PartitionList
        let isLost: Bool
        var isRevocation: Bool { code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS }
    }

    private struct State {
        var owned: Set<TopicPartition> = []
        var isCooperative = false
        var isDeferring = false
        var noted: [Change] = []
        /// The consumer's queue, woken so that a waiting read returns and the change is applied at once.
        var queue: KafkaQueue?
    }
    private let state = Mutex(State())

    init(
        onAssigned: @escaping @Sendable ([TopicPartition], KafkaGroupMetadata) -> Void,
        onRevoked: @escaping @Sendable ([TopicPartition], _ lost: Bool) -> Void
    ) {
        self.onAssigned = onAssigned
        self.onRevoked = onRevoked
    }

    var owned: Set<TopicPartition> { state.withLock { $0.owned } }

    /// The queue holds its client, and the client holds us: `detach` breaks the circle.
    func attach(_ queue: KafkaQueue) { state.withLock { $0.queue = queue } }
    func detach() { state.withLock { $0.queue = nil } }

    func setDeferring(_ isDeferring: Bool) { state.withLock { $0.isDeferring = isDeferring } }

    func takeNoted() -> [Change] {
        state.withLock { state in
            guard !state.noted.isEmpty else { return [] }
            defer { state.noted = [] }
            return state.noted
        }
    }

    /// librdkafka's callback, on the thread that polls or closes.
    func received(_ change: Change, client: OpaquePointer, logger: Logger) {
        let isNoted = state.withLock { state in
            guard state.isDeferring else { return false }
            state.noted.append(change)
            // Not rd_kafka_yield(): in a batch read it drops the message that it interrupts.
            if let queue = state.queue { rd_kafka_queue_yield(queue.pointer) }
            return true
        }
        if !isNoted { apply(change, client: client, logger: logger) }
    }

    /// Tells the owner and answers librdkafka.
    func apply(_ change: Change, client: OpaquePointer, logger: Logger) {
        let partitions = change.list.partitions
        let isCooperative = isCooperative(client)
        var error: OpaquePointer?
        var code = RD_KAFKA_RESP_ERR_NO_ERROR
        if change.isRevocation {
            logger.info(
                "Kafka: partitions revoked",
                metadata: ["partitions": "\(partitions)", "lost": "\(change.isLost)"])
            onRevoked(partitions, change.isLost)
            state.withLock { $0.owned.subtract(partitions) }
            if isCooperative {
                error = rd_kafka_incremental_unassign(client, change.list.pointer)
            } else {
                state.withLock { $0.owned = [] }
                code = rd_kafka_assign(client, nil)
            }
        } else {
            logger.info("Kafka: partitions assigned", metadata: ["partitions": "\(partitions)"])
            state.withLock { $0.owned.formUnion(partitions) }
            // Told first, so that the owner is ready before the first message; none comes before the next
            // read. The group cannot have moved on from the generation of these partitions before we answer.
            if let group = rd_kafka_consumer_group_metadata(client) {
                onAssigned(partitions, KafkaGroupMetadata(pointer: group))
            }
            if isCooperative {
                error = rd_kafka_incremental_assign(client, change.list.pointer)
            } else {
                code = rd_kafka_assign(client, change.list.pointer)
            }
        }
        let operation = change.isRevocation ? "giving up \(partitions)" : "taking over \(partitions)"
        if let error {
            logger.error("\(KafkaError(consuming: error, operation: operation))")
        } else if code != RD_KAFKA_RESP_ERR_NO_ERROR {
            logger.error("\(KafkaError(code: code, operation: operation))")
        }
    }
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
    rebalances.received(change, client: client, logger: events.logger)
}
