import DetectorAPI
import Exact

/// Median and median absolute deviation of every column.
struct RobustFit {
    /// More rows than this do not make a median noticeably better: its error is 0.5 % of a deviation.
    static let maximumRows = 65_536
    /// MAD to standard deviation, and mean absolute deviation to standard deviation, for a normal distribution.
    static let deviationPerMAD = 1.482602218505602
    static let deviationPerMeanDistance = 1.2533141373155003

    let rows: FeatureRows
    let context: FitContext

    init(_ rows: FeatureRows, _ context: FitContext) {
        self.rows = rows
        self.context = context
    }

    func features() throws -> [FeatureMoments] {
        let chosen = sample()
        let count = chosen?.count ?? rows.count
        var features: [FeatureMoments] = []
        features.reserveCapacity(rows.columns)
        try withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { values in
            for column in 0..<rows.columns {
                if context.isCancelled() { throw DetectorError.cancelled }
                context.progress(Double(column) / Double(rows.columns))
                var filled = 0
                for place in 0..<count {
                    let row = chosen?[place] ?? place
                    let value = rows.values[row * rows.columns + column]
                    // A missing one is overwritten by the next.
                    values[filled] = FeatureValue.finite(value)
                    filled &+= value.isNaN ? 0 : 1
                }
                features.append(Self.robust(UnsafeMutableBufferPointer(rebasing: values[..<filled])))
            }
        }
        return features
    }

    /// Moves the values about.
    private static func robust(_ values: UnsafeMutableBufferPointer<Double>) -> FeatureMoments {
        guard let first = values.first else { return FeatureMoments() }
        let count = Double(values.count)
        // What over half of the values are is the median: of a flag that is mostly the first one, whose like is not far.
        let isLikely = first == values[values.count / 2] || first == values[values.count - 1]
        let isFirst = isLikely && isOverHalf(first, values)
        let centre = isFirst ? first : median(values)
        let deviation: Double
        if isFirst || isOverHalf(centre, values) {
            // Over half of the values are equal: a flag, say. The mean distance still tells; summed in the order of the
            // values, it does not depend on the order of the rows. What lies at the centre adds nothing.
            var others = 0
            for place in values.indices where values[place] != centre {
                values[others] = values[place]
                others += 1
            }
            var rest = UnsafeMutableBufferPointer(rebasing: values[..<others])
            rest.sort()
            let distance = rest.reduce(0) { $0 + abs($1 - centre) }
            deviation = distance / count * deviationPerMeanDistance
        } else {
            for place in values.indices { values[place] = abs(values[place] - centre) }
            deviation = median(values) * deviationPerMAD
        }
        return FeatureMoments(count: count, mean: centre, spread: deviation)
    }

    private static func isOverHalf(_ value: Double, _ values: UnsafeMutableBufferPointer<Double>) -> Bool {
        // Two at a time, which is what the smallest vector unit does at once.
        var counts = SIMD2<Int64>()
        var place = 0
        while place &+ 1 < values.count {
            let isEqual = SIMD2(values[place], values[place &+ 1]) .== value
            counts &+= SIMD2<Int64>().replacing(with: 1, where: isEqual)
            place &+= 2
        }
        let last = place < values.count && values[place] == value ? 1 : 0
        return Int(counts.wrappedSum()) + last > values.count / 2
    }

    /// Moves the values about.
    private static func median(_ values: UnsafeMutableBufferPointer<Double>) -> Double {
        let middle = values.count / 2
        let upper = values.moveIntoPlace(middle)
        if values.count % 2 == 1 { return upper }
        // What stands before the upper one is not above it.
        var lower = values[0]
        for place in 1..<Swift.max(middle, 1) { lower = Swift.max(lower, values[place]) }
        return 0.5 * lower + 0.5 * upper
    }

    /// Rows drawn without replacement, in ascending order, by selection sampling (Knuth, volume 2, algorithm S);
    /// nil for all of them.
    private func sample() -> [Int]? {
        guard rows.count > Self.maximumRows else { return nil }
        var generator = SeededGenerator(seed: context.seed)
        var chosen: [Int] = []
        chosen.reserveCapacity(Self.maximumRows)
        for row in 0..<rows.count where chosen.count < Self.maximumRows {
            if generator.below(rows.count - row) < Self.maximumRows - chosen.count { chosen.append(row) }
        }
        return chosen
    }
}
