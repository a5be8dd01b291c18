import Exact
import ZScoreBaseline

/// How rare a member's value is among the training rows: -ln of the share that lies as high, interpolated.
///
/// Knots at a few ranks, denser in the tail. A knot is a value x that occurred and e = -ln p, where p is the share of
/// rows above x and half of those at x. Between knots e is linear in x, so that p falls exponentially. Below the first
/// it is linear from (0, 0); beyond the last it goes on with the mean slope of the last three units of e, as for an
/// exponential tail: strictly increasing, so that the worst rows keep their order, and finite.
struct RankTable: Equatable {
    /// A value as far out as this counts as this.
    static let greatestValue = 0x1p40
    static let maximumKnots = 32
    /// e of a knot is below this: -ln of half a row among 2^32 is 23.
    static let greatestKnot: Float = 64
    private static let tail = 3.0
    /// A usual value's. Where the table says nothing of slopes, a value is as surprising as it is large.
    private static let usualSlope = 1.0

    /// Strictly increasing, not negative.
    let values: [Float]
    /// -ln p of each, strictly increasing, positive.
    let surprises: [Float]
    private let tailSlope: Double

    /// Bytes, with what two arrays cost.
    var sizeInMemory: Int {
        MemoryLayout<RankTable>.stride + 2 * (32 + values.count * MemoryLayout<Float>.stride)
    }

    /// - Precondition: As many surprises as values, both as their comments say.
    init(values: [Float], surprises: [Float]) {
        self.values = values
        self.surprises = surprises
        guard values.count > 1, let x = values.last, let e = surprises.last else {
            tailSlope = Self.usualSlope
            return
        }
        var start = surprises.firstIndex { Double($0) >= Double(e) - Self.tail } ?? 0
        start = min(start, values.count - 2)
        tailSlope = (Double(e) - Double(surprises[start])) / (Double(x) - Double(values[start]))
    }

    /// - Parameter sorted: The training rows' values, ascending, not negative; none is NaN. Without any, every value is
    ///   as surprising as it is large.
    init(sorted: UnsafeBufferPointer<Float>) {
        var values: [Float] = []
        var surprises: [Float] = []
        for share in Self.shares {
            let place = min(Int((1 - share) * Double(sorted.count)), sorted.count - 1)
            guard place >= 0, values.last.map({ $0 < sorted[place] }) ?? true else { continue }
            let value = sorted[place]
            let below = sorted.firstPlace { $0 >= value }
            let notAbove = sorted.firstPlace { $0 > value }
            let share = 1 - Double(below + notAbove) / 2 / Double(sorted.count)
            let surprise = Float(-DeterministicMath.log(share))
            guard surprise > surprises.last ?? 0 else { continue }
            values.append(value)
            surprises.append(surprise)
        }
        self.init(values: values, surprises: surprises)
    }

    /// From all values to the greatest one.
    private static let shares: [Double] = [
        1, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.000_5,
        0.000_2, 0.000_1, 0.000_05, 0.000_02, 0,
    ]

    /// -ln p. Positive for positive values.
    ///
    /// - Parameter value: Not negative, not NaN.
    @inline(__always)
    func surprise(_ value: Double) -> Double {
        let value = min(value, Self.greatestValue)
        var low = 0
        var high = values.count
        while low < high {
            let middle = (low + high) / 2
            if Double(values[middle]) <= value { low = middle + 1 } else { high = middle }
        }
        // `low` knots are at or below the value.
        guard low < values.count else {
            guard low > 0 else { return value * Self.usualSlope }
            return Double(surprises[low - 1]) + (value - Double(values[low - 1])) * tailSlope
        }
        let upper = (x: Double(values[low]), e: Double(surprises[low]))
        let lower = low > 0 ? (x: Double(values[low - 1]), e: Double(surprises[low - 1])) : (x: 0, e: 0)
        return lower.e + (upper.e - lower.e) * ((value - lower.x) / (upper.x - lower.x))
    }
}

extension UnsafeBufferPointer<Float> {
    /// The first place, of ascending values, where `isPast`; `count` when nowhere.
    fileprivate func firstPlace(_ isPast: (Float) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isPast(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
