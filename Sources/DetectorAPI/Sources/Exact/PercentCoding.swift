/// Percent-encoding, RFC 3986: all but some plain characters as `%` and two upper-case hexadecimal digits.
public enum PercentCoding {
    /// Letters, digits, `-`, `_` and `~` stay; so do the bytes for which `keeping` says so. Of RFC 3986's unreserved
    /// characters `.` is left out, so that nothing encoded is a path's `..`; name it to keep it.
    public static func encode(_ bytes: some Sequence<UInt8>, keeping: (UInt8) -> Bool = { _ in false })
        -> String
    {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(bytes.underestimatedCount)
        for byte in bytes {
            if isPlain(byte) || keeping(byte) {
                encoded.append(byte)
            } else {
                encoded.append(UInt8(ascii: "%"))
                encoded.append(Hex.upperCaseDigit(byte >> 4))
                encoded.append(Hex.upperCaseDigit(byte & 15))
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// The bytes that an encoded text stands for; nil where a `%` is not followed by two hexadecimal digits.
    public static func decode(_ encoded: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(encoded.utf8.count)
        var rest = encoded.utf8.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(Hex.value(ofDigit:)),
                let low = rest.next().flatMap(Hex.value(ofDigit:))
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
