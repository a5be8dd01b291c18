import Crypto

/// Whose model: everybody's, or one user's.
public enum Tenant: Sendable, Hashable, CustomStringConvertible {
    case global
    case user(String)

    /// `global`, or the user's id.
    public var description: String {
        switch self {
        case .global: "global"
        case .user(let id): id
        }
    }

    public var userID: String? {
        if case .user(let id) = self { id } else { nil }
    }

    /// Where the tenant's artifacts lie in the object store, without a trailing slash.
    var objectPrefix: String {
        switch self {
        case .global: "models/global"
        case .user(let id): "models/users/\(Self.shard(id))/\(percentEncoded(id))"
        }
    }

    /// The manifest that says which version is active.
    var manifestKey: String {
        switch self {
        case .global: "models/catalogue/global.json"
        case .user(let id): "models/catalogue/\(Self.shard(id)).json"
        }
    }

    /// `00` to `ff`: the first byte of the id's SHA-256.
    static func shard(_ userID: String) -> String {
        hexadecimal(SHA256.hash(data: Array(userID.utf8)).prefix(1))
    }
}

/// Everything but RFC 3986's unreserved characters as %XX.
func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"):
            encoded.unicodeScalars.append(Unicode.Scalar(byte))
        default:
            encoded += "%" + hexadecimal([byte]).uppercased()
        }
    }
    return encoded
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
