import DetectorAPI
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
    public struct TimeSplit: Sendable, Hashable {
        /// A numeric column, which is then no feature.
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
    /// The share of anomalies among as many lowest scores as there are anomalies.
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
    ///   - weight: A numeric column, then no feature: how much each row counts in fitting. nil: all alike.
    /// - Throws: `LakeError` for a table that cannot be read, `TrainingError` for one that cannot be judged by,
    ///   `DetectorError`.
    public init(
        _ loaded: LoadedDetector, path: String, label: String, seeds: Int, parameters: [String: String],
        split: TimeSplit? = nil, weight: String? = nil
    ) throws {
        guard weight == nil || loaded.info.uses.contains(.weights) else {
            throw TrainingError.invalidRequest(
                field: "weight", reason: "detector \(loaded.info.id) makes no use of weights")
        }
        let table = try readTable(path: path, labelColumn: label)
        let values = try Self.checked(parameters, loaded)
        var parts = try TableParts(table, path: path, label: label, split: split)
        let weights = try weight.map { try parts.takeWeights($0, path: path) }
        let features = parts.columns.map { FeatureColumn(name: $0) }
        var measures: [[Double]] = []
        for seed in 0..<max(seeds, 1) {
            let started = ContinuousClock.now
            let context = FitContext(
                seed: UInt64(seed), parameters: values, columns: features, weights: weights)
            let model = try parts.training.withUnsafeBufferPointer {
                try loaded.detector.fit(
                    FeatureRows($0, columns: features.count), labels: nil, context: context)
            }
            let fitted = ContinuousClock.now
            let scores = try score(model, parts.judged, columns: features.count)
            let scored = ContinuousClock.now
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

    private static func checked(
        _ parameters: [String: String], _ loaded: LoadedDetector
    ) throws -> ParameterValues {
        do {
            return try loaded.info.checked(parameters.mapValues { ParameterValue(parsing: $0) })
        } catch DetectorError.invalidParameter(let name, let reason) {
            throw TrainingError.invalidRequest(field: "parameters.\(name)", reason: reason)
        }
    }

    /// For people: some lines, without an end of line.
    public var text: String {
        func row(_ name: String, _ summary: Summary, digits: Int) -> String {
            let mean = String(format: "%.*f", digits, summary.mean)
            let deviation = String(format: "%.*f", digits, summary.standardDeviation)
            let gap = String(repeating: " ", count: max(1, 18 - name.count))
            return "  \(name)\(gap)\(mean)  sd \(deviation)"
        }
        var lines = [
            "\(table): \(rows) rows x \(columns), \(anomalies) anomalies; \(detector), \(seeds) seeds",
            row("AUROC", auroc, digits: 4), row("average precision", averagePrecision, digits: 4),
            row("precision at n", precisionAtN, digits: 4), row("fit, ms", fitMilliseconds, digits: 2),
            row("score, ms", scoreMilliseconds, digits: 2),
        ]
        if !skippedColumns.isEmpty {
            lines.append("  left out, not numeric: \(skippedColumns.joined(separator: ", "))")
        }
        return lines.joined(separator: "\n")
    }
}

/// A table cut into what fits and what judges, row-major.
private struct TableParts {
    private(set) var columns: [String]
    private(set) var training: [Float]
    private(set) var judged: [Float]
    /// Of the judged rows: both kinds.
    let labels: [Bool]

    init(
        _ table: NumericTable, path: String, label: String, split: TableEvaluation.TimeSplit?
    ) throws {
        let all = table.labels ?? []
        guard let split else {
            columns = table.columns
            training = table.values
            judged = table.values
            labels = all
            try check(path: path, label: label)
            return
        }
        guard let time = table.columns.firstIndex(of: split.column) else {
            throw TrainingError.invalidRequest(
                field: "time",
                reason: "\(path) has no numeric column \(split.column); it has: "
                    + table.columns.joined(separator: ", "))
        }
        guard split.holdoutShare > 0, split.holdoutShare < 1 else {
            throw TrainingError.invalidRequest(
                field: "holdout", reason: "it must be above 0 and below 1")
        }
        let width = table.columns.count
        func value(_ row: Int) -> Float { table.values[row * width + time] }
        // Rows of one time keep their order; rows without a time come last.
        let order = (0..<table.count).sorted { a, b in
            let (x, y) = (value(a), value(b))
            return x == y || (x.isNaN && y.isNaN) ? a < b : y.isNaN || x < y
        }
        let first = Int((Double(order.count) * (1 - split.holdoutShare)).rounded())
        func rows(_ part: ArraySlice<Int>) -> [Float] {
            part.flatMap { row in
                (0..<width).filter { $0 != time }.map { table.values[row * width + $0] }
            }
        }
        columns = table.columns.filter { $0 != split.column }
        training = rows(order[..<first])
        judged = rows(order[first...])
        labels = order[first...].map { all[$0] }
        try check(path: path, label: label)
    }

    private func check(path: String, label: String) throws {
        guard !columns.isEmpty, !training.isEmpty else {
            throw TrainingError.noData("\(path) has no numeric columns or too few rows")
        }
        guard labels.contains(true), labels.contains(false) else {
            throw TrainingError.noData("\(path): column \(label) does not tell anomalies from normal rows")
        }
    }

    /// Takes a column out of the features.
    ///
    /// - Returns: Its values in the training rows.
    mutating func takeWeights(_ column: String, path: String) throws -> [Float] {
        guard let place = columns.firstIndex(of: column), columns.count > 1 else {
            throw TrainingError.invalidRequest(
                field: "weight",
                reason: "\(path) has no numeric column \(column) besides another one; it has: "
                    + columns.joined(separator: ", "))
        }
        let width = columns.count
        let weights = stride(from: place, to: training.count, by: width).map { training[$0] }
        func others(_ values: [Float]) -> [Float] {
            values.indices.filter { $0 % width != place }.map { values[$0] }
        }
        (training, judged) = (others(training), others(judged))
        columns.remove(at: place)
        return weights
    }
}
