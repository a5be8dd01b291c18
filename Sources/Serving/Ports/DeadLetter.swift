import Crypto
import Exact
import Kafka

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A message that cannot be worked on, with what is wrong with it: kept, so that nothing that arrives is lost.
public struct DeadLetter: Sendable, Hashable {
    /// nil: the message had none.
    public let payload: [UInt8]?
    /// nil: the message had none.
    public let key: [UInt8]?
    /// The message's own, in order.
    public let headers: [KafkaHeader]
    public let source: TopicPartition
    public let offset: Int64
    /// After the last offset, of a stretch of records that cannot be told apart; nil: one message.
    public let endOffset: Int64?
    /// A word for machines, `missing-field`.
    public let reason: String
    /// A sentence for people.
    public let detail: String

    public init(
        payload: [UInt8]?, key: [UInt8]? = nil, headers: [KafkaHeader] = [], source: TopicPartition,
        offset: Int64, endOffset: Int64? = nil, reason: String, detail: String
    ) {
        self.payload = payload
        self.key = key
        self.headers = headers
        self.source = source
        self.offset = offset
        self.endOffset = endOffset
        self.reason = reason
        self.detail = detail
    }
}

// MARK: As a Kafka message

extension DeadLetter {
    /// A message for the topic of dead letters.
    struct Message {
        var key: [UInt8]?
        var payload: [UInt8]?
        var headers: [KafkaHeader]
    }

    /// What is kept of a message that is too large to be kept whole.
    static let keptBytes = 1_024

    /// The message as it came, with the headers that Kafka Connect gives to its dead letters after its own.
    var message: Message { Message(key: key, payload: payload, headers: headers + errorHeaders) }

    /// As much of the message as fits everywhere: its first bytes, and the whole's length and digest. Key and headers
    /// are kept when they are short.
    var excerpt: Message {
        var message = Message(key: nil, payload: nil, headers: [])
        var facts: [KafkaHeader] = []
        if let payload {
            message.payload = Array(payload.prefix(Self.keptBytes))
            facts += Self.facts("payload", payload)
        }
        if let key {
            if key.count <= Self.keptBytes { message.key = key } else { facts += Self.facts("key", key) }
        }
        var room = Self.keptBytes
        for header in headers {
            room -= header.name.utf8.count + (header.value?.count ?? 0)
            guard room >= 0 else { break }
            message.headers.append(header)
        }
        if message.headers.count < headers.count {
            facts.append(
                KafkaHeader("__ml_service.headers.dropped", "\(headers.count - message.headers.count)"))
        }
        message.headers += errorHeaders + facts
        return message
    }

    private var errorHeaders: [KafkaHeader] {
        var errors = [
            KafkaHeader("__connect.errors.topic", source.topic),
            KafkaHeader("__connect.errors.partition", "\(source.partition)"),
            KafkaHeader("__connect.errors.offset", "\(offset)"),
            KafkaHeader("__connect.errors.exception.class.name", reason),
            KafkaHeader("__connect.errors.exception.message", detail),
        ]
        if let endOffset { errors.append(KafkaHeader("__ml_service.offset.end", "\(endOffset)")) }
        return errors
    }

    private static func facts(_ name: String, _ bytes: [UInt8]) -> [KafkaHeader] {
        [
            KafkaHeader("__ml_service.\(name).length", "\(bytes.count)"),
            KafkaHeader("__ml_service.\(name).sha256", sha256(bytes)),
        ]
    }

    private static func sha256(_ bytes: [UInt8]) -> String { Hex.text(SHA256.hash(data: bytes)) }
}

// MARK: As a line of a file

extension DeadLetter {
    /// A payload above it is kept as its first bytes, length and digest.
    static let maximumLinePayload = 1 << 20

    /// The same facts as the Kafka message has. A payload that is no UTF-8 text is in `payload_base64`.
    var jsonLine: [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.field("reason", reason)
        json.field("detail", detail)
        json.field("topic", source.topic)
        json.field("partition", Int64(source.partition))
        json.field("offset", offset)
        if let endOffset { json.field("end_offset", endOffset) }
        if let payload {
            let isWhole = payload.count <= Self.maximumLinePayload
            let kept = isWhole ? payload : Array(payload.prefix(Self.keptBytes))
            if let text = String(validating: kept, as: UTF8.self) {
                json.field("payload", text)
            } else {
                json.field("payload_base64", Data(kept).base64EncodedString())
            }
            if !isWhole {
                json.field("length", Int64(payload.count))
                json.field("sha256", Self.sha256(payload))
            }
        } else {
            json.nullField("payload")
        }
        json.endObject()
        return json.bytes
    }
}
