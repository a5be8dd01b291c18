/// Features as unsigned integers in the order of their values: what trees compare.
///
/// A key is the bits of `value - centre`, turned so that a greater value has a greater key. Subtracting the
/// column's centre spends the precision of short thresholds where the rows are: without it a column of
/// dates, say, would be cut in steps of days.
enum FeatureKey {
    /// Missing, for a node that sends missing values left. Below every value.
    static let missingLow: UInt32 = 0
    /// Missing, for a node that sends missing values right. Above every value.
    static let missingHigh = UInt32.max

    /// The key of a value that is not NaN; infinities count as the greatest finite numbers.
    @inline(__always)
    static func key(of value: Float, centre: Float) -> UInt32 {
        let greatest = Float.greatestFiniteMagnitude
        var shifted = clamp(value, greatest) - centre
        shifted = clamp(shifted, greatest) + 0  // -0 becomes +0
        return key(ofCentred: shifted)
    }

    /// The key of a finite value that is not -0.
    @inline(__always)
    static func key(ofCentred value: Float) -> UInt32 {
        let bits = Int32(bitPattern: value.bitPattern)
        return UInt32(bitPattern: bits ^ ((bits >> 31) & Int32.max)) ^ 0x8000_0000
    }

    /// The centred value of a key.
    @inline(__always)
    static func value(of key: UInt32) -> Float {
        let bits = Int32(bitPattern: key ^ 0x8000_0000)
        return Float(bitPattern: UInt32(bitPattern: bits ^ ((bits >> 31) & Int32.max)))
    }

    @inline(__always)
    private static func clamp(_ value: Float, _ limit: Float) -> Float {
        let low = value < -limit ? -limit : value
        return low > limit ? limit : low
    }

    /// As signed integers, which processors compare more readily.
    @inline(__always)
    static func signedKey(ofCentred value: Float) -> Int32 {
        Int32(bitPattern: key(ofCentred: value) ^ 0x8000_0000)
    }

    @inline(__always)
    static func value(ofSigned key: Int32) -> Float { value(of: UInt32(bitPattern: key) ^ 0x8000_0000) }
}
