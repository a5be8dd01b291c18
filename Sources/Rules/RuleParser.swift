import Exact
import Foundation
import Transactions

/// Reads rules from JSON that people and other programs write. A field that no rule has is refused: a misspelt `user_id`
/// would make a rule for everybody.
public struct RuleParser: Sendable {
    /// Of rules that do not say theirs.
    let author: String
    /// Of rules that do not say when they were made, milliseconds since 1970 UTC.
    let now: Int64

    public init(author: String, now: Int64) {
        self.author = author
        self.now = now
    }

    /// One object.
    public func rule(_ json: [UInt8]) throws(RuleError) -> Rule {
        try checked(try Self.decode(Draft.self, json), at: "")
    }

    /// An array of rules, or an object with `rules` beside members that are passed over: what `rules list --json` writes.
    public func rules(_ json: [UInt8]) throws(RuleError) -> [Rule] {
        struct File: Decodable { let rules: [Draft] }
        let first = json.first { $0 > 0x20 }
        let drafts =
            first == UInt8(ascii: "[")
            ? try Self.decode([Draft].self, json) : try Self.decode(File.self, json).rules
        return try rules(drafts)
    }

    func rules(_ drafts: [Draft]) throws(RuleError) -> [Rule] {
        var rules: [Rule] = []
        for (place, draft) in drafts.enumerated() { rules.append(try checked(draft, at: "rules[\(place)].")) }
        return rules
    }

    static func decode<Value: Decodable>(_ type: Value.Type, _ json: [UInt8]) throws(RuleError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(json))
        } catch let error as RuleError {
            throw error
        } catch DecodingError.keyNotFound(let key, let context) {
            throw .invalid(field: path(context.codingPath + [key]), reason: "it is missing")
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            throw .invalid(field: path(context.codingPath), reason: "it has the wrong type")
        } catch DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty {
            throw .invalid(field: path(context.codingPath), reason: "its value is out of range")
        } catch {
            throw .notJSON
        }
    }

    /// `rules[3].user_id`, of an array as well as of an object with `rules`.
    static func path(_ keys: [any CodingKey]) -> String {
        var path = ""
        for key in keys {
            if let index = key.intValue {
                path = (path.isEmpty ? "rules" : path) + "[\(index)]"
            } else {
                path += (path.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return path
    }

    // MARK: A rule as it was written

    struct Draft: Decodable {
        let id: String?
        let action: String
        let userID: String?
        let merchantID: String?
        let category: String?
        let amountFrom: Double?
        let amountTo: Double?
        let expires: String?
        let publish: Bool?
        let reason: String
        let author: String?
        let created: String?

        private struct Name: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        private static let names = [
            "id", "action", "user_id", "merchant_id", "category", "amount_from", "amount_to", "expires",
            "publish", "reason", "author", "created",
        ]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            if let stranger = container.allKeys.map(\.stringValue).filter({ !Self.names.contains($0) }).min()
            {
                throw RuleError.invalid(
                    field: RuleParser.path(
                        decoder.codingPath + [Name(stringValue: String(stranger.prefix(100)))]),
                    reason: "there is no such field; there are \(Self.names.joined(separator: ", "))")
            }
            func optional<Value: Decodable>(_ name: String) throws -> Value? {
                try container.decodeIfPresent(Value.self, forKey: Name(stringValue: name))
            }
            id = try optional("id")
            action = try container.decode(String.self, forKey: Name(stringValue: "action"))
            userID = try optional("user_id")
            merchantID = try optional("merchant_id")
            category = try optional("category")
            amountFrom = try optional("amount_from")
            amountTo = try optional("amount_to")
            expires = try optional("expires")
            publish = try optional("publish")
            reason = try container.decode(String.self, forKey: Name(stringValue: "reason"))
            author = try optional("author")
            created = try optional("created")
        }
    }

    // MARK: Checking

    private func checked(_ draft: Draft, at place: String) throws(RuleError) -> Rule {
        func refuse(_ field: String, _ reason: String) -> RuleError {
            .invalid(field: place + field, reason: reason)
        }
        func check(_ text: String?, _ field: String, _ range: ClosedRange<Int>) throws(RuleError) {
            guard let text, !range.contains(text.utf8.count) else { return }
            throw refuse(field, "it must have \(range.lowerBound) to \(range.upperBound) bytes")
        }
        guard let action = Rule.Action(rawValue: draft.action) else {
            let known = Rule.Action.allCases.map(\.rawValue).joined(separator: ", ")
            throw refuse("action", "'\(draft.action.prefix(40))' is none of \(known)")
        }
        try check(draft.id, "id", RuleLimits.idBytes)
        if let id = draft.id, !id.utf8.allSatisfy(Self.isOfID) {
            throw refuse("id", "it is made of letters, digits, '-', '_' and '.'")
        }
        try check(draft.userID, "user_id", RuleLimits.conditionBytes)
        try check(draft.merchantID, "merchant_id", RuleLimits.conditionBytes)
        try check(draft.category, "category", RuleLimits.conditionBytes)
        try check(draft.reason, "reason", RuleLimits.reasonBytes)
        try check(draft.author, "author", RuleLimits.authorBytes)
        for (field, amount) in [("amount_from", draft.amountFrom), ("amount_to", draft.amountTo)] {
            if let amount, !amount.isFinite { throw refuse(field, "it must be a finite number") }
        }
        if let from = draft.amountFrom, let to = draft.amountTo, from > to {
            throw refuse("amount_to", "it is less than amount_from: no amount lies between them")
        }
        let conditions = Rule.Conditions(
            userID: draft.userID, merchantID: draft.merchantID, category: draft.category,
            amountFrom: draft.amountFrom, amountTo: draft.amountTo)
        guard !conditions.isEmpty else {
            throw refuse(
                "",
                "a rule for everything is none: give user_id, merchant_id, category, amount_from or amount_to"
            )
        }
        func time(_ text: String?, _ field: String) throws(RuleError) -> Int64? {
            guard let text else { return nil }
            guard let time = TimeText.milliseconds(text), TimeText.acceptedMilliseconds.contains(time) else {
                throw refuse(field, "write 2026-01-31T12:00:00Z, of the years 1971 to 2199")
            }
            return time
        }
        let expires = try time(draft.expires, "expires")
        if action == .snooze, expires == nil {
            throw refuse("expires", "a snooze has an end; what has none is a suppress")
        }
        if action == .alert, draft.publish == false {
            throw refuse("publish", "an alert is always published")
        }
        return Rule(
            id: draft.id, action: action, conditions: conditions, expiresMilliseconds: expires,
            isPublished: draft.publish ?? false, reason: draft.reason,
            author: draft.author ?? author, createdMilliseconds: try time(draft.created, "created") ?? now)
    }

    private static func isOfID(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}

extension Rule.Conditions {
    var isEmpty: Bool {
        userID == nil && merchantID == nil && category == nil && amountFrom == nil && amountTo == nil
    }
}
