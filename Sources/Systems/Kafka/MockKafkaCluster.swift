import CRdKafka
import Logging

/// librdkafka's in-process broker: real sockets on loopback, nothing on disk. Other processes reach it by
/// `bootstrapServers` while this object lives.
///
/// Tried with librdkafka 2.16. It has: producing (idempotent too, all compressions), consumer groups (range
/// and cooperative), committed offsets, several brokers that can go down, topics made by their first use (4
/// partitions), and of transactions the calls. It has not:
/// - **isolation**: messages are visible as soon as they are sent, before a commit and after an abort (an
///   abort drops only those still queued);
/// - **offsets in a transaction**: `KafkaProducer.send(offsets:)` succeeds and changes nothing, so a worker
///   commits with `KafkaConsumer.commit` here: at least once, not exactly once;
/// - **fencing**: an older producer with the same transactional id goes on unhindered;
/// - `KafkaAdmin`'s calls: they time out;
/// - retention as configured: a partition keeps its newest 5 MiB, older messages are gone.
///
/// Thread-safe.
public final class MockKafkaCluster: Sendable {
    public struct Topic: Sendable {
        public let name: String
        public let partitions: Int

        public init(_ name: String, partitions: Int) {
            self.name = name
            self.partitions = partitions
        }
    }

    /// `host:port` of every broker, separated by commas.
    public let bootstrapServers: String
    private let cluster: Cluster

    /// - Throws: `KafkaError` when no port can be opened or a topic cannot be created.
    public init(
        brokerCount: Int = 1, topics: [Topic], logger: Logger = Logger(label: "kafka.mock")
    ) throws(KafkaError) {
        precondition(brokerCount > 0)
        let operation = "mock cluster"
        let client = try KafkaClient(
            type: RD_KAFKA_PRODUCER, properties: [KafkaProperty(name: "log_level", value: "3")],
            bootstrapServers: "",
            events: ClientEvents(logger: logger), operation: operation
        ) { _ in }
        guard let pointer = rd_kafka_mock_cluster_new(client.pointer, Int32(clamping: brokerCount)) else {
            throw KafkaError(code: rd_kafka_last_error(), operation: operation)
        }
        let cluster = Cluster(pointer: pointer, client: client)
        kafka_mock_set_join_delay(pointer, 0)
        for topic in topics {
            let code = rd_kafka_mock_topic_create(
                pointer, topic.name, Int32(clamping: topic.partitions), Int32(clamping: brokerCount))
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
                throw KafkaError(code: code, operation: "mock topic \(topic.name)")
            }
        }
        guard let servers = rd_kafka_mock_cluster_bootstraps(pointer) else {
            throw KafkaError(invalid: "no address", operation: operation)
        }
        self.cluster = cluster
        bootstrapServers = String(cString: servers)
    }

    public var settings: KafkaSettings { KafkaSettings(bootstrapServers: bootstrapServers) }

    /// The broker (counted from 1) answers nobody until it is up again; its topics stay.
    public func setBroker(_ number: Int, isUp: Bool) throws(KafkaError) {
        let set = isUp ? rd_kafka_mock_broker_set_up : rd_kafka_mock_broker_set_down
        let code = set(cluster.pointer, Int32(clamping: number))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code: code, operation: "mock broker \(number)")
        }
    }

    /// `@unchecked Sendable`: the pointer never changes, and rdkafka_mock.h locks the cluster itself.
    private final class Cluster: @unchecked Sendable {
        let pointer: OpaquePointer
        private let client: KafkaClient

        init(pointer: OpaquePointer, client: KafkaClient) {
            self.pointer = pointer
            self.client = client
        }

        deinit { rd_kafka_mock_cluster_destroy(pointer) }
    }
}
