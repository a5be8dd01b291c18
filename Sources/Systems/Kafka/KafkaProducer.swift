import CRdKafka
import Logging
import Synchronization

/// Writes messages in order and without duplicates, in transactions if it has a transactional id.
///
/// `produce` may be called from any thread; the transaction's calls, `flush` and `close` from one at a time.
/// All calls block.
public final class KafkaProducer: Sendable {
    public let transactionalID: String?
    let client: KafkaClient
    /// For the calls that librdkafka may not return from.
    let calls: CallThread
    private let events: KafkaQueue
    private let state = Mutex(State())

    private struct State {
        var isClosed = false
        var topics: [String: KafkaTopic] = [:]
        /// The topic of the last message: most go to the same.
        var lastTopic: (name: String, topic: KafkaTopic)?
        var failures = Failures()
    }

    struct Failures {
        var count = 0
        var first: KafkaError?
    }

    /// The address of an empty value; never read from.
    private static var nothing: UnsafeRawPointer? { UnsafeRawPointer(bitPattern: 1) }

    /// How long `produce` waits for room in a full queue. Longer than a broker's restart.
    private static let fullQueueTimeout = Duration.seconds(60)

    /// - Parameter transactionalID: Nil: idempotent, no transactions. Otherwise unique to this worker: who
    ///   takes the same id later fences this producer.
    /// - Throws: `KafkaError` for a wrong setting. A broker that is away is no error here.
    public init(settings: KafkaSettings, transactionalID: String? = nil, logger: Logger) throws(KafkaError) {
        let operation = transactionalID.map { "transactional producer \($0)" } ?? "producer"
        guard transactionalID != "" else {
            throw KafkaError(invalid: "empty transactional id", operation: operation)
        }
        let client = try KafkaClient(
            type: RD_KAFKA_PRODUCER,
            properties: settings.properties(
                defaults: KafkaSettings.producerDefaults,
                required: transactionalID.map { ["transactional.id": $0] } ?? [:], operation: operation),
            bootstrapServers: settings.bootstrapServers, events: ClientEvents(logger: logger),
            operation: operation
        ) { configuration in
            // Reports as events, not callbacks: then rd_kafka_flush() sleeps until the last message is out,
            // and not for whole 10 ms at a time.
            rd_kafka_conf_set_events(configuration, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR)
        }
        guard let events = KafkaQueue(rd_kafka_queue_get_main(client.pointer), of: client) else {
            throw KafkaError(invalid: "librdkafka gave no main queue", operation: operation)
        }
        self.transactionalID = transactionalID
        self.client = client
        self.events = events
        calls = CallThread(name: "kafka producer")
    }

    /// Copies key, payload and headers and returns; the message is sent in the background. Waits while the
    /// queue is full.
    ///
    /// - Parameters:
    ///   - key: A nil base address: no key, a random partition.
    ///   - payload: A nil base address: no payload.
    /// - Throws: `KafkaError`; `isTooLarge` above `message.max.bytes`; `_QUEUE_FULL` when there was no room for a minute. What fails later is told by
    ///   `flush` or `commit`.
    public func produce(
        topic: String, key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer,
        headers: [KafkaHeader] = []
    ) throws(KafkaError) {
        let handle = try self.handle(of: topic)
        var code = enqueue(handle, key: key, payload: payload, headers: headers)
        if code == RD_KAFKA_RESP_ERR__QUEUE_FULL {
            let deadline = ContinuousClock.now + Self.fullQueueTimeout
            while code == RD_KAFKA_RESP_ERR__QUEUE_FULL, ContinuousClock.now < deadline {
                serveEvents(timeoutMilliseconds: 5)
                code = enqueue(handle, key: key, payload: payload, headers: headers)
            }
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, "producing to \(topic)") }
    }

    /// For the places where speed does not matter.
    public func produce(
        topic: String, key: String?, payload: [UInt8], headers: [KafkaHeader] = []
    ) throws(KafkaError) {
        try produce(topic: topic, key: key.map { Array($0.utf8) }, payload: payload, headers: headers)
    }

    /// - Parameters:
    ///   - key: nil: no key, which is not an empty one.
    ///   - payload: nil: no payload.
    public func produce(
        topic: String, key: [UInt8]?, payload: [UInt8]?, headers: [KafkaHeader] = []
    ) throws(KafkaError) {
        // Closures of the standard library carry no typed errors: the result comes out as a value.
        let result = Self.withBytes(of: payload) { payload in
            Self.withBytes(of: key) { key in
                Result { () throws(KafkaError) in
                    try self.produce(topic: topic, key: key, payload: payload, headers: headers)
                }
            }
        }
        try result.get()
    }

    private static func withBytes<Value>(
        of bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer) -> Value
    ) -> Value {
        guard let bytes else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        guard !bytes.isEmpty else { return body(UnsafeRawBufferPointer(start: nothing, count: 0)) }
        return bytes.withUnsafeBytes(body)
    }

    /// Waits until every message so far is acknowledged or has failed.
    ///
    /// - Throws: `KafkaError`; `_TIMED_OUT` while messages are still on their way, otherwise the first of the
    ///   failures since the last flush or transaction, with their number.
    public func flush(timeoutMilliseconds: Int = 30_000) throws(KafkaError) {
        let deadline = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
        while true {
            // A failed message counts as outstanding until its report is served: so wait in slices.
            let slice = min(max((deadline - .now).wholeMilliseconds, 0), 50)
            let code = rd_kafka_flush(client.pointer, Int32(slice))
            serveEvents(timeoutMilliseconds: 0)
            if code == RD_KAFKA_RESP_ERR_NO_ERROR || rd_kafka_outq_len(client.pointer) == 0 { break }
            if ContinuousClock.now >= deadline {
                throw client.error(code, "flush of \(rd_kafka_outq_len(client.pointer)) messages")
            }
        }
        if let error = takeFailures() { throw error }
    }

    /// Messages that are not acknowledged yet.
    public var outstandingCount: Int { Int(rd_kafka_outq_len(client.pointer)) }

    /// Sends what is queued, for at most the timeout, and stops taking messages. An open transaction is
    /// aborted by the broker when it times out, or by the next producer with this transactional id.
    /// Idempotent.
    public func close(timeoutMilliseconds: Int = 10_000) throws(KafkaError) {
        let isFirst = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        if isFirst, !calls.isStuck { try flush(timeoutMilliseconds: timeoutMilliseconds) }
    }

    /// Stops taking messages and forgets what is not sent yet. A transaction that is open ends as after `close`.
    public func abandon() { state.withLock { $0.isClosed = true } }

    /// - Throws: `KafkaError`; an unknown topic is `UNKNOWN_TOPIC_OR_PART`.
    public func partitionCount(topic: String, timeoutMilliseconds: Int = 10_000) throws(KafkaError) -> Int {
        try client.partitionCount(topic: topic, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// Whether a broker can be reached: immediate while nothing is amiss, else a broker is asked, for at most
    /// the timeout.
    public func isConnected(timeoutMilliseconds: Int = 1000) -> Bool {
        serveEvents(timeoutMilliseconds: 0)
        return client.isConnected(timeoutMilliseconds: timeoutMilliseconds)
    }

    func checkOpen(_ operation: String) throws(KafkaError) {
        if state.withLock({ $0.isClosed }) { throw KafkaError.closed(operation) }
    }
}

// MARK: Inside

extension KafkaProducer {
    /// Failures since the last call, as one error.
    func takeFailures() -> KafkaError? {
        let failures = state.withLock { state in
            defer { state.failures = Failures() }
            return state.failures
        }
        guard let first = failures.first else { return nil }
        return KafkaError(
            name: first.name, message: "\(first.message) (\(failures.count) messages)",
            operation: first.operation,
            isRetryable: first.isRetryable, isFatal: first.isFatal, isFenced: first.isFenced,
            requiresAbort: first.requiresAbort || transactionalID != nil, isGenerationChange: false)
    }

    /// Failed deliveries are counted, errors noted.
    func serveEvents(timeoutMilliseconds: Int) {
        var timeout = timeoutMilliseconds
        while let event = rd_kafka_queue_poll(events.pointer, Int32(clamping: timeout)) {
            switch rd_kafka_event_type(event) {
            case RD_KAFKA_EVENT_DR: countFailures(in: event)
            case RD_KAFKA_EVENT_ERROR:
                let reason = rd_kafka_event_error_string(event).map { String(cString: $0) } ?? ""
                client.events.received(rd_kafka_event_error(event), reason: reason, client: client.pointer)
                // Calls of a producer report for themselves; only the connection's state is of interest here.
                _ = client.events.takePending()
            default: break
            }
            rd_kafka_event_destroy(event)
            timeout = 0
        }
    }

    private func countFailures(in event: OpaquePointer) {
        while let message = rd_kafka_event_message_next(event) {
            let code = message.pointee.err
            guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            let topic = message.pointee.rkt.map { String(cString: rd_kafka_topic_name($0)) } ?? "a topic"
            let error = client.error(code, "delivery to \(topic)")
            state.withLock {
                $0.failures.count += 1
                if $0.failures.first == nil { $0.failures.first = error }
            }
        }
    }

    private func handle(of topic: String) throws(KafkaError) -> KafkaTopic {
        let (known, isClosed) = state.withLock { state -> (KafkaTopic?, Bool) in
            if let last = state.lastTopic, last.name == topic { return (last.topic, state.isClosed) }
            guard let known = state.topics[topic] else { return (nil, state.isClosed) }
            state.lastTopic = (topic, known)
            return (known, state.isClosed)
        }
        if isClosed { throw KafkaError.closed("producing to \(topic)") }
        if let known { return known }
        guard let created = KafkaTopic(rd_kafka_topic_new(client.pointer, topic, nil), of: client) else {
            throw client.error(rd_kafka_last_error(), "producing to \(topic)")
        }
        return state.withLock { state in
            let kept = state.topics[topic] ?? created
            state.topics[topic] = kept
            state.lastTopic = (topic, kept)
            return kept
        }
    }

    private func enqueue(
        _ topic: KafkaTopic, key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer,
        headers: [KafkaHeader]
    ) -> rd_kafka_resp_err_t {
        // With RD_KAFKA_MSG_F_COPY librdkafka only reads the payload; the parameter is not const for its
        // other modes.
        let payloadAddress = UnsafeMutableRawPointer(mutating: payload.baseAddress)
        guard !headers.isEmpty else {
            let status = rd_kafka_produce(
                topic.pointer, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payloadAddress, payload.count,
                key.baseAddress, key.count, nil)
            return status == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error()
        }
        let list = rd_kafka_headers_new(headers.count)
        for header in headers {
            let code =
                header.value?.withUnsafeBytes {
                    // An empty array may lend no address, which would mean: no value.
                    rd_kafka_header_add(list, header.name, -1, $0.baseAddress ?? Self.nothing, $0.count)
                } ?? rd_kafka_header_add(list, header.name, -1, nil, 0)
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
                rd_kafka_headers_destroy(list)
                return code
            }
        }
        let code = kafka_produce_with_headers(
            client.pointer, topic.pointer, key.baseAddress, key.count, payloadAddress, payload.count, list)
        if code != RD_KAFKA_RESP_ERR_NO_ERROR { rd_kafka_headers_destroy(list) }
        return code
    }
}

/// Owns an `rd_kafka_topic_t`, and its client for as long.
///
/// `@unchecked Sendable`: the pointer never changes, and librdkafka's topics may be used from any thread.
final class KafkaTopic: @unchecked Sendable {
    let pointer: OpaquePointer
    private let client: KafkaClient

    init?(_ pointer: OpaquePointer?, of client: KafkaClient) {
        guard let pointer else { return nil }
        self.pointer = pointer
        self.client = client
    }

    deinit { rd_kafka_topic_destroy(pointer) }
}
