import CRdKafka

/// A polled batch. Payloads and keys are librdkafka's memory, borrowed, never copied: they live as long as
/// this object. A batch may hold several partitions; the messages of each are in offset order.
///
/// A batch keeps the fetch responses that it came from in memory: let go of it when its messages are done.
///
/// `@unchecked Sendable`: nothing changes after the initializer, and the messages are freed once, in
/// `deinit`; librdkafka's messages may be read and destroyed on any thread.
public final class KafkaMessages: @unchecked Sendable {
    public let count: Int
    /// Payloads and keys together.
    public let sizeBytes: Int
    /// The distinct partitions of this batch, in the order of their first message.
    public let partitions: [TopicPartition]

    private let messages: UnsafeMutableBufferPointer<UnsafeMutablePointer<rd_kafka_message_t>?>
    private let partitionIndices: [Int32]
    private let client: KafkaClient

    /// Takes over the buffer and the first `count` messages in it.
    init(
        adopting messages: UnsafeMutableBufferPointer<UnsafeMutablePointer<rd_kafka_message_t>?>, count: Int,
        sizeBytes: Int, client: KafkaClient
    ) {
        self.messages = messages
        self.count = count
        self.sizeBytes = sizeBytes
        self.client = client

        // Messages come in runs of one partition: most comparisons hit the last one.
        var known: [(topic: OpaquePointer?, partition: Int32)] = []
        var indices: [Int32] = []
        indices.reserveCapacity(count)
        var current = -1
        for index in 0..<count {
            guard let message = messages[index] else { continue }
            let (topic, partition) = (message.pointee.rkt, message.pointee.partition)
            if current < 0 || known[current].topic != topic || known[current].partition != partition {
                current = known.firstIndex { $0.topic == topic && $0.partition == partition } ?? known.count
                if current == known.count { known.append((topic, partition)) }
            }
            indices.append(Int32(current))
        }
        partitionIndices = indices
        partitions = known.map {
            TopicPartition(topic: String(cString: rd_kafka_topic_name($0.topic)), partition: $0.partition)
        }
    }

    deinit {
        for index in 0..<count { rd_kafka_message_destroy(messages[index]) }
        messages.deallocate()
    }

    public var isEmpty: Bool { count == 0 }

    /// Valid while this object lives. Empty, with a nil base address, for a message without a payload.
    public func payload(_ index: Int) -> UnsafeRawBufferPointer {
        let message = message(index)
        return UnsafeRawBufferPointer(start: message.pointee.payload, count: message.pointee.len)
    }

    /// Valid while this object lives. Empty, with a nil base address, for a message without a key.
    public func key(_ index: Int) -> UnsafeRawBufferPointer {
        let message = message(index)
        return UnsafeRawBufferPointer(start: message.pointee.key, count: message.pointee.key_len)
    }

    public func offset(_ index: Int) -> Int64 { message(index).pointee.offset }

    /// Index into `partitions`.
    public func partitionIndex(_ index: Int) -> Int { Int(partitionIndices[index]) }

    public func topicPartition(_ index: Int) -> TopicPartition { partitions[partitionIndex(index)] }

    /// The broker's or producer's time of the message in epoch milliseconds; nil when it has none.
    public func timestampMilliseconds(_ index: Int) -> Int64? {
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let timestamp = rd_kafka_message_timestamp(message(index), &type)
        return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? nil : timestamp
    }

    /// The headers in order, copied; a name may come more than once.
    public func headers(_ index: Int) -> [KafkaHeader] {
        var list: OpaquePointer?
        guard rd_kafka_message_headers(message(index), &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else {
            return []
        }
        var headers: [KafkaHeader] = []
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var size = 0
        while rd_kafka_header_get_all(list, headers.count, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR
        {
            headers.append(
                KafkaHeader(
                    name: name.map { String(cString: $0) } ?? "",
                    value: value.map { Array(UnsafeRawBufferPointer(start: $0, count: size)) }))
        }
        return headers
    }

    /// The value of the last header of a name, copied; nil: there is none, or it has more than `maximumSize` bytes. Costs little
    /// where messages have no headers.
    public func header(_ name: String, of index: Int, maximumSize: Int) -> [UInt8]? {
        var list: OpaquePointer?
        guard rd_kafka_message_headers(message(index), &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else {
            return nil
        }
        var value: UnsafeRawPointer?
        var size = 0
        guard rd_kafka_header_get_last(list, name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR, let value,
            size <= maximumSize
        else { return nil }
        return Array(UnsafeRawBufferPointer(start: value, count: size))
    }

    /// For each partition the offset to commit once every message of this batch is done: the last one's and
    /// one.
    public var nextOffsets: [TopicPartition: Int64] {
        var next = [Int64](repeating: 0, count: partitions.count)
        for index in 0..<count { next[partitionIndex(index)] = offset(index) + 1 }
        return Dictionary(zip(partitions, next), uniquingKeysWith: max)
    }

    private func message(_ index: Int) -> UnsafeMutablePointer<rd_kafka_message_t> {
        precondition(index >= 0 && index < count, "message index out of range")
        // Every one of the first `count` is set: poll() adopts no empty slot.
        return messages[index].unsafelyUnwrapped
    }
}

public struct KafkaHeader: Sendable, Hashable {
    public let name: String
    /// nil: a header without a value, which is not an empty one.
    public let value: [UInt8]?

    public init(name: String, value: [UInt8]?) {
        self.name = name
        self.value = value
    }

    public init(_ name: String, _ text: String) { self.init(name: name, value: Array(text.utf8)) }
}
