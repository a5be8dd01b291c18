import DetectorAPI
import Exact
import Foundation
import Lake
import Plugins

/// Judges a detector on a labelled table: fitted once a seed, on all rows without their labels and judged on the same
/// rows, as benchmarks of unsupervised detectors do; or, with a time column, fitted on the first rows and judged on
/// the last.
public struct TableEvaluation: Codable, Sendable, Hashable {
    /// Over the seeds.
    public struct Summary: Codable, Sendable, Hashable {
        public let mean: Double
        /// Of the seeds as a population; 0 for one.
        public let standardDeviation: Double

        init(_ values: [Double]) {
            let count = Double(max(values.count, 1))
            let mean = values.reduce(0, +) / count
            self.mean = mean
            standardDeviation =
                (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
        }
    }

    /// The first part of the rows by time fits, the last part judges.
    public struct TimeSplit: Codable, Sendable, Hashable {
        /// Numbers, timestamps or text as `readTable` takes it; it is no feature.
        public var column: String
        /// The last share of the rows, 0 to 1, both excluded.
        public var holdoutShare: Double

        public init(column: String, holdoutShare: Double = 0.2) {
            self.column = column
            self.holdoutShare = holdoutShare
        }
    }

    public let detector: String
    public let parameters: [String: String]
    public let table: String
    /// nil: fitted and judged on the same rows.
    public let split: TimeSplit?
    /// Rows that it was fitted on.
    public let fittedRows: Int
    /// Rows that were judged, and how many of them are anomalies.
    public let rows: Int
    public let anomalies: Int
    /// Features.
    public let columns: Int
    /// Columns that hold something else than numbers, and were left out.
    public let skippedColumns: [String]
    public let seeds: Int
    public let auroc: Summary
    public let averagePrecision: Summary
    /// The share of anomalies among as many lowest scores as there are anomalies, R-precision; tied rows share.
    public let precisionAtN: Summary
    /// Wall time.
    public let fitMilliseconds: Summary
    public let scoreMilliseconds: Summary

    /// Fits and judges, blocking the thread.
    ///
    /// - Parameters:
    ///   - path: A CSV or Parquet file.
    ///   - label: The column that is not 0, or `true`, for anomalies.
    ///   - seeds: How many, from 0; at least 1.
    ///   - parameters: As a person would type them.
    ///   - split: nil: judged on the rows that it was fitted on.
    ///   - learnsLabels: Gives the detector the labels of the rows that it is fitted on; only with a split, since it
    ///     would be judged on what it was told otherwise.
    ///   - weight: A numeric column, then no feature: how much each row counts in fitting. nil: all alike.
    ///   - zone: Of times that do not say theirs; nil: UTC.
    ///   - onScores: Told each seed and the scores that it gave, with the numbers of the rows, from 0, in the table.
    /// - Throws: `LakeError` for a table that cannot be read, `TrainingError` for one that cannot be judged by,
    ///   `DetectorError`.
    public init(
        _ loaded: LoadedDetector, path: String, label: String, seeds: Int, parameters: [String: String],
        split: TimeSplit? = nil, learnsLabels: Bool = false, weight: String? = nil,
        zone: PlaceZone? = nil,
        onScores: (_ seed: Int, _ rows: [Int], _ scores: [Double]) throws -> Void = { _, _, _ in }
    ) throws {
        guard split != nil || !learnsLabels else {
            throw TrainingError.invalidRequest(
                field: "labels", reason: "a detector may learn them only from earlier rows: split by time")
        }
        guard split?.column != label else {
            throw TrainingError.invalidRequest(
                field: "time", reason: "\(label) is the label; name another column to split by")
        }
        guard weight == nil || loaded.info.uses.contains(.weights) else {
            throw TrainingError.invalidRequest(
                field: "weight", reason: "detector \(loaded.info.id) makes no use of weights")
        }
        let table = try readTable(path: path, labelColumn: label, timeColumn: split?.column, zone: zone)
        let values = try Self.checked(parameters, loaded)
        var parts = try TableParts(table, path: path, label: label, split: split)
        let weights = try weight.map { try parts.takeWeights($0, path: path) }
        let features = parts.columns.map { FeatureColumn(name: $0) }
        var measures: [[Double]] = []
        for seed in 0..<max(seeds, 1) {
            let started = ContinuousClock.now
            let context = FitContext(
                seed: UInt64(seed), parameters: values, columns: features, weights: weights)
            let model = try Self.fit(loaded.detector, parts, learnsLabels: learnsLabels, context)
            let fitted = ContinuousClock.now
            let scores = try score(model, parts.judged, columns: features.count)
            let scored = ContinuousClock.now
            try onScores(seed, parts.judgedRows, scores)
            let anomalies = parts.labels.count { $0 }
            measures.append([
                ScoreMetrics.auroc(scores, anomalous: parts.labels) ?? 0,
                ScoreMetrics.averagePrecision(scores, anomalous: parts.labels) ?? 0,
                ScoreMetrics.precision(scores, anomalous: parts.labels, count: anomalies) ?? 0,
                (fitted - started) / .milliseconds(1), (scored - fitted) / .milliseconds(1),
            ])
        }
        detector = loaded.info.id
        self.parameters = values.values.mapValues { "\($0)" }
        self.table = path
        self.split = split
        fittedRows = parts.fittedLabels.count
        rows = parts.labels.count
        anomalies = parts.labels.count { $0 }
        columns = features.count
        skippedColumns = table.skippedColumns
        self.seeds = measures.count
        let summaries = (0..<5).map { measure in Summary(measures.map { $0[measure] }) }
        auroc = summaries[0]
        averagePrecision = summaries[1]
        precisionAtN = summaries[2]
        fitMilliseconds = summaries[3]
        scoreMilliseconds = summaries[4]
    }

    private static func fit(
        _ detector: any Detector, _ parts: TableParts, learnsLabels: Bool, _ context: FitContext
    ) throws -> any DetectorModel {
        try parts.fitted.withUnsafeBufferPointer { values in
            let rows = FeatureRows(values, columns: parts.columns.count)
            guard learnsLabels else { return try detector.fit(rows, labels: nil, context: context) }
            return try parts.fittedLabels.map { $0 ? 1 : 0 }.withUnsafeBufferPointer {
                try detector.fit(rows, labels: $0, context: context)
            }
        }
    }

    private static func checked(
        _ parameters: [String: String], _ loaded: LoadedDetector
    ) throws -> ParameterValues {
        do {
            return try loaded.info.checked(parameters.mapValues { ParameterValue(parsing: $0) })
        } catch DetectorError.invalidParameter(let name, let reason) {
            throw TrainingError.invalidRequest(field: "parameters.\(name)", reason: reason)
        }
    }
}
