import Foundation

/// Measures of scores where **lower is more anomalous**, as every detector's are.
public enum ScoreMetrics {
    /// Area under the ROC curve: the chance that an anomaly scores below a normal row, ties counting half.
    ///
    /// - Returns: nil without both kinds of rows.
    public static func auroc(_ scores: [Double], anomalous: [Bool]) -> Double? {
        let (normal, anomalies) = split(scores, anomalous)
        return auroc(normal: normal, anomalies: anomalies)
    }

    /// The same of scores that are sorted, ascending.
    static func auroc(normal: [Double], anomalies: [Double]) -> Double? {
        guard !normal.isEmpty, !anomalies.isEmpty else { return nil }
        var above = 0.0
        eachTie(normal, anomalies) { _, before, tied in
            above += Double(tied.normal) * (Double(before.anomalies) + Double(tied.anomalies) / 2)
        }
        return above / (Double(anomalies.count) * Double(normal.count))
    }

    /// Average precision: the sum over thresholds of precision times the gain in recall; tied rows come together.
    ///
    /// - Returns: nil without an anomaly.
    public static func averagePrecision(_ scores: [Double], anomalous: [Bool]) -> Double? {
        let (normal, anomalies) = split(scores, anomalous)
        return averagePrecision(normal: normal, anomalies: anomalies)
    }

    /// The same of scores that are sorted, ascending.
    ///
    /// - Parameter weight: How many anomalies each one stands for, beside normal rows that stand for themselves.
    static func averagePrecision(normal: [Double], anomalies: [Double], weight: Double = 1) -> Double? {
        guard !anomalies.isEmpty else { return nil }
        var sum = 0.0
        eachTie(normal, anomalies) { _, before, tied in
            let found = before.anomalies + tied.anomalies
            let end = found + before.normal + tied.normal
            let all = weight == 1 ? Double(end) : weight * Double(found) + Double(end - found)
            sum += Double(tied.anomalies) / Double(anomalies.count) * (weight * Double(found)) / all
        }
        return sum
    }

    private static func split(
        _ scores: [Double], _ anomalous: [Bool]
    ) -> (normal: [Double], anomalies: [Double]) {
        var (normal, anomalies): ([Double], [Double]) = ([], [])
        for (score, isAnomaly) in zip(scores, anomalous) {
            if isAnomaly { anomalies.append(score) } else { normal.append(score) }
        }
        normal.sort()
        anomalies.sort()
        return (normal, anomalies)
    }

    private typealias Rows = (normal: Int, anomalies: Int)

    /// Visits each score of two sorted lists, ascending, with how many rows stand before it and how many have it.
    private static func eachTie(
        _ normal: [Double], _ anomalies: [Double],
        _ body: (_ score: Double, _ before: Rows, _ tied: Rows) -> Void
    ) {
        normal.withUnsafeBufferPointer { normal in
            anomalies.withUnsafeBufferPointer { anomalies in
                var at: Rows = (0, 0)
                while at.normal < normal.count || at.anomalies < anomalies.count {
                    let score: Double
                    if at.anomalies == anomalies.count {
                        score = normal[at.normal]
                    } else if at.normal == normal.count {
                        score = anomalies[at.anomalies]
                    } else {
                        score = min(normal[at.normal], anomalies[at.anomalies])
                    }
                    var end = at
                    while end.normal < normal.count, normal[end.normal] == score { end.normal += 1 }
                    while end.anomalies < anomalies.count, anomalies[end.anomalies] == score {
                        end.anomalies += 1
                    }
                    // What equals nothing, itself included, is no score.
                    guard end != at else { return }
                    body(score, at, (end.normal - at.normal, end.anomalies - at.anomalies))
                    at = end
                }
            }
        }
    }

    /// The share of anomalies among the `count` lowest scores. Of tied rows that are not all among them each counts
    /// in part, so that the order of the rows does not matter.
    public static func precision(_ scores: [Double], anomalous: [Bool], count: Int) -> Double? {
        guard count > 0, count <= scores.count else { return nil }
        let last = scores.sorted()[count - 1]
        var (below, foundBelow, tied, foundTied) = (0, 0, 0, 0)
        for (score, isAnomaly) in zip(scores, anomalous) {
            if score < last {
                below += 1
                foundBelow += isAnomaly ? 1 : 0
            } else if score == last {
                tied += 1
                foundTied += isAnomaly ? 1 : 0
            }
        }
        let found = Double(foundBelow) + Double(foundTied) * Double(count - below) / Double(tied)
        return found / Double(count)
    }

    /// The score of which a share `contamination` of the rows lies strictly below, ties apart.
    public static func threshold(_ scores: [Double], contamination: Double) -> Double {
        let sorted = scores.sorted()
        guard let last = sorted.indices.last else { return -.greatestFiniteMagnitude }
        return sorted[min(Int((contamination * Double(sorted.count)).rounded(.down)), last)]
    }

    /// The same where rows count by their weight, which is above 0.
    static func threshold(_ scores: [Double], weights: [Double], contamination: Double) -> Double {
        let order = scores.indices.sorted { scores[$0] < scores[$1] }
        guard let last = order.last else { return -.greatestFiniteMagnitude }
        let budget = contamination * weights.reduce(0, +)
        var weight = 0.0
        for row in order {
            weight += weights[row]
            if weight > budget { return scores[row] }
        }
        return scores[last]
    }

    /// Spearman's rank correlation, ties sharing their mean rank.
    public static func rankCorrelation(_ a: [Double], _ b: [Double]) -> Double? {
        guard a.count == b.count, a.count > 1 else { return nil }
        let ranksA = ranks(a)
        let ranksB = ranks(b)
        let mean = Double(a.count + 1) / 2
        var covariance = 0.0
        var varianceA = 0.0
        var varianceB = 0.0
        for (x, y) in zip(ranksA, ranksB) {
            covariance += (x - mean) * (y - mean)
            varianceA += (x - mean) * (x - mean)
            varianceB += (y - mean) * (y - mean)
        }
        guard varianceA > 0, varianceB > 0 else { return nil }
        return covariance / (varianceA * varianceB).squareRoot()
    }

    /// Population stability index: how far `current` has moved from `reference`, over the tenths of the latter.
    ///
    /// The sum over bins of (q - p) ln(q / p), each share taken with half a row more so that an empty bin is not
    /// infinite. Below 0.1 is usual, above 0.25 a shift.
    public static func stabilityIndex(reference: [Double], current: [Double], bins: Int = 10) -> Double? {
        guard !reference.isEmpty, !current.isEmpty, bins > 1 else { return nil }
        let sorted = reference.sorted()
        var edges: [Double] = []
        for bin in 1..<bins {
            let edge = sorted[bin * sorted.count / bins]
            if edge != edges.last { edges.append(edge) }
        }
        func shares(_ values: [Double]) -> [Double] {
            var counts = [Double](repeating: 0.5, count: edges.count + 1)
            for value in values { counts[edges.count { $0 <= value }] += 1 }
            let total = counts.reduce(0, +)
            return counts.map { $0 / total }
        }
        return zip(shares(reference), shares(current)).reduce(0) { $0 + ($1.1 - $1.0) * log($1.1 / $1.0) }
    }

    private static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            for place in start..<end { ranks[order[place]] = Double(start + end + 1) / 2 }
            start = end
        }
        return ranks
    }
}
