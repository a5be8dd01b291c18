import Crypto

/// A Lua script. Redis keeps it under its SHA-1, so that calls carry 40 characters, not the source.
public struct RedisScript: Sendable, Hashable {
    public let source: String
    /// 40 hexadecimal digits.
    public let sha1: String

    public init(_ source: String) {
        self.source = source
        let digits = Array("0123456789abcdef")
        sha1 = Insecure.SHA1.hash(data: Array(source.utf8)).reduce(into: "") { text, byte in
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
    }
}
