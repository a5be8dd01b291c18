import Exact

/// One side of a column: how surprising values at or above its middle are. For the low side values are negated.
///
/// Knots at a few ranks, each a value and its e = -ln p, p the share of training rows above it and half of those at it.
/// Between knots e is linear. Where the outermost 1 % reaches further than the outermost 10 %, the last knot is where that
/// 1 % begins, and e goes on beyond as between the two: in a straight line, or in one of ln(distance from the middle),
/// whichever surprises less. Where it does not, for flags and rare counts, knots go to the outermost value.
struct TailSide: Hashable, Sendable {
    /// Strictly increasing, finite; at least one, the middle.
    var values: [Float]
    /// Ascending, not negative.
    var surprises: [Float]
    /// Where the outermost 10 % begins, when the tail goes on beyond the last knot.
    var shoulder: Float?
    /// Of a value beyond the last knot where the tail does not go on.
    var outside: Float

    static let greatest = 60.0
    static let maximumKnots = 24
    /// Shares of all values beyond a knot.
    private static let shares = [0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01]
    private static let shoulderShare = 0.1

    init(values: [Float], surprises: [Float], shoulder: Float?, outside: Float) {
        self.values = values
        self.surprises = surprises
        self.shoulder = shoulder
        self.outside = outside
    }

    /// - Parameter sorted: The column's values, ascending, at least one; none is NaN or infinite.
    init(sorted: [Float]) {
        let count = sorted.count
        let middle = sorted[count / 2]
        func place(_ share: Double) -> Float { sorted[min(Int((1 - share) * Double(count - 1)), count - 1)] }
        let (shoulder, end) = (place(Self.shoulderShare), place(0.01))
        outside = Float(min(DeterministicMath.log(2 * Double(count)), 7))
        var chosen = [middle]
        if end > shoulder {
            self.shoulder = shoulder
            chosen += Self.shares.map(place)
        } else {
            self.shoulder = nil
            // The different values beyond, evenly over their ranks where there are many.
            let first = sorted.firstPlace { $0 > middle }
            var beyond: [Float] = []
            for value in sorted[first...] where value != beyond.last { beyond.append(value) }
            let step = max(1, (beyond.count + Self.maximumKnots - 3) / (Self.maximumKnots - 2))
            chosen += stride(from: 0, to: beyond.count, by: step).map { beyond[$0] }
            if let last = beyond.last { chosen.append(last) }
        }
        (values, surprises) = ([], [])
        for value in chosen where values.last.map({ $0 < value }) ?? true {
            let share = sorted.shareBeyond(value)
            let surprise = Float(-DeterministicMath.log(share))
            values.append(value)
            surprises.append(max(surprise, surprises.last ?? 0))
        }
    }
}

extension [Float] {
    /// The first place, of ascending values, where `isPast`; `count` when nowhere.
    func firstPlace(_ isPast: (Float) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isPast(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Of ascending values: the share above one that occurs, and half of those equal to it.
    func shareBeyond(_ value: Float) -> Double {
        let below = firstPlace { $0 >= value }
        let notAbove = firstPlace { $0 > value }
        return 1 - Double(below + notAbove) / 2 / Double(count)
    }
}
