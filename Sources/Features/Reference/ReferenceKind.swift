/// What is known across all users: of these things references are kept. Raw values are in tables' keys for ever.
public enum ReferenceKind: UInt64, CaseIterable, Sendable {
    case merchant = 1
    case device, country, category
    /// Of users only those with labelled frauds are kept, and only these frauds.
    case user

    /// The key of a thing in tables and states: its `TextHash` spread over 64 bits, the kind mixed in. 0, a missing
    /// text, has no key.
    @inline(__always)
    public func key(_ hash: UInt64) -> UInt64 {
        if hash == 0 { return 0 }
        // The finalizer of SplitMix64: every bit of the key depends on every bit of the hash.
        var z = hash &+ rawValue &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ z &>> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z &>> 27) &* 0x94D0_49BB_1331_11EB
        z ^= z &>> 31
        return z == 0 ? 1 : z
    }
}

/// The keys of one transaction; 0: missing. Trivially copyable.
public struct ReferenceKeys: Sendable, Hashable, BitwiseCopyable {
    public var merchant: UInt64
    public var device: UInt64
    public var country: UInt64
    public var category: UInt64
    public var user: UInt64

    /// - Parameters: `TextHash`es; 0: missing.
    public init(merchant: UInt64, device: UInt64, country: UInt64, category: UInt64, user: UInt64) {
        self.merchant = ReferenceKind.merchant.key(merchant)
        self.device = ReferenceKind.device.key(device)
        self.country = ReferenceKind.country.key(country)
        self.category = ReferenceKind.category.key(category)
        self.user = ReferenceKind.user.key(user)
    }

    /// Keys as they were kept.
    public init(keys: (UInt64, UInt64, UInt64, UInt64, UInt64)) {
        (merchant, device, country, category, user) = keys
    }
}
