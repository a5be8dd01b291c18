import DetectorAPI
import Foundation
import Lake
import Plugins

/// Judges a detector on a labelled table: fitted on the rows without their labels, once a seed.
public struct TableEvaluation: Codable, Sendable, Hashable {
    public struct Summary: Codable, Sendable, Hashable {
        public let mean: Double
        public let standardDeviation: Double

        init(_ values: [Double]) {
            let mean = values.reduce(0, +) / Double(max(values.count, 1))
            self.mean = mean
            standardDeviation =
                (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(values.count, 1)))
                .squareRoot()
        }
    }

    public let detector: String
    public let table: String
    public let rows: Int
    public let columns: Int
    public let anomalies: Int
    public let seeds: Int
    public let auroc: Summary
    public let averagePrecision: Summary
    /// Among as many lowest scores as there are anomalies.
    public let precisionAtN: Summary
    public let fitMilliseconds: Summary
    public let scoreMilliseconds: Summary

    /// - Parameters:
    ///   - path: A CSV or Parquet file.
    ///   - parameters: As a person would type them.
    public init(
        _ loaded: LoadedDetector, path: String, label: String, seeds: Int, parameters: [String: String]
    ) throws {
        let table = try readTable(path: path, labelColumn: label)
        guard let labels = table.labels, labels.contains(true), labels.contains(false) else {
            throw TrainingError.noData("\(path): column \(label) does not tell anomalies from normal rows")
        }
        let values = try loaded.info.checked(parameters.mapValues { ParameterValue(parsing: $0) })
        let columns = table.columns.map { FeatureColumn(name: $0) }
        var measures: [[Double]] = []
        for seed in 0..<seeds {
            let started = ContinuousClock.now
            let model = try table.values.withUnsafeBufferPointer { rows in
                try loaded.detector.fit(
                    FeatureRows(rows, columns: columns.count), labels: nil,
                    context: FitContext(seed: UInt64(seed), parameters: values, columns: columns))
            }
            let fitted = ContinuousClock.now
            let scores = try score(model, table.values, columns: columns.count)
            let scored = ContinuousClock.now
            measures.append([
                ScoreMetrics.auroc(scores, anomalous: labels) ?? .nan,
                ScoreMetrics.averagePrecision(scores, anomalous: labels) ?? .nan,
                ScoreMetrics.precision(scores, anomalous: labels, count: labels.count { $0 }) ?? .nan,
                (fitted - started) / .milliseconds(1), (scored - fitted) / .milliseconds(1),
            ])
        }
        detector = loaded.info.id
        self.table = path
        rows = table.count
        self.columns = columns.count
        anomalies = labels.count { $0 }
        self.seeds = seeds
        let summaries = (0..<5).map { measure in Summary(measures.map { $0[measure] }) }
        auroc = summaries[0]
        averagePrecision = summaries[1]
        precisionAtN = summaries[2]
        fitMilliseconds = summaries[3]
        scoreMilliseconds = summaries[4]
    }
}
