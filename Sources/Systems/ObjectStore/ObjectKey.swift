import Exact

/// The rules for keys, the same in every store.
public enum ObjectKey {
    /// S3's limit, of UTF-8 bytes.
    public static let maximumSize = 1024

    /// Whether a key can name an object: segments separated by `/`, none of them empty, `.` or `..`, no NUL, at most
    /// `maximumSize` bytes. Other control characters are no good idea, but others' objects may have them.
    public static func isValid(_ key: String) -> Bool {
        let bytes = key.utf8
        guard !bytes.isEmpty, bytes.count <= maximumSize, !bytes.contains(0) else {
            return false
        }
        return bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy(
            isValidSegment)
    }

    /// Whether a prefix can begin a key: its whole segments must be valid.
    static func isValidPrefix(_ prefix: String) -> Bool {
        prefix.isEmpty || isValid(prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix + "x")
    }

    private static func isValidSegment(_ segment: Substring.UTF8View.SubSequence) -> Bool {
        !segment.isEmpty && !segment.elementsEqual(".".utf8) && !segment.elementsEqual("..".utf8)
    }

    /// All but letters, digits, `-`, `_`, `~` and `.` as `%` and two hexadecimal digits.
    static func percentEncoded(_ bytes: some Sequence<UInt8>, keepingSlashes: Bool) -> String {
        PercentCoding.encode(bytes) {
            $0 == UInt8(ascii: ".") || keepingSlashes && $0 == UInt8(ascii: "/")
        }
    }
}

extension String {
    /// Whether this key comes first in the order of lists, which is that of bytes. `<` compares by Unicode's rules.
    func precedesAsKey(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }

    /// `hasPrefix` compares by Unicode's rules too.
    func beginsAsKey(with prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }
}
