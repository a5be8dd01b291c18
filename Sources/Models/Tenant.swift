import Exact

/// Whose model: everybody's, or one user's.
///
/// Users are told apart by the bytes of their ids. `String` compares texts as people read them, so that two spellings of
/// `é` are equal to it; here they are two users, as they are in the stream and in the object store.
public enum Tenant: Sendable, CustomStringConvertible {
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

    /// `global`, or `user:` and the user's id: what tells the global model from the model of a user who is called `global`.
    public var name: String {
        switch self {
        case .global: "global"
        case .user(let id): Self.userPrefix + id
        }
    }

    private static let userPrefix = "user:"

    /// - Parameter name: As `name` gives it; nil for any other text.
    public init?(name: String) {
        if name == "global" {
            self = .global
            return
        }
        // By bytes: an id may begin with an accent, which `String` takes for a part of the colon.
        let id = name.utf8.dropFirst(Self.userPrefix.utf8.count)
        guard name.utf8.starts(with: Self.userPrefix.utf8), !id.isEmpty else { return nil }
        self = .user(String(decoding: id, as: UTF8.self))
    }

    /// Where the tenant's artifacts lie in the object store, without a trailing slash.
    var objectPrefix: String { "models/\(path)" }

    /// Where the older part of the tenant's history lies, without a trailing slash.
    var historyPrefix: String { "models/history/\(path)" }

    /// The manifest that says which version is active.
    var manifestKey: String {
        switch self {
        case .global: Self.globalManifestKey
        case .user(let id): "\(Self.manifestPrefix)\(Self.shard(id)).json"
        }
    }

    /// The tenant's name in its manifest.
    var manifestName: String {
        switch self {
        case .global: "global"
        case .user(let id): percentEncoded(id)
        }
    }

    /// Where all history lies.
    static let historyRoot = "models/history/"
    static let manifestPrefix = "models/catalogue/"
    static let globalManifestKey = "models/catalogue/global.json"

    /// Where the artifacts of a shard's users lie.
    static func objectPrefix(ofShard shard: String) -> String { "models/users/\(shard)/" }

    /// The shards of users, as `shard` names them.
    public static let shards = (UInt8.min...UInt8.max).map { Hex.text([$0]) }

    /// `00` to `ff`: the first byte of the id's SHA-256.
    public static func shard(_ userID: String) -> String {
        String(ArtifactHash(of: userID).description.prefix(2))
    }

    /// The same as a number, by the id in UTF-8.
    public static func shardNumber(_ userID: UnsafeBufferPointer<UInt8>) -> UInt8 {
        ArtifactHash(of: UnsafeRawBufferPointer(userID)).bytes[0]
    }

    private var path: String {
        switch self {
        case .global: "global"
        case .user(let id): "users/\(Self.shard(id))/\(percentEncoded(id))"
        }
    }
}

extension Tenant: Hashable {
    public static func == (one: Tenant, other: Tenant) -> Bool {
        switch (one, other) {
        case (.global, .global): true
        case (.user(let one), .user(let other)): one.utf8.elementsEqual(other.utf8)
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        guard case .user(var id) = self else { return hasher.combine(0) }
        id.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(1)
    }
}

extension Tenant: Comparable {
    /// The global one, then users by the bytes of their ids.
    public static func < (one: Tenant, other: Tenant) -> Bool {
        switch (one, other) {
        case (.global, .user): true
        case (.user(let one), .user(let other)): one.utf8.lexicographicallyPrecedes(other.utf8)
        case (_, .global): false
        }
    }
}

/// Every byte of the text but letters, digits, `-`, `_` and `~` as %XX.
///
/// Of RFC 3986's unreserved characters `.` is left out, so that nobody is called `..` in a path.
func percentEncoded(_ text: String) -> String { PercentCoding.encode(text.utf8) }

/// The text that `percentEncoded` gave this for, or nil when it gives this for none.
func percentDecoded(_ encoded: String) -> String? {
    guard let bytes = PercentCoding.decode(encoded), let text = String(validating: bytes, as: UTF8.self),
        percentEncoded(text) == encoded
    else { return nil }
    return text
}
