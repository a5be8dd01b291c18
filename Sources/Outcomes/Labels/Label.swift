import Exact

/// What a transaction turned out to be, and when that became known.
public struct Label: Sendable, Hashable {
    public var transactionID: String
    public var isFraud: Bool
    /// Milliseconds since 1970 UTC.
    public var knownMilliseconds: Int64
    /// Who said so: `chargeback`, `analyst`.
    public var source: String

    public init(transactionID: String, isFraud: Bool, knownMilliseconds: Int64, source: String) {
        self.transactionID = transactionID
        self.isFraud = isFraud
        self.knownMilliseconds = knownMilliseconds
        self.source = source
    }

    /// As `LabelParser` reads it.
    public func json() -> String {
        var json = JSONWriter()
        json.beginObject()
        json.field("transaction_id", transactionID)
        json.field("label", isFraud ? Self.fraud : Self.genuine)
        json.field("known_at") { TimeText.append(knownMilliseconds, to: &$0) }
        json.field("source", source)
        json.endObject()
        return String(decoding: json.bytes, as: UTF8.self)
    }

    public static let fraud = "fraud"
    public static let genuine = "genuine"

    /// The order in which labels of one transaction count: the last one stands. Of two that became known at one
    /// moment the fraud stands.
    static func precedes(_ a: (knownAt: Int64, isFraud: Bool), _ b: (knownAt: Int64, isFraud: Bool)) -> Bool {
        a.knownAt != b.knownAt ? a.knownAt < b.knownAt : !a.isFraud && b.isFraud
    }
}

/// Why something is no label.
public struct LabelRejection: Error, Sendable, Hashable, CustomStringConvertible {
    /// `known_at`; empty: the whole of it.
    public let field: String
    public let reason: String
    /// Which of several; nil: it was one.
    public var index: Int?

    public init(field: String, reason: String, index: Int? = nil) {
        self.field = field
        self.reason = reason
        self.index = index
    }

    /// `labels[3].known_at`
    public var path: String {
        guard let index else { return field }
        return "labels[\(index)]" + (field.isEmpty ? "" : "." + field)
    }

    public var description: String { path.isEmpty ? reason : "\(path): \(reason)" }
}
