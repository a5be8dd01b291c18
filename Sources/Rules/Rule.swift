import Crypto
import Exact
import Transactions

/// What an analyst has decided about alerts of a user, a merchant, a category, an amount range, or all of these at once.
///
///     Rule(
///         id: "r-travel", action: .suppress, conditions: .init(merchantID: "airline-7", amountTo: 400),
///         reason: "the team books there", author: "ada", createdMilliseconds: now)
public struct Rule: Sendable {
    public enum Action: String, Sendable, CaseIterable {
        /// Keeps an anomaly from being an alert.
        case suppress
        /// The same until a moment, which it must have.
        case snooze
        /// Makes an alert of a transaction whatever its score; goes before the other two.
        case alert
    }

    /// All that are given must hold; at least one is given.
    public struct Conditions: Sendable {
        public var userID: String?
        public var merchantID: String?
        public var category: String?
        /// The least amount, itself included.
        public var amountFrom: Double?
        /// The greatest amount, itself included.
        public var amountTo: Double?

        public init(
            userID: String? = nil, merchantID: String? = nil, category: String? = nil,
            amountFrom: Double? = nil, amountTo: Double? = nil
        ) {
            self.userID = userID
            self.merchantID = merchantID
            self.category = category
            self.amountFrom = amountFrom
            self.amountTo = amountTo
        }
    }

    /// ASCII letters, digits, `-`, `_` and `.`.
    public let id: String
    public let action: Action
    public let conditions: Conditions
    /// Transactions of this time and later are none of its business: event time, milliseconds since 1970 UTC; nil: it has
    /// no end.
    public let expiresMilliseconds: Int64?
    /// Whether a suppressed anomaly is published all the same, named as suppressed.
    public let isPublished: Bool
    public let reason: String
    public let author: String
    /// Of the clock of whoever made it.
    public let createdMilliseconds: Int64

    /// - Parameter id: nil: one that is made of what the rule says, so that the same rule twice is once.
    public init(
        id: String? = nil, action: Action, conditions: Conditions, expiresMilliseconds: Int64? = nil,
        isPublished: Bool = false, reason: String, author: String, createdMilliseconds: Int64
    ) {
        self.action = action
        self.conditions = conditions
        self.expiresMilliseconds = expiresMilliseconds
        self.isPublished = isPublished || action == .alert
        self.reason = reason
        self.author = author
        self.createdMilliseconds = createdMilliseconds
        let content = Self.content(action, conditions, expiresMilliseconds, self.isPublished, reason)
        self.id = id ?? "r-" + Hex.text(SHA256.hash(data: content).prefix(8))
    }

    /// The same rule under what an earlier version says of its making.
    func keepingOrigin(of earlier: Rule) -> Rule {
        Rule(
            id: id, action: action, conditions: conditions, expiresMilliseconds: expiresMilliseconds,
            isPublished: isPublished, reason: reason, author: earlier.author,
            createdMilliseconds: earlier.createdMilliseconds)
    }

    // MARK: Whether it applies

    /// - Parameter row: Of the batch.
    func applies(to row: Int, of transactions: TransactionBatch) -> Bool {
        if let expiresMilliseconds, transactions.timestampMilliseconds[row] >= expiresMilliseconds {
            return false
        }
        let amount = transactions.amount[row]
        if let from = conditions.amountFrom, !(amount >= from) { return false }
        if let to = conditions.amountTo, !(amount <= to) { return false }
        return Self.holds(conditions.userID, .userID, row, transactions)
            && Self.holds(conditions.merchantID, .merchantID, row, transactions)
            && Self.holds(conditions.category, .category, row, transactions)
    }

    /// By bytes: two spellings of one letter are two texts, as everywhere in the stream.
    private static func holds(
        _ text: String?, _ field: TextField, _ row: Int, _ transactions: TransactionBatch
    ) -> Bool {
        guard let text else { return true }
        return transactions.withText(field, row) { bytes in
            bytes.map { $0.elementsEqual(text.utf8) } ?? false
        }
    }

    // MARK: JSON

    /// What the rule says, without its id and its origin.
    var content: [UInt8] {
        Self.content(action, conditions, expiresMilliseconds, isPublished, reason)
    }

    private static func content(
        _ action: Action, _ conditions: Conditions, _ expires: Int64?, _ isPublished: Bool, _ reason: String
    ) -> [UInt8] {
        var json = JSONWriter()
        json.field("action", action.rawValue)
        if let userID = conditions.userID { json.field("user_id", userID) }
        if let merchantID = conditions.merchantID { json.field("merchant_id", merchantID) }
        if let category = conditions.category { json.field("category", category) }
        if let from = conditions.amountFrom { json.field("amount_from", from) }
        if let to = conditions.amountTo { json.field("amount_to", to) }
        if let expires { json.field("expires") { TimeText.append(expires, to: &$0) } }
        json.key("publish")
        json.append(isPublished ? "true" : "false")
        json.field("reason", reason)
        return json.bytes
    }

    /// Appends the rule as an object: the same rule gives the same bytes.
    public func write(into json: inout JSONWriter) {
        json.beginObject()
        json.field("id", id)
        json.members(content)
        json.field("author", author)
        json.field("created") { TimeText.append(createdMilliseconds, to: &$0) }
        json.endObject()
    }

    public var json: [UInt8] {
        var json = JSONWriter()
        write(into: &json)
        return json.bytes
    }
}

/// What rules may be, so that no file of them makes the stream slow.
public enum RuleLimits {
    public static let rules = 5_000
    /// Of one user, merchant or category: all of them are looked at for each of its transactions.
    public static let rulesOfOne = 200
    /// With an amount range and nothing else: all of them are looked at for every transaction.
    public static let rulesOfAmountsAlone = 50
    static let idBytes = 1...64
    static let conditionBytes = 1...256
    static let reasonBytes = 1...500
    static let authorBytes = 1...100
    /// Of a version.
    static let sizeBytes = 16 << 20
}

/// What cannot be done with rules. Stores that fail throw their own errors.
public enum RuleError: Error, Sendable, Hashable, CustomStringConvertible {
    /// `field` is where: `user_id`, `rules[3].expires`; empty: nothing in particular.
    case invalid(field: String, reason: String)
    case notJSON
    case notFound(id: String)
    /// Another rule has the id.
    case taken(id: String)
    case damaged(version: Int, reason: String)
    case noVersion(Int)
    /// Others change the rules again and again.
    case contended

    public var description: String {
        switch self {
        case .invalid(let field, let reason): field.isEmpty ? reason : "\(field): \(reason)"
        case .notJSON: "it is no JSON: an array of rules, or an object with `rules`"
        case .notFound(let id): "there is no rule \(id)"
        case .taken(let id):
            "there is another rule \(id): delete it first, or leave the id out to have one made"
        case .damaged(let version, let reason):
            "the rules v\(version) are damaged: \(reason); ml-service rules import writes the next version"
        case .noVersion(let version): "there are no rules v\(version)"
        case .contended: "others change the rules; try again"
        }
    }
}
