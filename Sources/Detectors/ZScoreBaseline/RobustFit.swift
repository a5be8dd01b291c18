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
        var features: [FeatureMoments] = []
        var values: [Double] = []
        values.reserveCapacity(chosen?.count ?? rows.count)
        for column in 0..<rows.columns {
            if context.isCancelled() { throw DetectorError.cancelled }
            context.progress(Double(column) / Double(rows.columns))
            values.removeAll(keepingCapacity: true)
            for place in 0..<(chosen?.count ?? rows.count) {
                let row = chosen?[place] ?? place
                let value = rows.values[row * rows.columns + column]
                if !value.isNaN { values.append(FeatureValue.finite(value)) }
            }
            features.append(robust(&values))
        }
        return features
    }

    private func robust(_ values: inout [Double]) -> FeatureMoments {
        guard !values.isEmpty else { return FeatureMoments() }
        let count = Double(values.count)
        let centre = Self.median(&values)
        let deviation: Double
        if values.count(where: { $0 == centre }) > values.count / 2 {
            // Over half of the values are equal: a flag, say. The mean distance still tells; summed in the order of the
            // values, it does not depend on the order of the rows. What lies at the centre adds nothing.
            values.removeAll { $0 == centre }
            values.sort()
            let distance = values.reduce(0) { $0 + abs($1 - centre) }
            deviation = distance / count * Self.deviationPerMeanDistance
        } else {
            for place in values.indices { values[place] = abs(values[place] - centre) }
            deviation = Self.median(&values) * Self.deviationPerMAD
        }
        return FeatureMoments(count: count, mean: centre, spread: deviation)
    }

    /// Moves the values about.
    private static func median(_ values: inout [Double]) -> Double {
        values.withUnsafeMutableBufferPointer { values in
            let middle = values.count / 2
            let upper = values.moveIntoPlace(middle)
            if values.count % 2 == 1 { return upper }
            // What stands before the upper one is not above it.
            var lower = values[0]
            for place in 1..<Swift.max(middle, 1) { lower = Swift.max(lower, values[place]) }
            return 0.5 * lower + 0.5 * upper
        }
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
