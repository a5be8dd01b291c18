import CRdKafka
import Logging

/// Creates and deletes topics. May be used from any thread; calls block.
public struct KafkaAdmin: Sendable {
    public struct NewTopic: Sendable, Hashable {
        public let name: String
        public let partitions: Int
        /// Nil: what the cluster's configuration says.
        public let replicas: Int?
        public let configuration: [String: String]

        public init(
            name: String, partitions: Int, replicas: Int? = nil, configuration: [String: String] = [:]
        ) {
            self.name = name
            self.partitions = partitions
            self.replicas = replicas
            self.configuration = configuration
        }
    }

    let client: KafkaClient

    /// - Throws: `KafkaError` for a wrong setting.
    public init(settings: KafkaSettings, logger: Logger) throws(KafkaError) {
        client = try KafkaClient(
            type: RD_KAFKA_PRODUCER,
            properties: settings.properties(defaults: [:], required: [:], operation: "administration"),
            bootstrapServers: settings.bootstrapServers, events: ClientEvents(logger: logger),
            operation: "administration"
        ) { configuration in
            rd_kafka_conf_set_error_cb(configuration, forwardError)
        }
    }

    /// Creates the topics that do not exist. One that exists is left as it is, whatever its partitions.
    ///
    /// - Throws: `KafkaError` of the first topic that could not be created.
    public func createTopics(_ topics: [NewTopic], timeoutMilliseconds: Int = 30_000) throws(KafkaError) {
        guard !topics.isEmpty else { return }
        var requests: [OpaquePointer?] = []
        defer { for request in requests { rd_kafka_NewTopic_destroy(request) } }
        for topic in topics {
            let operation = "creating topic \(topic.name)"
            var text = [CChar](repeating: 0, count: 512)
            guard
                let request = rd_kafka_NewTopic_new(
                    topic.name, Int32(clamping: topic.partitions),
                    topic.replicas.map { Int32(clamping: $0) } ?? -1,
                    &text, text.count)
            else { throw KafkaError(invalid: KafkaError.string(text), operation: operation) }
            requests.append(request)
            for (name, value) in topic.configuration {
                let code = rd_kafka_NewTopic_set_config(request, name, value)
                guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
            }
        }
        try run("creating topics", RD_KAFKA_ADMIN_OP_CREATETOPICS, timeoutMilliseconds) { options, queue in
            rd_kafka_CreateTopics(client.pointer, &requests, requests.count, options, queue)
        } results: { event in
            var count = 0
            let results = rd_kafka_CreateTopics_result_topics(
                rd_kafka_event_CreateTopics_result(event), &count)
            return UnsafeBufferPointer(start: results, count: count)
        }
    }

    /// Gives a topic more partitions.
    public func growTopic(
        _ name: String, toPartitions count: Int, timeoutMilliseconds: Int = 30_000
    ) throws(KafkaError) {
        let operation = "growing topic \(name)"
        var text = [CChar](repeating: 0, count: 512)
        guard let request = rd_kafka_NewPartitions_new(name, count, &text, text.count) else {
            throw KafkaError(invalid: KafkaError.string(text), operation: operation)
        }
        var requests: [OpaquePointer?] = [request]
        defer { rd_kafka_NewPartitions_destroy(request) }
        try run(operation, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, timeoutMilliseconds) { options, queue in
            rd_kafka_CreatePartitions(client.pointer, &requests, requests.count, options, queue)
        } results: { event in
            var count = 0
            let results = rd_kafka_CreatePartitions_result_topics(
                rd_kafka_event_CreatePartitions_result(event), &count)
            return UnsafeBufferPointer(start: results, count: count)
        }
    }

    /// Deletes the topics that exist.
    public func deleteTopics(_ names: [String], timeoutMilliseconds: Int = 30_000) throws(KafkaError) {
        guard !names.isEmpty else { return }
        var requests: [OpaquePointer?] = names.map { rd_kafka_DeleteTopic_new($0) }
        defer { for request in requests { rd_kafka_DeleteTopic_destroy(request) } }
        try run("deleting topics", RD_KAFKA_ADMIN_OP_DELETETOPICS, timeoutMilliseconds) { options, queue in
            rd_kafka_DeleteTopics(client.pointer, &requests, requests.count, options, queue)
        } results: { event in
            var count = 0
            let results = rd_kafka_DeleteTopics_result_topics(
                rd_kafka_event_DeleteTopics_result(event), &count)
            return UnsafeBufferPointer(start: results, count: count)
        }
    }

    /// - Throws: `KafkaError`; an unknown topic is `UNKNOWN_TOPIC_OR_PART`.
    public func partitionCount(topic: String, timeoutMilliseconds: Int = 10_000) throws(KafkaError) -> Int {
        try client.partitionCount(topic: topic, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// What tells this cluster from all others; nil: no broker has said it in that time.
    public func clusterID(timeoutMilliseconds: Int = 5_000) -> String? {
        guard let text = rd_kafka_clusterid(client.pointer, Int32(clamping: timeoutMilliseconds)) else {
            return nil
        }
        defer { rd_kafka_mem_free(client.pointer, text) }
        return String(cString: text)
    }

    /// Whether a broker answers within the time.
    public func isAnswering(timeoutMilliseconds: Int = 1_000) -> Bool {
        client.isConnected(timeoutMilliseconds: timeoutMilliseconds)
    }

    /// Sends a request, waits for its answer, and throws the first topic's error that is not the wanted state
    /// itself.
    private func run(
        _ operation: String, _ kind: rd_kafka_admin_op_t, _ timeoutMilliseconds: Int,
        request: (_ options: OpaquePointer?, _ queue: OpaquePointer) -> Void,
        results: (OpaquePointer) -> UnsafeBufferPointer<OpaquePointer?>
    ) throws(KafkaError) {
        guard let queue = KafkaQueue(rd_kafka_queue_new(client.pointer), of: client) else {
            throw client.error(rd_kafka_last_error(), operation)
        }
        let options = rd_kafka_AdminOptions_new(client.pointer, kind)
        defer { rd_kafka_AdminOptions_destroy(options) }
        let timeout = Int32(clamping: timeoutMilliseconds)
        var text = [CChar](repeating: 0, count: 512)
        var set = rd_kafka_AdminOptions_set_request_timeout(options, timeout, &text, text.count)
        // The broker itself waits until the work is done.
        if set == RD_KAFKA_RESP_ERR_NO_ERROR {
            set = rd_kafka_AdminOptions_set_operation_timeout(options, timeout, &text, text.count)
        }
        guard set == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code: set, message: KafkaError.string(text), operation: operation)
        }
        request(options, queue.pointer)
        guard let event = rd_kafka_queue_poll(queue.pointer, timeout) else {
            throw client.error(RD_KAFKA_RESP_ERR__TIMED_OUT, operation)
        }
        defer { rd_kafka_event_destroy(event) }
        let failure = rd_kafka_event_error(event)
        guard failure == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(failure, operation) }
        for result in results(event) {
            let code = rd_kafka_topic_result_error(result)
            switch code {
            case RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: continue
            case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART where kind == RD_KAFKA_ADMIN_OP_DELETETOPICS:
                continue
            default:
                let name = rd_kafka_topic_result_name(result).map { String(cString: $0) } ?? "?"
                let reason = rd_kafka_topic_result_error_string(result).map { String(cString: $0) }
                throw KafkaError(code: code, message: reason, operation: "\(operation): \(name)")
            }
        }
    }
}
