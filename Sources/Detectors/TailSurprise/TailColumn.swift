/// What is known of one column.
struct TailColumn: Hashable, Sendable {
    enum Shape: Hashable, Sendable {
        /// No training row had a value: it says nothing.
        case empty
        /// Both sides; the low one takes negated values.
        case number(high: TailSide, low: TailSide)
        /// The same for each code of a categorical column, by which the values differ.
        case grouped(TailGroups)
        /// The surprise of each code; NaN for one that says nothing: never seen, or the pool of all others.
        case codes([Float])
        /// The sine of an angle whose cosine is the next column: they are judged together, as one of a few places.
        case sine([TailPlace])
        /// The cosine: its surprise is the sine's, of which it takes half.
        case cosine
    }

    /// A shape in the payload.
    enum Tag: UInt8 {
        case empty, number, codes, sine, cosine, grouped
    }

    var shape: Shape
    /// How much more its extreme values count than another column's, 1 or more.
    var weight: Double
}

/// Sides of a column's values, for each code of a categorical column.
struct TailGroups: Hashable, Sendable {
    struct Sides: Hashable, Sendable {
        var high: TailSide
        /// Of negated values.
        var low: TailSide
    }

    /// The place of the categorical column.
    var column: Int
    /// Of all rows: for codes that have none of their own, and rows without a code.
    var all: Sides
    /// nil where too few rows have the code.
    var codes: [Sides?]
}

/// One of the different pairs of sine and cosine, and its surprise.
struct TailPlace: Hashable, Sendable {
    var sine: Float
    var cosine: Float
    var surprise: Float
}

extension TailColumn {
    static let maximumPlaces = 64
    /// The surprise of an hour at which nobody has ever paid.
    static let unseenPlace = 7.0
}

/// How a surprise e counts.
enum TailLaw: UInt32, Sendable {
    /// weight * e^2: models of format 1.
    case square = 1
    /// e, and beyond the outermost 1 % (weight - 1) times as much more: how far out a value is tells something only where
    /// there are more extreme values than the bulk of the column explains. Format 2.
    case excess = 2

    /// The mean of e over a usual column, where e = ln 2 + an exponential number: the larger side's surprise.
    static let usual = 1.693_147_2
    /// The mean of e^2.
    static let usualSquare = 3.866_747_4
    /// ln 100: e of the outermost 1 %, up to which values are counted.
    static let outermost = 4.605_170_2

    /// - Returns: 0 for a usual value.
    @inline(__always)
    func part(_ surprise: Double, weight: Double) -> Double {
        switch self {
        case .square: weight * (surprise * surprise / Self.usualSquare - 1)
        case .excess:
            surprise / Self.usual - 1 + (weight - 1) * max(surprise - Self.outermost, 0)
        }
    }
}
