/// What Redis answered.
public indirect enum RedisReply: Sendable, Hashable {
    /// Redis' nil: no such key, or a read that found nothing.
    case null
    case integer(Int64)
    case bulk([UInt8])
    /// `OK` and the like.
    case status(String)
    case array([RedisReply])
    /// An error within an array or a pipeline; an error that answers a single command is thrown.
    case error(String)

    public var integer: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }

    public var bytes: [UInt8]? {
        if case .bulk(let bytes) = self { bytes } else { nil }
    }

    /// A bulk string or a status as text; bytes that are not UTF-8 are replaced.
    public var text: String? {
        switch self {
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        default: nil
        }
    }

    public var array: [RedisReply]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    public var isNull: Bool { self == .null }
}
