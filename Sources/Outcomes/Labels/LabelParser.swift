import Exact
import Foundation
import Transactions

/// Reads labels from JSON: `{"transaction_id": "...", "label": "fraud", "known_at": "2026-01-31T12:00:00Z",
/// "source": "chargeback"}`; `known_at` may be milliseconds since 1970. Other fields are ignored.
public struct LabelParser: Sendable {
    /// Of labels that do not say it: `api`, `topic`, `etl`.
    let defaultSource: String
    /// Labels that became known later than this are refused: nobody knows the future. Milliseconds since 1970 UTC.
    let now: Int64

    public static let maximumIDBytes = 1_024
    public static let maximumSourceBytes = 64
    /// Clocks differ.
    static let toleranceMilliseconds: Int64 = 5 * 60_000

    public init(defaultSource: String, now: Int64) {
        self.defaultSource = defaultSource
        self.now = now
    }

    /// A known_at as people write it.
    private struct Moment: Decodable {
        let milliseconds: Int64?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int64.self) {
                milliseconds = LabelParser.time("\(number)")
            } else if let number = try? container.decode(Double.self) {
                milliseconds = LabelParser.time("\(number)")
            } else {
                milliseconds = LabelParser.time(try container.decode(String.self))
            }
        }
    }

    /// An id, which may be a number.
    private struct Identifier: Decodable {
        let text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int64.self) {
                text = "\(number)"
            } else if let number = try? container.decode(UInt64.self) {
                text = "\(number)"
            } else {
                text = try container.decode(String.self)
            }
        }
    }

    /// A time as every reader reads it; nil: it is none, or does not say its zone.
    public static func time(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { ValueText.time($0).value }
    }

    /// As of every text of a transaction.
    private static func isMissing(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { ValueText.isMissing($0) }
    }

    private struct Wire: Decodable {
        let transactionID: Identifier
        let label: String
        let knownAt: Moment
        let source: String?

        private enum CodingKeys: String, CodingKey {
            case label, source
            case transactionID = "transaction_id"
            case knownAt = "known_at"
        }
    }

    /// One label.
    public func label(_ json: Data) throws(LabelRejection) -> Label {
        try checked(decode(Wire.self, json), index: nil)
    }

    /// The same as a value.
    public func result(_ json: Data) -> Result<Label, LabelRejection> {
        Result { () throws(LabelRejection) in try label(json) }
    }

    /// One object, or an array of them: all are labels, or none is taken.
    public func labels(_ json: Data) throws(LabelRejection) -> [Label] {
        let first = json.first { $0 > 0x20 }
        guard first == UInt8(ascii: "[") else { return [try label(json)] }
        var labels: [Label] = []
        for (index, wire) in try decode([Wire].self, json).enumerated() {
            labels.append(try checked(wire, index: index))
        }
        return labels
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ json: Data) throws(LabelRejection) -> Value {
        let value = try decodeAny(type, json)
        if let (name, element) = RepeatedNames.first(in: json) {
            throw LabelRejection(field: name, reason: "it is given twice", index: element)
        }
        return value
    }

    /// The same, of two fields with one name some one.
    private func decodeAny<Value: Decodable>(
        _ type: Value.Type, _ json: Data
    ) throws(LabelRejection) -> Value {
        do {
            return try JSONDecoder().decode(type, from: json)
        } catch DecodingError.keyNotFound(let key, let context) {
            throw rejection(context.codingPath + [key], "it is missing")
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            throw rejection(context.codingPath, "it has the wrong type")
        } catch {
            throw LabelRejection(field: "", reason: "it is no JSON of a label")
        }
    }

    private func rejection(_ path: [any CodingKey], _ reason: String) -> LabelRejection {
        LabelRejection(
            field: path.last { $0.intValue == nil }?.stringValue ?? "", reason: reason,
            index: path.first { $0.intValue != nil }?.intValue)
    }

    private func checked(_ wire: Wire, index: Int?) throws(LabelRejection) -> Label {
        try label(
            transactionID: wire.transactionID.text, label: wire.label, knownAt: wire.knownAt.milliseconds,
            source: wire.source, index: index)
    }

    /// A label from its fields as texts.
    ///
    /// - Parameter knownAt: nil: what stood there is no time.
    public func label(
        transactionID: String, label: String, knownAt: Int64?, source: String?, index: Int? = nil
    ) throws(LabelRejection) -> Label {
        func refuse(_ field: String, _ reason: String) -> LabelRejection {
            LabelRejection(field: field, reason: reason, index: index)
        }
        guard (1...Self.maximumIDBytes).contains(transactionID.utf8.count) else {
            throw refuse("transaction_id", "it must have 1 to \(Self.maximumIDBytes) bytes")
        }
        guard !Self.isMissing(transactionID) else {
            throw refuse("transaction_id", "'\(transactionID)' is a word for none")
        }
        guard label == Label.fraud || label == Label.genuine else {
            throw refuse("label", "'\(label.prefix(40))' is neither fraud nor genuine")
        }
        guard let knownAt, EventTime.acceptedMilliseconds.contains(knownAt) else {
            throw refuse(
                "known_at", "write 2026-01-31T12:00:00Z or milliseconds since 1970, of the years 1971 to 2199"
            )
        }
        guard knownAt <= now + Self.toleranceMilliseconds else {
            throw refuse(
                "known_at",
                "\(EventTime.format(knownAt)) is in the future: say when you knew, not when you will")
        }
        let source = source.flatMap { Self.isMissing($0) ? nil : $0 } ?? defaultSource
        guard source.utf8.count <= Self.maximumSourceBytes else {
            throw refuse("source", "it must have at most \(Self.maximumSourceBytes) bytes")
        }
        return Label(
            transactionID: transactionID, isFraud: label == Label.fraud, knownMilliseconds: knownAt,
            source: source)
    }
}
