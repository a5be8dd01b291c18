import DetectorAPI

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
        values.sort()
        let centre = median(values)
        var distance = 0.0
        for place in values.indices {
            values[place] = abs(values[place] - centre)
            distance += values[place]
        }
        values.sort()
        var deviation = median(values) * Self.deviationPerMAD
        // Over half of the values are equal: a flag, say. The mean distance still tells.
        if deviation == 0 { deviation = distance / count * Self.deviationPerMeanDistance }
        return FeatureMoments(count: count, mean: centre, spread: deviation)
    }

    private func median(_ sorted: [Double]) -> Double {
        let middle = sorted.count / 2
        if sorted.count % 2 == 1 { return sorted[middle] }
        return 0.5 * sorted[middle - 1] + 0.5 * sorted[middle]
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
