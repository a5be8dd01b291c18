import Foundation
import Models
import Transactions

/// A verdict as it was published: what says how to make it again, and its bytes.
public struct RecordedVerdict: Sendable {
    public let transactionID: String
    public let userID: String
    /// The model that gave the score.
    public let tenant: Tenant
    public let version: Int
    /// Of the whole artifact, hexadecimal.
    public let sha256: String
    /// Why the user's own model did not serve.
    public let fallback: FallbackReason?
    /// The reference table that the model looked at; nil: none.
    public let reference: Reference?
    /// The rules that decided about it; nil: none did.
    public let rules: Rules?
    /// Of the transaction, milliseconds since 1970 UTC; nil: it does not say.
    public let eventMilliseconds: Int64?
    public let json: [UInt8]

    /// A version of the rules as verdicts name it.
    public struct Rules: Sendable, Hashable, Decodable {
        public let version: Int
        /// Of the version, hexadecimal.
        public let sha256: String
    }

    /// A reference table as verdicts name it.
    public struct Reference: Sendable, Hashable, Decodable {
        public let version: Int
        /// Of the table, hexadecimal.
        public let sha256: String
    }

    /// - Throws: `RecordedVerdictError` saying what is missing.
    public init(json: some Collection<UInt8>) throws {
        let fields: Fields
        do {
            fields = try JSONDecoder().decode(Fields.self, from: Data(json))
        } catch {
            throw RecordedVerdictError(
                "\(Self.problem(json, error)); a verdict is one JSON object, as published")
        }
        transactionID = fields.transactionID
        userID = fields.userID
        version = fields.model.version
        sha256 = fields.model.sha256
        if let name = fields.fallback {
            guard let reason = FallbackReason(rawValue: name) else {
                throw RecordedVerdictError("its fallback is '\(name)', which this version does not know")
            }
            fallback = reason
            tenant = .global
        } else {
            fallback = nil
            tenant = .user(fields.userID)
        }
        reference = fields.reference
        rules = fields.rules
        eventMilliseconds = fields.eventTime.flatMap { EventTime.parse($0) }
        self.json = Array(json)
    }
}

extension RecordedVerdict {
    /// - Parameter name: Where it stands, for errors.
    /// - Throws: `RecordedVerdictError` naming it.
    public init(json: some Collection<UInt8>, name: String) throws {
        do {
            try self.init(json: json)
        } catch {
            throw RecordedVerdictError("\(name): \(error)")
        }
    }

    /// What keeps a text from being a verdict, in the names of its JSON.
    private static func problem(_ json: some Collection<UInt8>, _ error: any Error) -> String {
        func name(_ path: [any CodingKey]) -> String { path.map(\.stringValue).joined(separator: ".") }
        switch error {
        case _ where json.isEmpty: return "it is empty"
        case DecodingError.keyNotFound(let key, let context):
            return "it is no verdict: it lacks \(name(context.codingPath + [key]))"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            let path = context.codingPath
            return path.isEmpty
                ? "it is no JSON object" : "it is no verdict: its \(name(path)) is of another kind"
        default: return "it cannot be read"
        }
    }

    /// A verdict's bytes without the member that names the place in the stream.
    public static func withoutSource(_ json: [UInt8]) -> [UInt8] {
        let name = Array(#""source":{"#.utf8)
        guard let start = json.indices.reversed().first(where: { json[$0...].starts(with: name) }),
            let end = json[start...].firstIndex(of: UInt8(ascii: "}"))
        else { return json }
        return Array(json[..<start] + json[(end + 1)...])
    }
}

/// The members of a verdict that are read back.
private struct Fields: Decodable {
    struct Model: Decodable {
        let version: Int
        let sha256: String
    }
    let transactionID: String
    let userID: String
    let model: Model
    let fallback: String?
    let reference: RecordedVerdict.Reference?
    let rules: RecordedVerdict.Rules?
    let eventTime: String?

    enum CodingKeys: String, CodingKey {
        case model, fallback, reference, rules
        case eventTime = "event_time"
        case transactionID = "transaction_id"
        case userID = "user_id"
    }
}

public struct RecordedVerdictError: Error, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The verdicts of a file, by transaction. A transaction that came several times has several, in their order.
public struct RecordedVerdicts: Sendable {
    struct Key: Hashable {
        let transactionID: String
        let userID: String
    }

    private var verdicts: [Key: [RecordedVerdict]] = [:]
    public private(set) var count = 0

    public init(_ verdicts: [RecordedVerdict] = []) {
        for verdict in verdicts.reversed() { add(verdict) }
    }

    /// Reads verdicts, one a line.
    ///
    /// - Parameter name: What they are of, for errors.
    /// - Throws: `RecordedVerdictError` naming the line.
    public init(_ data: Data, name: String) throws {
        let lines = data.split(separator: 0x0A)
        // From the last, so that the first is the last in its list and is taken first.
        for (index, line) in lines.enumerated().reversed() {
            add(try RecordedVerdict(json: line, name: "\(name), line \(index + 1)"))
        }
    }

    private mutating func add(_ verdict: RecordedVerdict) {
        count += 1
        verdicts[Key(transactionID: verdict.transactionID, userID: verdict.userID), default: []].append(
            verdict)
    }

    /// The next verdict of a transaction, which is then gone.
    mutating func take(transactionID: String, userID: String) -> RecordedVerdict? {
        let key = Key(transactionID: transactionID, userID: userID)
        guard let verdict = verdicts[key]?.popLast() else { return nil }
        if verdicts[key]?.isEmpty == true { verdicts[key] = nil }
        count -= 1
        return verdict
    }
}
