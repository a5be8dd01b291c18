import CRdKafka

// MARK: Transactions
//
// The order is init once, then begin, produce and send offsets, commit or abort, and begin again. Errors say
// what to do: `isRetryable`: the same call again (a commit that timed out goes on in the background, and a
// second call picks it up); `requiresAbort`: abort, and do the work again; `isFenced` or `isFatal`: this
// producer is done for.
//
// Each call is made on the producer's own thread and waited for a little longer than its time-out: librdkafka
// does not keep all of them. A call that does not come back makes the producer unusable (`isFatal`).

extension KafkaProducer {
    /// Once, before the first transaction: fences older producers with this id and ends what they left open.
    public func initTransactions(timeoutMilliseconds: Int = 60_000) throws(KafkaError) {
        try checkTransactional("transactions")
        try call("start of transactions", timeoutMilliseconds) {
            rd_kafka_init_transactions($0, Int32(clamping: timeoutMilliseconds))
        }
    }

    public func begin() throws(KafkaError) {
        try checkTransactional("begin of a transaction")
        serveEvents(timeoutMilliseconds: 0)
        _ = takeFailures()
        try call("begin of a transaction", 1_000) { rd_kafka_begin_transaction($0) }
    }

    /// The consumer's offsets (of the next message to read) become part of the transaction.
    public func send(
        offsets: [TopicPartition: Int64], consumer: KafkaConsumer, timeoutMilliseconds: Int = 30_000
    ) throws(KafkaError) {
        let group = try consumer.groupMetadata()
        try send(offsets: offsets, group: group, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func send(
        offsets: [TopicPartition: Int64], group: KafkaGroupMetadata, timeoutMilliseconds: Int = 30_000
    ) throws(KafkaError) {
        try checkTransactional("offsets of a transaction")
        guard !offsets.isEmpty else { return }
        let list = PartitionList(offsets: offsets)
        try call("sending \(offsets.count) offsets to the transaction", timeoutMilliseconds) {
            rd_kafka_send_offsets_to_transaction(
                $0, list.pointer, group.pointer, Int32(clamping: timeoutMilliseconds))
        }
    }

    /// Waits until every message is acknowledged and the transaction is committed. If this returns, all of it
    /// is visible; if it throws `requiresAbort`, nothing will be. After a retryable error the outcome is
    /// open: call it again.
    public func commit(timeoutMilliseconds: Int = 60_000) throws(KafkaError) {
        try checkTransactional("commit of a transaction")
        let deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        // Flushed here first: librdkafka's own flush in the commit would wait for failure reports that only
        // we can serve.
        try flush(timeoutMilliseconds: timeoutMilliseconds)
        let remaining = max(1, (deadline - .now).wholeMilliseconds)
        try call("commit of a transaction", remaining) {
            rd_kafka_commit_transaction($0, Int32(clamping: remaining))
        }
        client.events.answered()
    }

    /// Drops what was produced since `begin`, sent or not. Safe to call again after a retryable error.
    public func abort(timeoutMilliseconds: Int = 60_000) throws(KafkaError) {
        try checkTransactional("abort of a transaction")
        let deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        defer {
            serveEvents(timeoutMilliseconds: 0)
            _ = takeFailures()
        }
        // librdkafka fails what is queued, then waits until the failures are served, which only we can do: so
        // while there are messages the call gets short turns, each of which it picks up where the last one
        // ended.
        while true {
            let remaining = max(1, (deadline - .now).wholeMilliseconds)
            let isWaiting = rd_kafka_outq_len(client.pointer) > 0 && remaining > 20
            let turn = isWaiting ? 20 : remaining
            do {
                try call("abort of a transaction", turn) {
                    rd_kafka_abort_transaction($0, Int32(clamping: turn))
                }
                return
            } catch  where error.isRetryable && isWaiting {
                continue
            }
        }
    }

    private func checkTransactional(_ operation: String) throws(KafkaError) {
        try checkOpen(operation)
        guard transactionalID != nil else {
            throw KafkaError(invalid: "the producer has no transactional id", operation: operation)
        }
    }

    /// How much longer than its time-out a call is waited for.
    private static let graceMilliseconds = 1_000

    private func call(
        _ words: String, _ timeoutMilliseconds: Int,
        _ body: @escaping @Sendable (OpaquePointer) -> OpaquePointer?
    ) throws(KafkaError) {
        let operation = "\(words) of \(transactionalID ?? "")"
        let client = client
        let result = calls.call(timeoutMilliseconds: timeoutMilliseconds + Self.graceMilliseconds) {
            Result { () throws(KafkaError) in try client.check(body(client.pointer), operation) }
        }
        serveEvents(timeoutMilliseconds: 0)
        guard let result else { throw .stuck(operation) }
        try result.get()
    }
}
