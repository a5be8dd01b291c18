import Foundation

/// How well injected frauds are found, kind by kind, as one number: what compares detectors where nobody knows the frauds.
///
/// Of each kind the average precision as if one row in ten were such a fraud: the one or two real frauds in a hundred that
/// nobody has labelled then hardly count as false alerts, for which the better detector would pay more. Of those the
/// geometric mean, so that a detector that is blind for one kind does not win by another.
enum InjectedPrecision {
    private static let fraudShare = 0.1
    private static let least = 1e-4

    /// The geometric mean over the kinds; nil without rows of both sorts.
    ///
    /// - Parameters:
    ///   - usual: Scores of rows that are not known to be frauds, ascending.
    ///   - injected: Scores of injected ones, and the kind of each.
    static func value(usual: [Double], injected: [Double], kinds: [Int8]) -> Double? {
        value(ofKinds(usual: usual, injected: injected, kinds: kinds))
    }

    /// The geometric mean over the kinds; nil without any.
    static func value(_ ofKinds: [(kind: Int8, precision: Double)]) -> Double? {
        guard !ofKinds.isEmpty else { return nil }
        return exp(ofKinds.reduce(0) { $0 + log(max($1.precision, least)) } / Double(ofKinds.count))
    }

    /// Kind by kind, ascending; empty without rows of both sorts.
    static func ofKinds(
        usual: [Double], injected: [Double], kinds: [Int8]
    ) -> [(kind: Int8, precision: Double)] {
        guard !usual.isEmpty else { return [] }
        var found: [Int8: [Double]] = [:]
        for (score, kind) in zip(injected, kinds) { found[kind, default: []].append(score) }
        return found.sorted { $0.key < $1.key }.map { kind, scores in
            let weight = fraudShare / (1 - fraudShare) * Double(usual.count) / Double(scores.count)
            let precision = ScoreMetrics.averagePrecision(
                normal: usual, anomalies: scores.sorted(), weight: weight)
            return (kind, precision ?? 0)
        }
    }
}

/// Of how many alerts of one candidate another one says the same.
enum Agreement {
    /// - Parameters:
    ///   - scores: Of the same rows, one list for each candidate.
    ///   - count: How many alerts each may raise.
    /// - Returns: For each candidate the mean share of its alerts that another one raises too; 0 for a single one.
    static func shares(_ scores: [[Double]], count: Int) -> [Double] {
        let alerts = scores.map { scores in
            Set(scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }.prefix(count))
        }
        return alerts.indices.map { place in
            let others = alerts.indices.filter { $0 != place }
            guard !others.isEmpty, !alerts[place].isEmpty else { return 0 }
            let shared = others.reduce(0) { $0 + alerts[place].intersection(alerts[$1]).count }
            return Double(shared) / Double(alerts[place].count * others.count)
        }
    }
}
