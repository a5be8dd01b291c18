import CRdKafka

public struct TopicPartition: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let topic: String
    public let partition: Int32

    public init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    public var description: String { "\(topic)[\(partition)]" }

    public static func < (left: TopicPartition, right: TopicPartition) -> Bool {
        (left.topic, left.partition) < (right.topic, right.partition)
    }
}

/// Owns an `rd_kafka_topic_partition_list_t`.
///
/// `@unchecked Sendable`: only the one caller that made the list changes it and hands it to librdkafka, and nothing
/// changes it after that call.
final class PartitionList: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

    init(_ partitions: some Collection<TopicPartition>) {
        pointer = rd_kafka_topic_partition_list_new(Int32(clamping: partitions.count))
        for partition in partitions {
            rd_kafka_topic_partition_list_add(pointer, partition.topic, partition.partition)
        }
    }

    convenience init(offsets: [TopicPartition: Int64]) {
        self.init(offsets.keys.sorted())
        setOffsets { offsets[$0] ?? Int64(RD_KAFKA_OFFSET_INVALID) }
    }

    func setOffsets(_ offset: (TopicPartition) -> Int64) {
        withElements { elements in
            for index in elements.indices {
                elements[index].offset = offset(Self.topicPartition(elements[index]))
            }
        }
    }

    /// Keeps what librdkafka hides in its own lists besides topic and partition.
    init(copying list: UnsafePointer<rd_kafka_topic_partition_list_t>) {
        pointer = rd_kafka_topic_partition_list_copy(list)
    }

    deinit { rd_kafka_topic_partition_list_destroy(pointer) }

    var partitions: [TopicPartition] { withElements { $0.map(Self.topicPartition) } }

    /// The offsets that are set; partitions without one are left out.
    var offsets: [TopicPartition: Int64] {
        withElements { elements in
            var offsets: [TopicPartition: Int64] = [:]
            for element in elements where element.offset >= 0 {
                offsets[Self.topicPartition(element)] = element.offset
            }
            return offsets
        }
    }

    /// The first partition that failed, if one did.
    var firstError: (partition: TopicPartition, code: rd_kafka_resp_err_t)? {
        withElements { elements in
            for element in elements where element.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                return (Self.topicPartition(element), element.err)
            }
            return nil
        }
    }

    private func withElements<R>(
        _ body: (UnsafeMutableBufferPointer<rd_kafka_topic_partition_t>) -> R
    ) -> R {
        body(UnsafeMutableBufferPointer(start: pointer.pointee.elems, count: Int(pointer.pointee.cnt)))
    }

    private static func topicPartition(_ element: rd_kafka_topic_partition_t) -> TopicPartition {
        TopicPartition(topic: String(cString: element.topic), partition: element.partition)
    }
}
