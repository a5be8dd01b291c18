import Crypto
import Exact

/// A SHA-256: of a whole artifact it names the model in verdicts and in the catalogue.
public struct ArtifactHash: Sendable, Hashable, CustomStringConvertible {
    static let size = SHA256.byteCount

    /// Big-endian: the words in order are the digest's bytes in order.
    private var words: (UInt64, UInt64, UInt64, UInt64)

    public init(of bytes: UnsafeRawBufferPointer) {
        self.init(digest: SHA256.hash(data: bytes))
    }

    /// Of a text's UTF-8 bytes.
    init(of text: String) {
        var text = text
        self = text.withUTF8 { ArtifactHash(of: UnsafeRawBufferPointer($0)) }
    }

    private init(digest: SHA256.Digest) {
        self = digest.withUnsafeBytes { ArtifactHash(stored: $0) }
    }

    /// From the 32 bytes that `withBytes` gives.
    ///
    /// - Precondition: There are 32.
    init(stored bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Self.size, "a SHA-256 has 32 bytes")
        func word(_ index: Int) -> UInt64 {
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
        }
        words = (word(0), word(1), word(2), word(3))
    }

    /// From 64 hexadecimal digits; nil when the text is something else.
    public init?(hexadecimal text: String) {
        guard text.utf8.count == 2 * Self.size, let bytes = Hex.bytes(text) else { return nil }
        self = bytes.withUnsafeBytes { ArtifactHash(stored: $0) }
    }

    /// 64 lower-case hexadecimal digits.
    public var description: String {
        String(unsafeUninitializedCapacity: 2 * Self.size) { text in
            var at = 0
            for word in [words.0, words.1, words.2, words.3] {
                for shift in stride(from: 60, through: 0, by: -4) {
                    text[at] = Hex.digit(UInt8(truncatingIfNeeded: word >> UInt64(shift) & 15))
                    at += 1
                }
            }
            return at
        }
    }

    /// The 32 bytes.
    var bytes: [UInt8] {
        [words.0, words.1, words.2, words.3].flatMap { word in
            stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) }
        }
    }

    public static func == (one: ArtifactHash, other: ArtifactHash) -> Bool { one.words == other.words }

    public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
