import DetectorAPI
import TestTables

@testable import Ensemble

extension Table {
    func fit(
        _ given: [String: ParameterValue] = [:], labels: [Int8]? = nil, seed: UInt64 = 1,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) throws -> any DetectorModel {
        var given = given
        if given["n_estimators"] == nil { given["n_estimators"] = .integer(30) }
        let context = try context(Ensemble().info, given, seed: seed, isCancelled: isCancelled)
        return try withRows { rows in
            guard let labels else { return try Ensemble().fit(rows, labels: nil, context: context) }
            return try labels.withUnsafeBufferPointer {
                try Ensemble().fit(rows, labels: $0, context: context)
            }
        }
    }
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
