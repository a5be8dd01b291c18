import Crypto
import Foundation

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
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: data)
        } catch {
            throw refused("it is not as the documentation says: \(error)")
        }
        var names: Set<String> = []
        return (
            try file.keys.map { key in
                guard names.insert(key.name).inserted else { throw refused("two are called '\(key.name)'") }
                guard let digest = digest(key.sha256) else {
                    throw refused("the sha256 of '\(key.name)' is not 64 hexadecimal digits")
                }
                let expires = try key.expires.map { text in
                    guard let date = try? Date("\(text)T00:00:00Z", strategy: .iso8601) else {
                        throw refused("'\(text)' of '\(key.name)' is no day; write 2027-01-01")
                    }
                    return date
                }
                let identity = Identity(
                    name: key.name, scopes: Set(key.scopes), tenantPrefix: key.tenantPrefix)
                return KeyRing.Entry(digest: digest, identity: identity, expires: expires)
            }, stamp
        )
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
