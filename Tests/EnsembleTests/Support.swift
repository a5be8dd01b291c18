import DetectorAPI

@testable import Ensemble

/// Rows to fit and score, made from a seed.
struct Table {
    var values: [Float]
    let columns: Int
    var count: Int { values.count / columns }

    /// Sums of six uniform numbers: round enough, and the same on every machine.
    static func bells(rows: Int, columns: Int, seed: UInt64 = 1) -> Table {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<rows * columns).map { _ in
            Float((0..<6).reduce(0.0) { sum, _ in sum + generator.unit() - 0.5 })
        }
        return Table(values: values, columns: columns)
    }

    /// With every so many-th value missing.
    func missing(every step: Int) -> Table {
        var copy = self
        for place in stride(from: step / 2, to: values.count, by: step) { copy.values[place] = .nan }
        return copy
    }

    func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns)) }
    }

    func fit(
        _ given: [String: ParameterValue] = [:], labels: [Int8]? = nil, seed: UInt64 = 1,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) throws -> any DetectorModel {
        var given = given
        if given["n_estimators"] == nil { given["n_estimators"] = .integer(30) }
        let context = FitContext(
            seed: seed, parameters: try Ensemble().info.checked(given),
            columns: (0..<columns).map { FeatureColumn(name: "column \($0)") }, isCancelled: isCancelled)
        return try withRows { rows in
            guard let labels else { return try Ensemble().fit(rows, labels: nil, context: context) }
            return try labels.withUnsafeBufferPointer {
                try Ensemble().fit(rows, labels: $0, context: context)
            }
        }
    }

    func scores(_ model: any DetectorModel) throws -> [Double] {
        var scores = [Double](repeating: 1, count: count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { try model.score(rows, into: $0) }
        }
        return scores
    }

    func explained(_ model: any DetectorModel) throws -> (scores: [Double], contributions: [[Double]]) {
        guard let model = model as? any Explaining else { return ([], []) }
        var scores = [Double](repeating: 1, count: count)
        var contributions = [Double](repeating: 1, count: values.count)
        try withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try model.explain(rows, into: scores, contributions: $0)
                }
            }
        }
        let rows = (0..<count).map { Array(contributions[$0 * columns..<($0 + 1) * columns]) }
        return (scores, rows)
    }
}

/// FNV-1a, 64 bits.
func fingerprint(_ bytes: [UInt8]) -> String {
    let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
}

/// The share of pairs of an anomaly and another row in which the anomaly scores lower.
func auroc(_ scores: [Double], _ labels: [Int8]) -> Double {
    let anomalies = scores.indices.filter { labels[$0] == 1 }.map { scores[$0] }
    let others = scores.indices.filter { labels[$0] == 0 }.map { scores[$0] }
    var wins = 0.0
    for one in anomalies {
        for other in others { wins += one < other ? 1 : one == other ? 0.5 : 0 }
    }
    return wins / Double(anomalies.count * others.count)
}
