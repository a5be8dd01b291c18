import CRdKafka
import Retrying

/// What went wrong, where, and whether doing it again can help.
public struct KafkaError: Retryable, Sendable, Equatable, CustomStringConvertible {
    /// The broker's or librdkafka's own name of the error, such as `NOT_COORDINATOR` or `_TIMED_OUT` (names
    /// that begin with an underscore are the client's own).
    public let name: String
    /// The reason in words, as the client or the broker gave it.
    public let message: String
    /// What was being done, such as `commit of 3 offsets of group scoring`.
    public let operation: String
    /// The same call may succeed later.
    public let isRetryable: Bool
    /// The client is of no more use: close it and create another.
    public let isFatal: Bool
    /// Another instance with the same transactional id or group instance id took over. Not to be retried:
    /// this one is a zombie.
    public let isFenced: Bool
    /// The transaction can only be aborted now; its work may then be done again from the committed offsets.
    public let requiresAbort: Bool
    /// The group moved on (a rebalance, an expired session): offsets of the old generation are refused. Poll,
    /// and work from the committed offsets of what is still assigned.
    public let isGenerationChange: Bool

    /// No call, no new client and no waiting helps: somebody must change a setting, a right, or the message.
    public var isHopeless: Bool { hopelessNames.contains(name) }

    /// The message, with its key and headers, is larger than the client or the broker takes.
    public var isTooLarge: Bool { name == "MSG_SIZE_TOO_LARGE" }

    public var description: String {
        let advice = advice.map { "; \($0)" } ?? ""
        return "Kafka: \(operation) failed: \(message) [\(name)]\(advice)"
    }

    private var advice: String? {
        if isFenced { return "another instance took over with the same id: end this one" }
        if isFatal { return "close this client and create another" }
        if requiresAbort { return "abort the transaction and start again from the committed offsets" }
        if isGenerationChange {
            return "poll, then go on from the committed offsets of what is still assigned"
        }
        switch name {
        case "MSG_SIZE_TOO_LARGE": return "raise message.max.bytes, of the client and of the topic"
        case "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION": return "create the topic"
        case "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
            "TRANSACTIONAL_ID_AUTHORIZATION_FAILED":
            return "grant this user the right to do it"
        case "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED": return "check the credentials"
        default:
            return isRetryable ? "try again, and check that the brokers can be reached if it persists" : nil
        }
    }
}

extension KafkaError {
    /// A property that a caller of this module keeps to itself.
    public init(notToBeSet property: String) {
        self.init(
            invalid: "property '\(property)' is set by the service itself", operation: "reading the settings")
    }

    /// Our own complaint: a wrong setting, a call at the wrong time. No retry helps.
    init(invalid message: String, operation: String) {
        self.init(code: RD_KAFKA_RESP_ERR__INVALID_ARG, message: message, operation: operation)
    }

    static func closed(_ operation: String) -> KafkaError {
        KafkaError(code: RD_KAFKA_RESP_ERR__STATE, message: "the client is closed", operation: operation)
    }

    /// A call that has not come back long after its time was up.
    static func stuck(_ operation: String) -> KafkaError {
        KafkaError(
            name: "_TIMED_OUT", message: "the client does not come back from the call", operation: operation,
            isRetryable: false, isFatal: true, isFenced: false, requiresAbort: false,
            isGenerationChange: false)
    }

    /// - Parameter message: More than librdkafka's fixed text for the code, where there is more.
    init(code: rd_kafka_resp_err_t, message: String? = nil, operation: String, requiresAbort: Bool = false) {
        let isFatal = code == RD_KAFKA_RESP_ERR__FATAL || fencedCodes.contains(code)
        self.init(
            name: String(cString: rd_kafka_err2name(code)),
            message: message ?? String(cString: rd_kafka_err2str(code)),
            operation: operation,
            isRetryable: retryableCodes.contains(code),
            isFatal: isFatal,
            isFenced: fencedCodes.contains(code),
            requiresAbort: requiresAbort,
            isGenerationChange: generationCodes.contains(code))
    }

    /// Takes the verdict of librdkafka's error object, which knows more than its code, and frees the object.
    init(consuming error: OpaquePointer, operation: String, detail: String? = nil) {
        defer { rd_kafka_error_destroy(error) }
        let code = rd_kafka_error_code(error)
        let text = String(cString: rd_kafka_error_string(error))
        self.init(
            name: String(cString: rd_kafka_error_name(error)),
            message: detail.map { "\(text) (\($0))" } ?? text,
            operation: operation,
            isRetryable: rd_kafka_error_is_retriable(error) != 0,
            isFatal: rd_kafka_error_is_fatal(error) != 0,
            isFenced: fencedCodes.contains(code),
            requiresAbort: rd_kafka_error_txn_requires_abort(error) != 0,
            isGenerationChange: generationCodes.contains(code))
    }

    /// What librdkafka says made this client unusable, or nil while it is well.
    static func fatal(of client: OpaquePointer, operation: String) -> KafkaError? {
        var text = [CChar](repeating: 0, count: 512)
        let code = rd_kafka_fatal_error(client, &text, text.count)
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
        return KafkaError(
            name: String(cString: rd_kafka_err2name(code)), message: string(text), operation: operation,
            isRetryable: false, isFatal: true, isFenced: fencedCodes.contains(code), requiresAbort: false,
            isGenerationChange: false)
    }

    static func string(_ text: [CChar]) -> String {
        String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// Passing faults of the network, of a broker that restarts, of a coordinator that moves.
private let retryableCodes: [rd_kafka_resp_err_t] = [
    RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__RESOLVE,
    RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
    RD_KAFKA_RESP_ERR__QUEUE_FULL, RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR__WAIT_CACHE,
    RD_KAFKA_RESP_ERR__IN_PROGRESS, RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS, RD_KAFKA_RESP_ERR__RETRY,
    RD_KAFKA_RESP_ERR__NODE_UPDATE, RD_KAFKA_RESP_ERR__PARTIAL, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
    RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED,
    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    RD_KAFKA_RESP_ERR_NOT_CONTROLLER, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
    RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
]

private let fencedCodes: [rd_kafka_resp_err_t] = [
    RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED,
]

private let generationCodes: [rd_kafka_resp_err_t] = [
    RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST,
]

private let hopelessNames: Set<String> = [
    "_INVALID_ARG", "_NOT_IMPLEMENTED", "_UNSUPPORTED_FEATURE", "_NOT_CONFIGURED", "_UNKNOWN_PROTOCOL",
    "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "SECURITY_DISABLED",
    "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "TOPIC_EXCEPTION", "INVALID_REQUIRED_ACKS",
    "INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID", "INVALID_SESSION_TIMEOUT",
    "INVALID_TRANSACTION_TIMEOUT", "UNSUPPORTED_VERSION", "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "POLICY_VIOLATION", "INVALID_CONFIG", "INVALID_REQUEST",
]
