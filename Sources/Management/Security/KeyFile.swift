import Crypto
import Foundation
import Lake
import Transactions

/// A file of keys that cannot be used.
public struct KeyFileError: Error, CustomStringConvertible {
    public let description: String
}

/// Keys in a file, by their hashes: who reads it cannot use them.
///
///     {"keys": [{"name": "risk desk", "sha256": "9f86...", "scopes": ["read", "promote"],
///                "tenant_prefix": "eu-", "expires": "2027-01-01"}]}
///
/// `tenant_prefix` and `expires` (the first day on which it is no longer good, UTC) may be left out. `ml-service keys make`
/// writes an entry.
public enum KeyFile {
    struct File: Codable {
        var keys: [Key]
    }

    public struct Key: Codable, Sendable {
        public var name: String
        public var sha256: String
        public var scopes: [Scope]
        public var tenantPrefix: String?
        public var expires: String?

        private enum CodingKeys: String, CodingKey {
            case name, sha256, scopes, expires
            case tenantPrefix = "tenant_prefix"
        }
    }

    /// A new key of 256 random bits, and the entry that allows it.
    public static func make(
        name: String, scopes: [Scope], tenantPrefix: String?, expires: String?
    ) -> (key: String, entry: Key) {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let key = "mls_" + Data(bytes).base64EncodedString().filter { $0.isLetter || $0.isNumber }
        let digest = KeyRing.digest(key).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        return (
            key,
            Key(
                name: name, sha256: digest.joined(), scopes: scopes, tenantPrefix: tenantPrefix,
                expires: expires)
        )
    }

    static func stamp(_ path: String) -> Date? {
        (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
    }

    static func read(_ path: String) throws -> (entries: [KeyRing.Entry], stamp: Date?) {
        func refused(_ reason: String) -> KeyFileError {
            KeyFileError(description: "the keys in \(path) cannot be used: \(reason)")
        }
        let stamp = stamp(path)
        guard let data = FileManager.default.contents(atPath: path) else {
            throw refused("there is no such file, or it may not be read")
        }
        guard let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
            let keys = root["keys"] as? [[String: Any]], root.count == 1
        else { throw refused("it is no JSON object with nothing but a list `keys`") }
        if let name = RepeatedNames.first(in: data)?.name {
            throw refused("'\(name)' stands twice in one object")
        }
        var names: Set<String> = []
        var entries: [KeyRing.Entry] = []
        for (index, key) in keys.enumerated() {
            do {
                let entry = try entry(key)
                guard names.insert(entry.identity.name).inserted else {
                    throw KeyFileError(description: "another one is called so")
                }
                entries.append(entry)
            } catch let error as KeyFileError {
                let name = (key["name"] as? String).map { "'\($0)'" } ?? "number \(index + 1)"
                throw refused("key \(name): \(error)")
            }
        }
        return (entries, stamp)
    }

    /// A misspelt `expires` or `tenant_prefix` would make a key that lasts for ever, or is for everybody.
    private static func entry(_ key: [String: Any]) throws -> KeyRing.Entry {
        let known = ["name", "sha256", "scopes", "tenant_prefix", "expires"]
        if let stranger = key.keys.filter({ !known.contains($0) }).min() {
            throw KeyFileError(
                description: "there is no '\(stranger)'; there are \(known.joined(separator: ", "))")
        }
        func text(_ member: String) throws -> String? {
            guard let value = key[member] else { return nil }
            guard let text = value as? String else {
                throw KeyFileError(description: "\(member) is not a text")
            }
            return text
        }
        guard let name = try text("name"), let digest = try text("sha256").flatMap(digest) else {
            throw KeyFileError(description: "it has a name, and a sha256 of 64 hexadecimal digits")
        }
        guard let words = key["scopes"] as? [String] else {
            throw KeyFileError(description: "its scopes are a list of words")
        }
        let (prefix, expires) = (try text("tenant_prefix"), try text("expires"))
        try check(name: name, tenantPrefix: prefix, expires: expires)
        return KeyRing.Entry(
            digest: digest,
            identity: Identity(name: name, scopes: Set(try words.map(scope)), tenantPrefix: prefix),
            expires: expires.flatMap(moment))
    }

    /// - Throws: `KeyFileError` for a word that is no scope.
    public static func scope(_ word: String) throws -> Scope {
        guard let scope = Scope(rawValue: word) else {
            let known = Scope.allCases.map(\.rawValue).joined(separator: ", ")
            throw KeyFileError(description: "there is no scope '\(word)'; there are: \(known)")
        }
        return scope
    }

    /// Whether a key may be called so, and what its limits say means something.
    ///
    /// - Throws: `KeyFileError`.
    public static func check(name: String, tenantPrefix: String?, expires: String?) throws {
        guard (1...256).contains(name.utf8.count) else {
            throw KeyFileError(description: "its name has 1 to 256 bytes: histories name the key by it")
        }
        guard tenantPrefix != "" else {
            throw KeyFileError(description: "its tenant prefix is empty: leave it out for everybody")
        }
        if let expires, moment(expires) == nil {
            throw KeyFileError(description: "'\(expires)' is no day; write 2027-01-01")
        }
    }

    private static func moment(_ day: String) -> Date? {
        LakeDay(parsing: day).map { Date(timeIntervalSince1970: Double($0.startMilliseconds) / 1_000) }
    }

    private static func digest(_ text: String) -> [UInt8]? {
        guard text.utf8.count == 64 else { return nil }
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == 64 else { return nil }
        return stride(from: 0, to: 64, by: 2).map {
            UInt8(truncatingIfNeeded: digits[$0] << 4 | digits[$0 + 1])
        }
    }
}
