import Exact
import Foundation
import ObjectStore

extension RuleStore {
    /// What erasing a user did to the rules.
    public struct Erased: Sendable {
        /// Rules that named the user and decided until now, for whoever has to tell their authors.
        public var rules: [Rule] = []
        /// Earlier versions that named the user, and do so no more.
        public var versions: [Int] = []
        /// Versions that cannot be read and have the user's id somewhere in their bytes.
        public var unreadable: [Int] = []
    }

    /// Removes the rules that name a user from the rules that serve and from all earlier versions.
    ///
    /// A rule that names a user decides about nobody else, so what remains makes the verdicts of all others again, byte for
    /// byte: a version that was written anew keeps the SHA-256 that verdicts name it by. Rules are taken out rather than
    /// given another name for the user, because a name that is always the same is a name.
    ///
    /// Done again after a failure it goes on where it was.
    public func erase(userID: String, by author: String, now: Int64) throws -> Erased {
        var erased = Erased()
        // First, so that nobody begins a new version with them.
        do {
            _ = try change(by: author, now: now) { rules in
                erased.rules = rules.filter { Self.names(userID, $0) }
                return rules.filter { !Self.names(userID, $0) }
            }
        } catch RuleError.damaged {
            // Told below, if the user is in it.
            erased.rules = []
        }
        let newest = try newest()
        for version in stride(from: newest, to: 0, by: -1) {
            switch try erase(userID, from: version) {
            case .nothing: break
            case .rewritten: erased.versions.append(version)
            case .unreadable: erased.unreadable.append(version)
            }
        }
        return erased
    }

    private enum Outcome { case nothing, rewritten, unreadable }

    private func erase(_ userID: String, from version: Int) throws -> Outcome {
        while let object = try objects.get(key(version), maximumSize: RuleLimits.sizeBytes) {
            let set: RuleSet
            let origin: RuleSet.Origin
            do {
                set = try RuleSet(decoding: object.bytes, version: version, keys: keys)
                origin = try RuleSet.Origin(object.bytes)
            } catch {
                return Self.contains(userID, object.bytes) ? .unreadable : .nothing
            }
            let rest = set.rules.filter { !Self.names(userID, $0) }
            guard rest.count < set.rules.count, let sha256 = set.sha256 else { return .nothing }
            let body = RuleSet.encode(
                version: version, rules: rest, previous: origin.previous, by: origin.by,
                at: origin.milliseconds, original: sha256)
            let bytes = RuleSet.signed(body, with: keys)
            if try objects.putIfUnchanged(key(version), bytes, .unchanged(object.tag)) { return .rewritten }
        }
        return .nothing
    }

    private static func names(_ userID: String, _ rule: Rule) -> Bool {
        rule.conditions.userID.map { $0.utf8.elementsEqual(userID.utf8) } ?? false
    }

    /// As our own writer writes it.
    private static func contains(_ userID: String, _ bytes: [UInt8]) -> Bool {
        var json = JSONWriter()
        json.append(text: userID)
        return Data(bytes).range(of: Data(json.bytes)) != nil
    }
}

extension RuleSet {
    /// Who made a version, when, and from which.
    struct Origin {
        let previous: String?
        let by: String
        let milliseconds: Int64

        /// - Parameter bytes: Of a version that has been read before.
        init(_ bytes: [UInt8]) throws(RuleError) {
            struct File: Decodable {
                let previous: String?
                let by: String
                let time: String
            }
            let file = try RuleParser.decode(File.self, Array(bytes.prefix { $0 != UInt8(ascii: "\n") }))
            previous = file.previous
            by = file.by
            milliseconds = TimeText.milliseconds(file.time) ?? 0
        }
    }
}
