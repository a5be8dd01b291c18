/// How the training scores of a model are spread: what its severities are read off. A part of the artifact's header.
///
/// Knots at a few ranks, denser in the tail; beyond the last one a tail that was fitted to the lowest scores.
public struct SeverityTable: Codable, Sendable, Hashable {
    /// Training scores that the ranks are of.
    public let rows: Int
    /// Scores that occurred, strictly falling: from the most usual one towards the anomalous.
    public let scores: [Double]
    /// For each score twice how many rows scored lower, and once how many scored the same. Strictly falling.
    public let ranks: [Int]
    /// Beyond the last knot the share of rows falls as (1 + shape * d / scale)^(-1 / shape) at a distance d from its score,
    /// as e^(-d / scale) where the shape is 0: a generalized Pareto distribution.
    public let scale: Double
    /// 0 to 1.
    public let shape: Double

    /// - Returns: nil when it says nothing: knots out of order, a number out of range.
    public init?(rows: Int, scores: [Double], ranks: [Int], scale: Double, shape: Double) {
        guard (1...Self.maximumRows).contains(rows), scores.count == ranks.count,
            (1...Self.maximumKnots).contains(scores.count),
            scores.allSatisfy({ abs($0) <= Self.greatestScore }),
            scale.isFinite, scale >= .leastNormalMagnitude,
            shape == 0 || (Self.leastShape...1).contains(shape),
            let greatest = ranks.first, greatest <= 2 * rows, let least = ranks.last, least > 0
        else { return nil }
        for knot in scores.indices.dropFirst() {
            guard scores[knot] < scores[knot - 1], ranks[knot] < ranks[knot - 1] else { return nil }
        }
        self.rows = rows
        self.scores = scores
        self.ranks = ranks
        self.scale = scale
        self.shape = shape
    }

    static let maximumKnots = 64
    /// Differences of scores are finite.
    static let greatestScore = 1e300
    static let maximumRows = 1 << 40
    /// Between it and 0 a shape would lose its digits.
    static let leastShape = 0x1p-10
}

extension SeverityTable {
    /// Shares of the rows at which there are knots, and one at the greatest score.
    private static let shares: [Double] = [
        0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6,
        1e-6,
    ]
    /// A knot has at least so many rows below it: fewer are left to the tail.
    private static let leastRowsBelow = 5.0
    /// The tail is fitted to a tenth of the rows, but to at least and at most so many.
    private static let tailRows = 20...500
    /// Fewer do not tell a heavy tail from chance: it is taken for an exponential one.
    private static let rowsOfShape = 100
    /// A heavier tail would have no variance, and a few hundred rows do not show one.
    private static let greatestShape = 0.5

    /// - Parameter trainingScores: In any order; those that are not finite, or beyond 1e300, are left out.
    /// - Returns: nil when there are none.
    public init?(trainingScores: [Double]) {
        let sorted = trainingScores.filter { abs($0) <= Self.greatestScore }.sorted()
        guard let greatest = sorted.last else { return nil }
        let rows = sorted.count
        var scores = [greatest]
        var ranks = [Self.rank(of: greatest, in: sorted)]
        for share in Self.shares {
            guard share * Double(rows) >= Self.leastRowsBelow, let last = scores.last else { break }
            let score = sorted[Int(share * Double(rows))]
            guard score < last else { continue }
            scores.append(score)
            ranks.append(Self.rank(of: score, in: sorted))
        }
        let tail = Self.tail(of: sorted, beyond: scores[scores.count - 1])
        self.init(rows: rows, scores: scores, ranks: ranks, scale: tail.scale, shape: tail.shape)
    }

    private static func rank(of score: Double, in sorted: [Double]) -> Int {
        sorted.firstPlace { $0 >= score } + sorted.firstPlace { $0 > score }
    }

    /// Fits a generalized Pareto distribution to the distances of the lowest scores from the one above them, by
    /// probability-weighted moments (J. R. M. Hosking, J. R. Wallis, Technometrics 29(3), 1987, section 4).
    ///
    /// Shapes below 0 end somewhere, and what is beyond would all be the same; they become 0, which is a little less
    /// severe. From another score than the one that it was fitted at, such a tail has the same shape and another scale.
    private static func tail(of sorted: [Double], beyond score: Double) -> (scale: Double, shape: Double) {
        // What keeps scores apart where the training scores say nothing of a scale.
        let least = max(abs(score) * 0x1p-10, 0x1p-40)
        let count = min(
            min(max(sorted.count / 10, tailRows.lowerBound), tailRows.upperBound), sorted.count - 1)
        guard count > 1 else { return (least, 0) }
        let start = sorted[count]
        var sum = 0.0
        var weighted = 0.0
        for place in 0..<count {
            let distance = start - sorted[place]
            sum += distance
            weighted += distance * (Double(place) / Double(count - 1))
        }
        let mean = sum / Double(count)
        let spread = mean - 2 * weighted / Double(count)
        guard mean.isFinite, spread > 0 else { return (least, 0) }
        let fitted = min(2 - mean / spread, greatestShape)
        let shape = count < rowsOfShape || fitted < leastShape ? 0 : fitted
        return (max(mean * (1 - shape) + shape * max(start - score, 0), least), shape)
    }
}

extension [Double] {
    /// The first place, of ascending values, where `isPast`; `count` when nowhere.
    fileprivate func firstPlace(_ isPast: (Double) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isPast(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
