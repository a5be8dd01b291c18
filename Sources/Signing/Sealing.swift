import Crypto
import Exact
import Foundation

/// Why a sealed object is not believed.
public enum SealError: Error, Sendable, Hashable, CustomStringConvertible {
    /// No key has signed it.
    case unsigned
    /// It, its name or its generation is another than what was signed, or the key is not one of ours.
    case forged
    /// A generation that was seen here is newer.
    case older(generation: Int64, seen: Int64)
    /// It is gone, and was seen here.
    case missing

    public var description: String {
        switch self {
        case .unsigned:
            "no key has signed it: look at what it says, then sign it with ml-service models resign --unsigned"
        case .forged:
            "no key of models.hmackey and models.oldhmackeys has signed it as it is: restore it from a copy"
        case .older(let generation, let seen):
            "it is of generation \(generation), and \(seen) was seen here: somebody has put an older one back. Restore the "
                + "newer; if the store was restored from a copy on purpose, ml-service models resign --restored"
        case .missing:
            "it was seen here and is gone: restore it from a copy"
        }
    }
}

/// The newest generation of each sealed object that this machine has seen. Thread-safe.
public protocol SeenGenerations: Sendable {
    /// nil: none was.
    func newestGeneration(of name: String) -> Int64?
    /// Remembers a generation, if it is the newest.
    func note(_ generation: Int64, of name: String)
}

/// Signs objects of JSON that are written again and again, and tells those that are not the newest.
///
/// The seal is the last member of the object:
///
///     {"entries":{...},"seal":{"generation":1770120000123,"hmac":"9f..."}}
///
/// The HMAC-SHA256 is of the object's name in the store and of every byte before `,"hmac"`: neither the content nor the
/// generation can be changed without a key, nor the object be put in another's place. Generations go up with each write. They
/// are milliseconds since 1970 where the clock allows, so that what is sealed anew is newer than anything that was seen anywhere.
/// Readers that know of no seals pass over the member.
public struct Sealing: Sendable {
    private static let start = Array(#","seal":{"generation":"#.utf8)
    private static let signature = Array(#","hmac":""#.utf8)
    private static let end = Array("\"}}\n".utf8)

    private let keys: SigningKeys
    private let seen: (any SeenGenerations)?

    /// Seals nothing and believes everything.
    public static let none = Sealing(keys: .none, seen: nil)

    /// - Parameter seen: nil: older generations are believed too.
    public init(keys: SigningKeys, seen: (any SeenGenerations)?) {
        self.keys = keys
        self.seen = seen
    }

    /// Whether what is written is sealed, and what is not is refused.
    public var isOn: Bool { !keys.isEmpty }

    /// What a seal says.
    public struct Seal: Sendable, Hashable {
        public let generation: Int64
        /// The name of the key.
        public let signer: Data
        /// The key is the newest.
        public let isCurrent: Bool
    }

    // MARK: Writing

    /// - Parameters:
    ///   - json: An object with a member or more, with a line end behind it or not.
    ///   - generation: See `generation(after:)`; 0 for what is written once.
    /// - Returns: The object as it was, where there are no keys.
    public func sealed(_ json: [UInt8], name: String, generation: Int64) -> [UInt8] {
        guard let brace = json.lastIndex(of: UInt8(ascii: "}")) else { return json }
        let content = Array(json[..<brace]) + Self.start + Array("\(generation)".utf8)
        guard let tag = keys.sign(Self.signed(content, name)) else { return json }
        return content + Self.signature + Array(Hex.text(tag).utf8) + Self.end
    }

    /// - Parameter generation: Of the object that is replaced; nil: there is none, or it has none.
    public static func generation(
        after generation: Int64?, now: Int64 = Int64(Date().timeIntervalSince1970 * 1_000)
    ) -> Int64 {
        max(now, (generation ?? 0) &+ 1)
    }

    /// An object without its seal; as it is where it has none.
    public static func content(of bytes: [UInt8]) -> [UInt8] {
        guard let parts = parts(of: bytes) else { return bytes }
        let sealSize = start.count + "\(parts.generation)".utf8.count
        return parts.content.dropLast(sealSize) + Array("}\n".utf8)
    }

    // MARK: Reading

    /// What an object's seal says, whatever was seen before. Without keys nothing is checked.
    ///
    /// - Returns: nil: there are no keys, and no seal.
    public func seal(of bytes: [UInt8], name: String) throws(SealError) -> Seal? {
        guard let parts = Self.parts(of: bytes) else {
            guard isOn else { return nil }
            throw .unsigned
        }
        guard isOn else { return Seal(generation: parts.generation, signer: Data(), isCurrent: true) }
        guard let signer = keys.signer(of: parts.tag, authenticating: Self.signed(parts.content, name)) else {
            throw .forged
        }
        return Seal(
            generation: parts.generation, signer: signer, isCurrent: signer == keys.newestSigner)
    }

    /// The same of an object that changes: an older one than was seen here is refused.
    public func check(_ bytes: [UInt8], name: String) throws(SealError) -> Seal? {
        let found = try seal(of: bytes, name: name)
        guard isOn, let found, let seen else { return found }
        if let newest = seen.newestGeneration(of: name), found.generation < newest {
            throw .older(generation: found.generation, seen: newest)
        }
        seen.note(found.generation, of: name)
        return found
    }

    /// Of an object that is not there.
    public func checkAbsence(name: String) throws(SealError) {
        if isOn, seen?.newestGeneration(of: name) != nil { throw .missing }
    }

    /// Remembers what was written here.
    public func note(_ generation: Int64, of name: String) {
        if isOn { seen?.note(generation, of: name) }
    }

    private static func signed(_ content: ArraySlice<UInt8>, _ name: String) -> [UInt8] {
        Array("ml-seal-1 \(name)\n".utf8) + content
    }

    private static func signed(_ content: [UInt8], _ name: String) -> [UInt8] { signed(content[...], name) }

    /// The pieces of a sealed object. In a text the quotes of a seal would stand behind backslashes, so that none can hold one.
    private static func parts(
        of bytes: [UInt8]
    ) -> (content: ArraySlice<UInt8>, generation: Int64, tag: [UInt8])? {
        let tagSize = SHA256.byteCount * 2
        let tagStart = bytes.count - end.count - tagSize
        let contentEnd = tagStart - signature.count
        guard contentEnd > 0, bytes.suffix(end.count).elementsEqual(end),
            bytes[contentEnd..<tagStart].elementsEqual(signature),
            let tag = Hex.bytes(String(decoding: bytes[tagStart..<tagStart + tagSize], as: UTF8.self))
        else { return nil }
        let digits = bytes[..<contentEnd].suffix(while: {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        })
        guard let generation = Int64(String(decoding: digits, as: UTF8.self)),
            bytes[..<digits.startIndex].suffix(start.count).elementsEqual(start)
        else { return nil }
        return (bytes[..<contentEnd], generation, tag)
    }
}

extension Collection where Self: BidirectionalCollection {
    /// The longest end of which every element is so.
    fileprivate func suffix(while isIn: (Element) -> Bool) -> SubSequence {
        guard let last = lastIndex(where: { !isIn($0) }) else { return self[...] }
        return self[index(after: last)...]
    }
}
