import CRdKafka
import Foundation
import Logging
import Synchronization

/// Owns an `rd_kafka_t`; whoever uses it or memory that belongs to it keeps this object, so that
/// `rd_kafka_destroy` comes last ("all objects must be destroyed before the client", says rdkafka.h).
///
/// `@unchecked Sendable`: the pointer never changes, and librdkafka's calls on a client may come from any
/// thread.
final class KafkaClient: @unchecked Sendable {
    let pointer: OpaquePointer
    let events: ClientEvents
    let bootstrapServers: String

    /// - Parameter configure: Sets callbacks; runs before the client exists.
    init(
        type: rd_kafka_type_t, properties: [KafkaProperty], bootstrapServers: String, events: ClientEvents,
        operation: String, configure: (OpaquePointer) -> Void
    ) throws(KafkaError) {
        guard let configuration = rd_kafka_conf_new() else {
            throw KafkaError(invalid: "out of memory", operation: operation)
        }
        var text = [CChar](repeating: 0, count: 512)
        for property in properties {
            let result = rd_kafka_conf_set(configuration, property.name, property.value, &text, text.count)
            if result == RD_KAFKA_CONF_OK || (result == RD_KAFKA_CONF_UNKNOWN && property.isOurDefault) {
                continue
            }
            rd_kafka_conf_destroy(configuration)
            throw KafkaError(invalid: KafkaError.string(text), operation: operation)
        }
        rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(events).toOpaque())
        rd_kafka_conf_set_log_cb(configuration, forwardLog)
        configure(configuration)
        // "On success the configuration object belongs to the client, on failure to the caller."
        guard let pointer = rd_kafka_new(type, configuration, &text, text.count) else {
            let code = rd_kafka_last_error()
            rd_kafka_conf_destroy(configuration)
            throw KafkaError(code: code, message: KafkaError.string(text), operation: operation)
        }
        self.pointer = pointer
        self.events = events
        self.bootstrapServers = bootstrapServers
    }

    deinit {
        // The call waits for librdkafka's threads, which can wait for a group or a broker for ever: it goes on
        // without us after a while. It needs `events`, which the callbacks use, until it is over.
        let ended = DispatchSemaphore(value: 0)
        let client = Ending(pointer: pointer, events: events)
        let thread = Thread {
            // A transactional producer that has failed frees the text of its failure when it ends, and once more if an
            // answer to what it has sent says then that it is fenced: its brokers' threads are still at work
            // (docs/decisions/0009). So nothing that it has sent may be waiting for an answer any more.
            _ = rd_kafka_purge(client.pointer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
            // A consumer is closed by its owner, which serves the last rebalance; here nobody listens any more.
            rd_kafka_destroy_flags(client.pointer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
            client.events.end()
            ended.signal()
        }
        thread.name = "kafka end"
        thread.start()
        if ended.wait(timeout: .now() + Self.endTimeoutSeconds) == .timedOut {
            events.logger.warning("Kafka: a client does not end; it is left behind")
        }
    }

    /// How long its last owner waits for the client's end.
    private static let endTimeoutSeconds = 1.0

    /// `@unchecked Sendable`: the last use of a pointer that nobody else has any more.
    private struct Ending: @unchecked Sendable {
        let pointer: OpaquePointer
        let events: ClientEvents
    }

    /// What failed, with librdkafka's last word about its brokers when the code alone says too little.
    func error(_ code: rd_kafka_resp_err_t, _ operation: String) -> KafkaError {
        if code == RD_KAFKA_RESP_ERR__FATAL, let fatal = KafkaError.fatal(of: pointer, operation: operation) {
            return fatal
        }
        guard let detail = detail(for: code) else { return KafkaError(code: code, operation: operation) }
        return KafkaError(
            code: code, message: "\(String(cString: rd_kafka_err2str(code))) (\(detail))",
            operation: operation)
    }

    /// Throws what librdkafka's error object says, if there is one.
    func check(_ error: OpaquePointer?, _ operation: @autoclosure () -> String) throws(KafkaError) {
        guard let error else { return }
        let detail = detail(for: rd_kafka_error_code(error))
        throw KafkaError(consuming: error, operation: operation(), detail: detail)
    }

    private func detail(for code: rd_kafka_resp_err_t) -> String? {
        switch code {
        case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
            RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR__RESOLVE:
            return events.lastTrouble ?? "brokers: \(bootstrapServers)"
        default: return nil
        }
    }
}

// MARK: Metadata, the same for every kind of client

extension KafkaClient {
    /// - Throws: `KafkaError`; an unknown topic is `UNKNOWN_TOPIC_OR_PART`.
    func partitionCount(topic: String, timeoutMilliseconds: Int) throws(KafkaError) -> Int {
        let operation = "metadata of topic \(topic)"
        guard let handle = rd_kafka_topic_new(pointer, topic, nil) else {
            throw error(rd_kafka_last_error(), operation)
        }
        defer { rd_kafka_topic_destroy(handle) }
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let code = rd_kafka_metadata(pointer, 0, handle, &metadata, Int32(clamping: timeoutMilliseconds))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else { throw error(code, operation) }
        defer { rd_kafka_metadata_destroy(metadata) }
        let topics = UnsafeBufferPointer(
            start: metadata.pointee.topics, count: Int(metadata.pointee.topic_cnt))
        guard let found = topics.first else {
            throw error(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, operation)
        }
        guard found.err == RD_KAFKA_RESP_ERR_NO_ERROR else { throw error(found.err, operation) }
        events.answered()
        return Int(found.partition_cnt)
    }

    /// The first offset there is and the one after the last, asked of the partition's leader.
    func watermarks(
        _ partition: TopicPartition, timeoutMilliseconds: Int
    ) throws(KafkaError) -> Range<Int64> {
        var low: Int64 = 0
        var high: Int64 = 0
        let code = rd_kafka_query_watermark_offsets(
            pointer, partition.topic, partition.partition, &low, &high, Int32(clamping: timeoutMilliseconds))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw error(code, "watermarks of \(partition)") }
        return low..<max(low, high)
    }

    /// The offset after the partition's last message, as the last answer to a fetch said; nil: none has come yet.
    func knownEnd(_ partition: TopicPartition) -> Int64? {
        var low: Int64 = 0
        var high: Int64 = 0
        let code = rd_kafka_get_watermark_offsets(
            pointer, partition.topic, partition.partition, &low, &high)
        return code == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 ? high : nil
    }

    /// Whether a broker answers. Silent doubt (no connection yet, or the last one was lost) is settled by
    /// asking.
    func isConnected(timeoutMilliseconds: Int) -> Bool {
        if events.isConnected { return true }
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let code = rd_kafka_metadata(pointer, 0, nil, &metadata, Int32(clamping: timeoutMilliseconds))
        if let metadata { rd_kafka_metadata_destroy(metadata) }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { return false }
        events.answered()
        return true
    }
}

// MARK: What librdkafka says of its own accord

/// Shared by the caller's threads and librdkafka's: log lines, connection state, consumer errors.
final class ClientEvents: Sendable {
    let logger: Logger
    /// What a consumer's group does to it; nil for producers.
    let rebalances: Rebalances?
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state = Mutex(State())

    private struct State {
        var isConnected = false
        var lastTrouble: String?
        var pending: KafkaError?
        var failed = FailedConnections()
    }

    init(
        logger: Logger, rebalances: Rebalances? = nil,
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.logger = logger
        self.rebalances = rebalances
        self.now = now
    }

    var isConnected: Bool { state.withLock { $0.isConnected } }
    var lastTrouble: String? { state.withLock { $0.lastTrouble } }

    /// Attempts to connect that have failed, but for those that are over.
    var failedConnections: Int { state.withLock { $0.failed.times } }

    /// A broker answered: whatever the trouble was, it is over.
    func answered() {
        let over = state.withLock { state in
            state.isConnected = true
            state.lastTrouble = nil
            return state.failed.isEmpty ? [] : state.failed.ended(at: now())
        }
        for failure in over {
            logger.notice("Kafka: connections are taken again", metadata: Self.metadata(failure))
        }
    }

    /// The client is no more: says what it has not said yet.
    func end() {
        for failure in state.withLock({ $0.failed.remaining() }) {
            logger.error("Kafka: connections failed until the client ended", metadata: Self.metadata(failure))
        }
    }

    private static func metadata(_ failure: FailedConnections.Account) -> Logger.Metadata {
        ["failure": "\(failure.text)", "times": "\(failure.times)", "seconds": "\(failure.seconds)"]
    }

    /// A line of librdkafka's log. What it says of a broker that it does not reach is said once in a while, see
    /// `FailedConnections`.
    func log(_ level: Logger.Level, facility: String, _ text: String) {
        var metadata: Logger.Metadata = ["facility": "\(facility)"]
        if facility == Self.failedConnection {
            guard let times = state.withLock({ $0.failed.note(text, at: now()) }) else { return }
            if times > 1 { metadata["times"] = "\(times)" }
        }
        logger.log(level: level, "Kafka: \(text)", metadata: metadata)
    }

    private static let failedConnection = "FAIL"

    /// An error that came with no call to return it: kept for the next call (the first, the others are
    /// logged).
    func keep(_ error: KafkaError) {
        let isFirst = state.withLock { state in
            defer { state.pending = state.pending ?? error }
            return state.pending == nil
        }
        if !isFirst { logger.warning("\(error)") }
    }

    func takePending() -> KafkaError? {
        state.withLock { state in
            defer { state.pending = nil }
            return state.pending
        }
    }

    /// librdkafka's generic errors: it goes on by itself after all but fatal ones.
    func received(_ code: rd_kafka_resp_err_t, reason: String, client: OpaquePointer) {
        if code == RD_KAFKA_RESP_ERR__FATAL {
            keep(
                KafkaError.fatal(of: client, operation: "working")
                    ?? KafkaError(code: code, message: reason, operation: "working"))
            return
        }
        // "2/2 brokers are down" says less than what came before it, which names the broker and the reason.
        let detail = state.withLock { state in
            if code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN {
                state.isConnected = false
            } else {
                state.lastTrouble = reason
            }
            return state.lastTrouble
        }
        if code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__AUTHENTICATION {
            let message = detail == reason || detail == nil ? reason : "\(reason) (\(detail ?? ""))"
            keep(KafkaError(code: code, message: message, operation: "connecting"))
        } else {
            logger.debug("Kafka: \(reason)")
        }
    }

    static func of(_ opaque: UnsafeMutableRawPointer?) -> ClientEvents? {
        opaque.map { Unmanaged<ClientEvents>.fromOpaque($0).takeUnretainedValue() }
    }
}

/// Called from librdkafka's threads.
private func forwardLog(
    client: OpaquePointer?, level: Int32, facility: UnsafePointer<CChar>?, text: UnsafePointer<CChar>?
) {
    guard let client, let text, let events = ClientEvents.of(rd_kafka_opaque(client)) else { return }
    let levels: [Logger.Level] = [
        .critical, .critical, .critical, .error, .warning, .notice, .info, .debug,  // syslog's 0 to 7
    ]
    let level = levels[min(max(Int(level), 0), levels.count - 1)]
    events.log(level, facility: facility.map { String(cString: $0) } ?? "", String(cString: text))
}

func forwardError(
    client: OpaquePointer?, code: Int32, reason: UnsafePointer<CChar>?, opaque: UnsafeMutableRawPointer?
) {
    guard let client, let events = ClientEvents.of(opaque) else { return }
    events.received(
        rd_kafka_resp_err_t(rawValue: code), reason: reason.map { String(cString: $0) } ?? "", client: client)
}

/// Owns an `rd_kafka_queue_t`, and its client for as long.
///
/// `@unchecked Sendable`: the pointer never changes, and librdkafka's queues lock themselves.
final class KafkaQueue: @unchecked Sendable {
    let pointer: OpaquePointer
    private let client: KafkaClient

    init?(_ pointer: OpaquePointer?, of client: KafkaClient) {
        guard let pointer else { return nil }
        self.pointer = pointer
        self.client = client
    }

    deinit { rd_kafka_queue_destroy(pointer) }
}
