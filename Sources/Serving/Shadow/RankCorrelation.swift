/// Spearman's rank correlation, in Pearson's form over mean ranks (Kendall & Gibbons, Rank Correlation Methods, 1990,
/// chapter 3), so that ties count for nothing.
enum RankCorrelation {
    /// - Returns: -1 to 1; nil with fewer than two pairs, or where one side is all the same.
    static func spearman(_ one: [Double], _ other: [Double]) -> Double? {
        precondition(one.count == other.count)
        guard one.count > 1 else { return nil }
        let (a, b) = (ranks(one), ranks(other))
        let mean = Double(one.count + 1) / 2
        var (both, first, second) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            both += (x - mean) * (y - mean)
            first += (x - mean) * (x - mean)
            second += (y - mean) * (y - mean)
        }
        guard first > 0, second > 0 else { return nil }
        return both / (first * second).squareRoot()
    }

    /// From 1; equal values share the mean of their ranks.
    private static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            let rank = Double(start + end + 1) / 2
            for place in start..<end { ranks[order[place]] = rank }
            start = end
        }
        return ranks
    }
}
