import DetectorAPI

/// What trees compare: one number of 32 bits for a column's value, in the order of the values.
///
/// A missing value is below all others for the nodes that send it left and above all for those that send it right; a column
/// that is asked in both ways has two such rows.
struct KeyRow: Hashable {
    enum Kind: UInt32 {
        case missingLeft, missingRight
        /// A missing value counts as 0.
        case missingAsZero
        /// Of a column of categories: the place of the category in the sets.
        case place
    }

    var column: UInt32
    /// `Kind`.
    var kind: UInt32
    /// Of a column of categories: where its places start, and how many codes there are. Else 0.
    var firstPlace: UInt32 = 0
    var cardinality: UInt32 = 0

    /// The place of missing values, and of categories that no set names; no set has it.
    static let noPlace: UInt8 = 255

    static let lowest = Int32.min
    static let highest = Int32.max

    @inline(__always)
    static func clamped(_ value: Float) -> Float {
        let greatest = Float.greatestFiniteMagnitude
        let low = value < -greatest ? -greatest : value
        return low > greatest ? greatest : low
    }

    /// Of a value that is not NaN. -0 counts as 0.
    @inline(__always)
    static func key(_ value: Float) -> Int32 {
        let bits = Int32(bitPattern: (clamped(value) + 0).bitPattern)
        return bits ^ ((bits >> 31) & Int32.max)
    }

    /// The key that values above a threshold are above, and others not: the greatest `Float` that is not above it.
    static func key(ofThreshold threshold: Double) -> Int32 {
        if threshold >= Double(Float.greatestFiniteMagnitude) { return key(.greatestFiniteMagnitude) }
        if threshold < -Double(Float.greatestFiniteMagnitude) { return lowest }
        let nearest = Float(threshold)
        return key(Double(nearest) > threshold ? nearest.nextDown : nearest)
    }

    /// A category; nil for a value that is none.
    @inline(__always)
    static func code(_ value: Float, below cardinality: Int) -> Int? {
        guard value >= 0, value < Float(cardinality), value == value.rounded(.down) else { return nil }
        return Int(value)
    }
}

extension KeyRow.Kind {
    /// The key of a missing value.
    var missing: Int32 {
        switch self {
        case .missingLeft: KeyRow.lowest
        case .missingRight: KeyRow.highest
        case .missingAsZero: KeyRow.key(0)
        case .place: Int32(KeyRow.noPlace)
        }
    }
}
