import Crypto
import Exact

/// A Lua script. Redis keeps it under its SHA-1, so that calls carry 40 characters, not the source.
public struct RedisScript: Sendable, Hashable {
    public let source: String
    /// 40 hexadecimal digits.
    public let sha1: String

    public init(_ source: String) {
        self.source = source
        sha1 = Hex.text(Insecure.SHA1.hash(data: Array(source.utf8)))
    }
}
