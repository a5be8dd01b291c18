import Crypto
import Exact
import Foundation
import Signing
import Transactions

/// One version of the rules, and how a transaction finds its own. Immutable.
public struct RuleSet: Sendable {
    /// From 1; 0: nobody has ever made one.
    public let version: Int
    /// Of the version's bytes without their signature, as they were first written, hexadecimal; nil: there is none.
    public let sha256: String?
    /// Ascending by id.
    public let rules: [Rule]
    private let alerting: RuleIndex
    private let suppressing: RuleIndex

    public static let none = RuleSet(version: 0, sha256: nil, rules: [])

    fileprivate init(version: Int, sha256: String?, rules: [Rule]) {
        self.version = version
        self.sha256 = sha256
        self.rules = rules
        alerting = RuleIndex(rules) { $0.action == .alert }
        suppressing = RuleIndex(rules) { $0.action != .alert }
    }

    /// The rule that decides about a transaction, as a place in `rules`: of those that apply, an alert before others, and
    /// then the first by id. nil: none.
    ///
    /// - Parameter isAnomaly: What is no anomaly has nothing to suppress.
    public func deciding(_ row: Int, of transactions: TransactionBatch, isAnomaly: Bool) -> Int? {
        if let place = alerting.first(row, of: transactions, in: rules) { return place }
        return isAnomaly ? suppressing.first(row, of: transactions, in: rules) : nil
    }

    /// Whether transactions that are no anomaly need to be looked at.
    public var hasAlerting: Bool { !alerting.isEmpty }

    // MARK: Bytes

    private static let format = "ml-rules-1"

    /// The bytes of a version, without a signature: one line of JSON.
    ///
    /// - Parameters:
    ///   - rules: Checked.
    ///   - previous: SHA-256 of the version before.
    ///   - original: SHA-256 of this version before rules of erased users were taken out of it; nil: none were.
    static func encode(
        version: Int, rules: [Rule], previous: String?, by author: String, at milliseconds: Int64,
        original: String? = nil
    ) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.field("format", format)
        json.field("version", Int64(version))
        if let original { json.field("original", original) }
        if let previous { json.field("previous", previous) } else { json.nullField("previous") }
        json.field("by", author)
        json.field("time") { TimeText.append(milliseconds, to: &$0) }
        json.beginArray("rules")
        for rule in rules { rule.write(into: &json) }
        json.endArray()
        json.endObject()
        return json.bytes
    }

    /// Reads a version.
    ///
    /// - Parameters:
    ///   - bytes: As they lie in the store, a signature behind them or not.
    ///   - version: Which one it must be; nil: the one that it says.
    ///   - keys: One of them must have signed it; none: signatures are not looked at.
    init(decoding bytes: [UInt8], version expected: Int?, keys: SigningKeys) throws(RuleError) {
        struct File: Decodable {
            let format: String
            let version: Int
            let original: String?
            let rules: [RuleParser.Draft]
        }
        let name = expected ?? 0
        let body = bytes.prefix { $0 != UInt8(ascii: "\n") }
        if !keys.isEmpty {
            guard Self.signer(of: bytes, keys) != nil else {
                throw .damaged(version: name, reason: "no key of this service has signed them")
            }
        }
        let file: File
        let rules: [Rule]
        do throws(RuleError) {
            file = try RuleParser.decode(File.self, Array(body))
            guard file.format == Self.format else {
                throw .damaged(version: name, reason: "their format is '\(file.format.prefix(40))'")
            }
            guard (1...RuleSet.greatestVersion).contains(file.version),
                expected ?? file.version == file.version
            else { throw .damaged(version: name, reason: "they say that they are v\(file.version)") }
            guard file.original.map({ Hex.bytes($0)?.count == SHA256.byteCount }) ?? true else {
                throw .damaged(version: name, reason: "what it was before an erasure is no SHA-256")
            }
            rules = try RuleSet.checked(RuleParser(author: "unknown", now: 0).rules(file.rules))
        } catch {
            if case .damaged = error { throw error }
            throw .damaged(version: name, reason: "\(error)")
        }
        // A version from which a user was erased keeps its name: the verdicts of others go on naming it.
        self.init(
            version: file.version, sha256: file.original ?? Hex.text(SHA256.hash(data: body)), rules: rules)
    }

    /// What a signature is of: rules, and nothing else that the key signs.
    private static func signed(_ body: some Sequence<UInt8>) -> [UInt8] { Array("ml-rules\0".utf8) + body }

    /// The name of the key that has signed a version; nil: none of these has.
    static func signer(of bytes: [UInt8], _ keys: SigningKeys) -> Data? {
        let body = bytes.prefix { $0 != UInt8(ascii: "\n") }
        let text = String(decoding: bytes.dropFirst(body.count + 1).prefix(200), as: UTF8.self)
        return Hex.bytes(text).flatMap { keys.signer(of: $0, authenticating: signed(body)) }
    }

    /// The bytes as they lie in the store.
    static func signed(_ body: [UInt8], with keys: SigningKeys) -> [UInt8] {
        guard let tag = keys.sign(signed(body)) else { return body }
        return body + [UInt8(ascii: "\n")] + Array(Hex.text(tag).utf8)
    }

    /// Numbers of versions: far from the end of any type.
    static let greatestVersion = 1_000_000_000

    // MARK: Checking

    /// The rules in their order.
    ///
    /// - Throws: `RuleError.invalid` where two have one id, or there are more than `RuleLimits` allows.
    static func checked(_ rules: [Rule]) throws(RuleError) -> [Rule] {
        let sorted = rules.sorted { $0.id < $1.id }
        for (one, other) in zip(sorted, sorted.dropFirst()) where one.id == other.id {
            throw .invalid(field: "rules", reason: "two of them have the id \(one.id)")
        }
        guard rules.count <= RuleLimits.rules else {
            throw .invalid(
                field: "rules",
                reason:
                    "there are \(rules.count), of at most \(RuleLimits.rules): delete those that have expired"
            )
        }
        let index = RuleIndex(sorted) { _ in true }
        guard index.amountsAlone <= RuleLimits.rulesOfAmountsAlone else {
            throw .invalid(
                field: "rules",
                reason: "\(index.amountsAlone) name nothing but an amount range, of at most "
                    + "\(RuleLimits.rulesOfAmountsAlone)")
        }
        guard index.mostOfOne <= RuleLimits.rulesOfOne else {
            throw .invalid(
                field: "rules",
                reason: "\(index.mostOfOne) are of one user, merchant or category, of at most "
                    + "\(RuleLimits.rulesOfOne)")
        }
        return sorted
    }
}

/// Which rules a transaction must be compared with: those of its user, merchant and category, and those that name an
/// amount range only.
private struct RuleIndex: Sendable {
    /// By `TextHash`; places in the set's rules, ascending. A rule lies under the first of the three that it names.
    private var ofUser: [UInt64: [Int32]] = [:]
    private var ofMerchant: [UInt64: [Int32]] = [:]
    private var ofCategory: [UInt64: [Int32]] = [:]
    private var ofAmount: [Int32] = []

    init(_ rules: [Rule], where isWanted: (Rule) -> Bool) {
        for (place, rule) in rules.enumerated() where isWanted(rule) {
            // There are at most `RuleLimits.rules`.
            let place = Int32(truncatingIfNeeded: place)
            if let userID = rule.conditions.userID {
                ofUser[TextHash.hash(userID), default: []].append(place)
            } else if let merchantID = rule.conditions.merchantID {
                ofMerchant[TextHash.hash(merchantID), default: []].append(place)
            } else if let category = rule.conditions.category {
                ofCategory[TextHash.hash(category), default: []].append(place)
            } else {
                ofAmount.append(place)
            }
        }
    }

    var isEmpty: Bool { ofUser.isEmpty && ofMerchant.isEmpty && ofCategory.isEmpty && ofAmount.isEmpty }
    var amountsAlone: Int { ofAmount.count }
    var mostOfOne: Int {
        [ofUser, ofMerchant, ofCategory].flatMap { $0.values.map(\.count) }.max() ?? 0
    }

    /// The first rule that applies.
    func first(_ row: Int, of transactions: TransactionBatch, in rules: [Rule]) -> Int? {
        var found = Int.max
        func look(_ places: [Int32]?) {
            guard let places else { return }
            for place in places {
                let place = Int(place)
                if place >= found { return }
                if rules[place].applies(to: row, of: transactions) {
                    found = place
                    return
                }
            }
        }
        if !ofUser.isEmpty { look(ofUser[transactions.hash(.userID, row)]) }
        if !ofMerchant.isEmpty { look(ofMerchant[transactions.hash(.merchantID, row)]) }
        if !ofCategory.isEmpty { look(ofCategory[transactions.hash(.category, row)]) }
        look(ofAmount)
        return found == .max ? nil : found
    }
}
