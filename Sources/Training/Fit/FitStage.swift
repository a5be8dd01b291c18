import DetectorAPI
import Features
import Models
import Plugins

/// Rows split by time: the model learns from the first part and is judged by the last.
struct SplitRows {
    var training: RowSample
    var holdout: RowSample
    var fitter: PreprocessingFitter
    /// Rows of both parts, sampled or not.
    var rowCount = 0

    init(capacity: Int, seed: UInt64) {
        training = RowSample(capacity: capacity, seed: seed)
        holdout = RowSample(capacity: capacity, seed: seed &+ 1)
        fitter = PreprocessingFitter()
    }

    /// - Parameter splitMilliseconds: Rows from then on are the holdout.
    mutating func add(_ row: PreparedRow, splitMilliseconds: Int64) {
        rowCount += 1
        if row.timestampMilliseconds < splitMilliseconds {
            training.add(row)
            fitter.add(numeric: row.features, batch: row.transactions, row: row.row)
        } else {
            holdout.add(row)
        }
    }
}

/// What fitting gave, not yet judged.
struct FittedModel {
    let model: any DetectorModel
    let preprocessing: Preprocessing
    let plan: PreprocessingPlan
    let threshold: Double
}

/// Stage 3: fits preprocessing and detector on the training part, and chooses the threshold on its scores.
func fit(
    _ rows: SplitRows, detector: any Detector, parameters: ParameterValues, seed: UInt64,
    contamination: Double,
    isCancelled: @escaping @Sendable () -> Bool, progress: @escaping @Sendable (Double) -> Void
) throws -> FittedModel {
    let preprocessing = rows.fitter.finish()
    let plan = try PreprocessingPlan(preprocessing)
    let encoded = rows.training.encoded(plan)
    let context = FitContext(
        seed: seed, parameters: parameters, columns: plan.columns.map { FeatureColumn(name: $0.name) },
        isCancelled: isCancelled, progress: progress)
    let model = try encoded.withUnsafeBufferPointer { values in
        try detector.fit(FeatureRows(values, columns: plan.columnCount), labels: nil, context: context)
    }
    let scores = try score(model, encoded, columns: plan.columnCount)
    return FittedModel(
        model: model, preprocessing: preprocessing, plan: plan,
        threshold: ScoreMetrics.threshold(scores, contamination: contamination))
}

/// Scores encoded rows.
func score(_ model: any DetectorModel, _ rows: [Float], columns: Int) throws -> [Double] {
    guard !rows.isEmpty else { return [] }
    var scores = [Double](repeating: 0, count: rows.count / columns)
    try rows.withUnsafeBufferPointer { rows in
        try scores.withUnsafeMutableBufferPointer { scores in
            try model.score(FeatureRows(rows, columns: columns), into: scores)
        }
    }
    return scores
}
