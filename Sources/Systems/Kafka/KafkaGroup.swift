import CRdKafka
import Logging

/// Where a group stands in a topic, asked by somebody who is not in the group. May be used from any thread; calls block.
///
/// It is a consumer that never joins, not Admin requests: those go to the group's coordinator, and one that has timed out
/// before the coordinator is found makes librdkafka use freed memory once it is (docs/decisions/0010).
public struct KafkaGroup: Sendable {
    public let name: String
    private let client: KafkaClient

    /// - Throws: `KafkaError` for a wrong setting.
    public init(_ name: String, settings: KafkaSettings, logger: Logger) throws(KafkaError) {
        self.name = name
        let operation = "group \(name)"
        client = try KafkaClient(
            type: RD_KAFKA_CONSUMER,
            properties: settings.properties(
                defaults: KafkaSettings.consumerDefaults,
                // What is committed is asked, whatever transaction is about to change it.
                required: ["group.id": name, "isolation.level": "read_uncommitted"], operation: operation),
            bootstrapServers: settings.bootstrapServers, events: ClientEvents(logger: logger),
            operation: operation
        ) { configuration in
            rd_kafka_conf_set_error_cb(configuration, forwardError)
        }
    }

    /// - Throws: `KafkaError`; an unknown topic is `UNKNOWN_TOPIC_OR_PART`.
    public func partitionCount(topic: String, timeoutMilliseconds: Int = 10_000) throws(KafkaError) -> Int {
        try client.partitionCount(topic: topic, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// The group's committed offsets of a topic's partitions; those without one are absent.
    ///
    /// - Parameter partitions: How many the topic has.
    public func committedOffsets(
        topic: String, partitions: Int, timeoutMilliseconds: Int = 5_000
    ) throws(KafkaError) -> [Int32: Int64] {
        let operation = "offsets of group \(name)"
        // Errors that came by themselves wait to be taken.
        rd_kafka_poll(client.pointer, 0)
        let list = Self.list(topic, partitions)
        let code = rd_kafka_committed(client.pointer, list.pointer, Int32(clamping: timeoutMilliseconds))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
        if let failed = list.firstError {
            throw client.error(failed.code, "\(operation), \(failed.partition)")
        }
        return Self.byPartition(list)
    }

    /// The offsets after the last message of a topic's partitions, asked of all leaders at once.
    ///
    /// - Parameter partitions: How many the topic has.
    public func ends(
        topic: String, partitions: Int, timeoutMilliseconds: Int = 5_000
    ) throws(KafkaError) -> [Int32: Int64] {
        let operation = "ends of topic \(topic)"
        let list = Self.list(topic, partitions)
        // The call takes times in the place of offsets, and these two words as the protocol does.
        list.setOffsets { _ in Int64(RD_KAFKA_OFFSET_END) }
        let code = rd_kafka_offsets_for_times(
            client.pointer, list.pointer, Int32(clamping: timeoutMilliseconds))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw client.error(code, operation) }
        if let failed = list.firstError { throw client.error(failed.code, "end of \(failed.partition)") }
        return Self.byPartition(list)
    }

    private static func list(_ topic: String, _ partitions: Int) -> PartitionList {
        PartitionList((0..<partitions).map { TopicPartition(topic: topic, partition: Int32($0)) })
    }

    private static func byPartition(_ list: PartitionList) -> [Int32: Int64] {
        Dictionary(list.offsets.map { ($0.key.partition, $0.value) }, uniquingKeysWith: max)
    }
}
