/// Why a message is not a transaction. Raw values are what headers, logs and metrics say; they do not change.
public enum RejectionReason: String, Sendable, Hashable, CaseIterable {
    case notJSON = "not-json"
    case notAnObject = "not-an-object"
    case missingField = "missing-field"
    case wrongType = "wrong-type"
    case notFinite = "not-finite"
    case badTimestamp = "bad-timestamp"
    case userIDLength = "user-id-length"
    case tooLarge = "too-large"
    case invalidUTF8 = "invalid-utf8"
    case tooDeep = "too-deep"
    case textLength = "text-length"
    case embeddedNUL = "embedded-nul"
    case outOfRange = "out-of-range"

    /// What is expected instead.
    public var explanation: String {
        switch self {
        case .notJSON: "the message is not JSON"
        case .notAnObject: "the message is not a JSON object"
        case .missingField: "a required field is missing, null or a word for it, such as NULL"
        case .wrongType: "the value is not of the field's kind"
        case .notFinite: "the number is beyond the range of a double"
        case .badTimestamp:
            "expected a time with its zone, or a count since 1970, in the years 1971 to 2199"
        case .userIDLength: "expected 1 to 256 bytes"
        case .tooLarge: "the message has more than 65536 bytes"
        case .invalidUTF8: "the message is not UTF-8"
        case .tooDeep: "the message is nested deeper than 64 levels"
        case .textLength: "expected at most 1024 bytes, or 1 to 256 for an identifier"
        case .embeddedNUL: "the text holds a NUL character"
        case .outOfRange: "expected degrees: -90 to 90 for a latitude, -180 to 180 for a longitude"
        }
    }
}

/// A message that is not a transaction.
public struct Rejection: Sendable, Hashable, CustomStringConvertible {
    /// Which message of the parsed batch.
    public let messageIndex: Int32
    public let reason: RejectionReason
    /// The key of the field at fault; nil when the whole message is.
    public let field: String?
    /// The beginning of what the field holds; nil when it holds nothing. As it came: it may hold control characters.
    public let value: String?

    public init(messageIndex: Int32, reason: RejectionReason, field: String?, value: String? = nil) {
        self.messageIndex = messageIndex
        self.reason = reason
        self.field = field
        self.value = value
    }

    /// What is wrong and what is expected instead, for whoever has the message before them.
    public var detail: String { field.map { "field \($0): \(reason.explanation)" } ?? reason.explanation }

    public var description: String { "message \(messageIndex): \(reason.rawValue): \(detail)" }
}
