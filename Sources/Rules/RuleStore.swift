import Crypto
import Exact
import Foundation
import ObjectStore
import Signing

/// The versions of the rules in an object store, `rules/v3.rules`, each written once; the greatest serves. Thread-safe;
/// calls block.
///
/// Whoever changes the rules writes the version after the one that was read, if nobody else has: of two who change them at
/// once the second begins again with what the first has made, and no change is lost.
public struct RuleStore: Sendable {
    let objects: any ObjectStore
    let keys: SigningKeys

    /// Names the greatest version, so that who comes new need not count. Only a hint: the versions themselves decide.
    private static let latestKey = "rules/latest"
    private static let prefix = "rules/v"
    private static let suffix = ".rules"

    /// - Parameter hmacKey: The only key, see `init(objects:keys:)`.
    public init(objects: any ObjectStore, hmacKey: String? = nil) {
        self.init(objects: objects, keys: SigningKeys(newest: hmacKey))
    }

    /// - Parameter keys: Sign versions, and refuse those that none of them has signed.
    public init(objects: any ObjectStore, keys: SigningKeys) {
        self.objects = objects
        self.keys = keys
    }

    public var location: String { objects.location }

    func key(_ version: Int) -> String { "\(Self.prefix)\(version)\(Self.suffix)" }

    // MARK: Reading

    /// The greatest version; 0: there is none.
    ///
    /// - Parameter known: One that is there, if any is known.
    public func newest(after known: Int = 0) throws -> Int {
        var version = known
        if version == 0 {
            guard try objects.head(key(1)) != nil else { return 0 }
            version = try hint() ?? listed()
        }
        while version < RuleSet.greatestVersion, try objects.head(key(version + 1)) != nil { version += 1 }
        return version
    }

    private func hint() throws -> Int? {
        guard let bytes = try objects.get(Self.latestKey, maximumSize: 1_024)?.bytes else { return nil }
        let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let version = Int(text), (1...RuleSet.greatestVersion).contains(version),
            try objects.head(key(version)) != nil
        else { return nil }
        return version
    }

    private func listed() throws -> Int {
        try objects.listAll(prefix: Self.prefix).compactMap { object -> Int? in
            guard object.key.hasSuffix(Self.suffix) else { return nil }
            return Int(object.key.dropFirst(Self.prefix.count).dropLast(Self.suffix.count))
        }.filter { (1...RuleSet.greatestVersion).contains($0) }.max() ?? 1
    }

    /// - Parameter version: 0 gives no rules.
    /// - Throws: `RuleError.noVersion`, `.damaged`; the store's own errors.
    public func load(_ version: Int) throws -> RuleSet {
        version == 0 ? .none : try fetch(version).set
    }

    /// A version and its bytes.
    func fetch(_ version: Int) throws -> (set: RuleSet, bytes: [UInt8]) {
        guard let bytes = try objects.get(key(version), maximumSize: RuleLimits.sizeBytes)?.bytes else {
            throw RuleError.noVersion(version)
        }
        return (try RuleSet(decoding: bytes, version: version, keys: keys), bytes)
    }

    func decode(_ bytes: [UInt8]) throws(RuleError) -> RuleSet {
        try RuleSet(decoding: bytes, version: nil, keys: keys)
    }

    // MARK: Changing

    /// What came of a change.
    public struct Change: Sendable {
        public let before: Int
        /// The version that serves now; the same as before where nothing was changed.
        public let after: RuleSet

        public var isChange: Bool { after.version != before }
    }

    /// Adds a rule.
    ///
    /// - Returns: The rule as it is kept: the one that says the same, if there is one.
    /// - Throws: `RuleError.taken` where another rule has its id.
    public func add(_ rule: Rule, by author: String, now: Int64) throws -> (rule: Rule, change: Change) {
        var kept = rule
        let change = try change(by: author, now: now) { rules in
            guard let same = rules.first(where: { $0.id == rule.id }) else {
                kept = rule
                return rules + [rule]
            }
            guard same.content == rule.content else { throw RuleError.taken(id: rule.id) }
            kept = same
            return rules
        }
        return (kept, change)
    }

    /// - Parameter check: Called with the rule before it is removed.
    /// - Throws: `RuleError.notFound`.
    public func remove(
        _ id: String, by author: String, now: Int64, check: (Rule) throws -> Void = { _ in }
    ) throws -> Change {
        try change(by: author, now: now) { rules in
            guard let rule = rules.first(where: { $0.id == id }) else { throw RuleError.notFound(id: id) }
            try check(rule)
            return rules.filter { $0.id != id }
        }
    }

    /// Makes the rules those of a file. A rule that says what it said keeps its author and the time of its making. Rules that
    /// cannot be read any more are no hindrance.
    public func replace(_ rules: [Rule], by author: String, now: Int64) throws -> Change {
        try change(by: author, now: now, passingOverDamage: true) { earlier in
            let known = Dictionary(earlier.map { ($0.id, $0) }) { first, _ in first }
            return rules.map { rule in
                guard let same = known[rule.id], same.content == rule.content else { return rule }
                return rule.keepingOrigin(of: same)
            }
        }
    }

    private static let attempts = 100

    func change(
        by author: String, now: Int64, passingOverDamage: Bool = false, _ edit: ([Rule]) throws -> [Rule]
    ) throws -> Change {
        var version = try newest()
        for _ in 0..<Self.attempts {
            let (earlier, isSound) = try base(version, passingOverDamage)
            let rules = try RuleSet.checked(edit(earlier.rules))
            if isSound, rules.map(\.json) == earlier.rules.map(\.json) {
                return Change(before: version, after: earlier)
            }
            guard version < RuleSet.greatestVersion else { throw RuleError.contended }
            let body = RuleSet.encode(
                version: version + 1, rules: rules, previous: earlier.sha256, by: author, at: now)
            guard body.count < RuleLimits.sizeBytes - 1_024 else {
                throw RuleError.invalid(field: "rules", reason: "they are \(body.count) bytes long")
            }
            let bytes = RuleSet.signed(body, with: keys)
            if try objects.putIfUnchanged(key(version + 1), bytes, .absent) {
                // The version is there whether or not this succeeds.
                _ = try? objects.put(Self.latestKey, Array("\(version + 1)\n".utf8), if: .always)
                return Change(
                    before: version, after: try RuleSet(decoding: bytes, version: version + 1, keys: keys))
            }
            version = try newest(after: version)
        }
        throw RuleError.contended
    }

    private func base(_ version: Int, _ passingOverDamage: Bool) throws -> (set: RuleSet, isSound: Bool) {
        do {
            return (try load(version), true)
        } catch let error as RuleError {
            guard passingOverDamage, case .damaged = error else { throw error }
            return (.none, false)
        }
    }
}
