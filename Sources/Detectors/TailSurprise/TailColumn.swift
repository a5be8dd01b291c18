import DetectorAPI

/// What is known of one column.
struct TailColumn: Hashable, Sendable {
    enum Shape: Hashable, Sendable {
        /// No training row had a value: it says nothing.
        case empty
        /// Both sides; the low one takes negated values.
        case number(high: TailSide, low: TailSide)
        /// The surprise of each code; NaN for one that says nothing: never seen, or the pool of all others.
        case codes([Float])
        /// The sine of an angle whose cosine is the next column: they are judged together, as one of a few places.
        case sine([TailPlace])
        /// The cosine: its surprise is the sine's, of which it takes half.
        case cosine
    }

    var shape: Shape
    /// How much the column counts, 1 or more.
    var weight: Double
}

/// One of the different pairs of sine and cosine, and its surprise.
struct TailPlace: Hashable, Sendable {
    var sine: Float
    var cosine: Float
    var surprise: Float
}

extension TailColumn {
    static let maximumPlaces = 64
    /// The mean of e^2 over a usual column, where e = ln 2 + an exponential number: the larger side's surprise.
    static let usualSquare = 3.866_747_4

    /// e^2 of a value over its mean; nil where it says nothing.
    ///
    /// - Parameter next: The next column's value, of which a sine makes use.
    @inline(__always)
    func part(_ value: Float, next: Float, lowLimit: Double) -> Double? {
        if value.isNaN { return nil }
        switch shape {
        case .empty, .cosine: return nil
        case .number(let high, let low):
            let value = finite(value)
            let surprise = max(high.surprise(value), min(low.surprise(-value), lowLimit))
            return surprise * surprise / Self.usualSquare
        case .codes(let surprises):
            // A number that is no code of a category is a missing one.
            guard let code = Int(exactly: value), surprises.indices.contains(code) else { return nil }
            let surprise = Double(surprises[code])
            return surprise.isNaN ? nil : surprise * surprise / Self.usualSquare
        case .sine(let places):
            if next.isNaN { return nil }
            var surprise = Float(Self.unseenPlace)
            for place in places where place.sine == value && place.cosine == next {
                surprise = place.surprise
                break
            }
            return Double(surprise) * Double(surprise) / Self.usualSquare
        }
    }

    /// The surprise of an hour at which nobody has ever paid.
    static let unseenPlace = 7.0

    @inline(__always)
    private func finite(_ value: Float) -> Float {
        let greatest = Float.greatestFiniteMagnitude
        return value > greatest ? greatest : value < -greatest ? -greatest : value
    }
}
