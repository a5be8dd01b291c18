import DetectorAPI
import Features
import Plugins

/// What to fit with.
struct FitSettings: Sendable {
    let detector: any Detector
    let parameters: ParameterValues
    let seed: UInt64
    /// The alert budget.
    let contamination: Double
    /// Of the preprocessing.
    let options: PreprocessingFitter.Options
    var isCancelled: @Sendable () -> Bool = { false }
    var progress: @Sendable (Double) -> Void = { _ in }

    /// - Parameters:
    ///   - encoding: Native only for a detector that makes use of categories.
    ///   - leftOut: Names of features that the model is not to see.
    init(
        detector: any Detector, parameters: ParameterValues, seed: UInt64, contamination: Double,
        encoding: Preprocessing.Encoding = .oneHot, leftOut: Set<String> = [],
        isCancelled: @escaping @Sendable () -> Bool
    ) {
        func kept(_ features: [Feature]) -> [String]? {
            leftOut.isEmpty ? nil : features.map(\.name).filter { !leftOut.contains($0) }
        }
        self.detector = detector
        self.parameters = parameters
        self.seed = seed
        self.contamination = contamination
        options = PreprocessingFitter.Options(
            numericFeatures: kept(FeatureSchema.numeric),
            categoricalFeatures: kept(FeatureSchema.categorical.map(\.feature)), encoding: encoding,
            coldBelow: Preprocessing.usualColdBelow)
        self.isCancelled = isCancelled
    }
}

/// What fitting gave, not yet judged.
struct FittedModel {
    let model: any DetectorModel
    let preprocessing: Preprocessing
    let plan: PreprocessingPlan
    /// `score < threshold` is an anomaly.
    private(set) var threshold: Double
    /// Of the training rows, in the order of the sample.
    let trainingScores: [Double]
    /// By what is said how rare a score is: the training scores, ascending, or those of rows that the model has not seen.
    private(set) var usualScores: [Double]

    /// With fewer rows the tail of the training scores tells more, whatever the model has learned by heart.
    private static let leastUnseenRows = 1_000

    /// Chooses the threshold, and what severity is measured by, on rows that the model has not seen: one that learns from
    /// labels scores those it has learned from lower, or higher, than any other, so that of unseen rows too few would be
    /// alerts and severities too low.
    ///
    /// Frauds come in bursts, and most alerts of such a model are frauds: the few days of the holdout may have twice their
    /// usual share of them, or half. So for the threshold its frauds count for about as many as there are among all days'
    /// rows.
    ///
    /// - Parameters:
    ///   - scores: Of the holdout.
    ///   - labels: Of the holdout's rows.
    ///   - training: Labels of the training rows.
    mutating func settle(
        unseen scores: [Double], labels: [Int8], training: [Int8], contamination: Double
    ) {
        guard scores.count >= Self.leastUnseenRows else { return }
        threshold = ScoreMetrics.threshold(
            scores, weights: Self.weights(labels, training: training), contamination: contamination)
        usualScores = scores
    }

    /// How much each row of the holdout counts, so that the known frauds among it have the share that they have among all
    /// known rows (post-stratification: D. Holt, T. M. F. Smith, JRSS A 142(1), 1979); 1 for a row of which nobody knows.
    ///
    /// No fraud counts for more than two, nor for less than half of one: those of a burst are alike, and where the holdout
    /// has but one burst its scores do not stand for others.
    static func weights(_ labels: [Int8], training: [Int8]) -> [Double] {
        func counts(_ labels: [Int8]) -> (frauds: Double, genuine: Double) {
            (Double(labels.count { $0 == 1 }), Double(labels.count { $0 == 0 }))
        }
        let (own, before) = (counts(labels), counts(training))
        // What the holdout has none of cannot stand for others.
        guard own.frauds > 0, own.genuine > 0 else { return labels.map { _ in 1 } }
        let known = own.frauds + own.genuine
        let share = (own.frauds + before.frauds) / (known + before.frauds + before.genuine)
        let fraud = min(max(share * known / own.frauds, 1 / greatestWeight), greatestWeight)
        let genuine = (known - fraud * own.frauds) / own.genuine
        return labels.map { $0 == 1 ? fraud : $0 == 0 ? genuine : 1 }
    }

    private static let greatestWeight = 2.0
}

/// Stage 3: fits preprocessing and detector on the training rows, and chooses the threshold on their scores.
///
/// The threshold is the score at place floor(contamination x rows) of the ascending training scores: as many rows lie
/// below it, fewer when scores are tied.
func fit(_ rows: RowTable, names: CategoryNames, _ settings: FitSettings) throws -> FittedModel {
    try fit(rows, preprocessing: rows.preprocessing(names, settings.options), settings)
}

/// The same with a preprocessing that was fitted before.
func fit(_ all: RowTable, preprocessing: Preprocessing, _ settings: FitSettings) throws -> FittedModel {
    let rows = labelled(all, settings)
    let plan = try PreprocessingPlan(preprocessing)
    precondition(
        preprocessing.encoding == .oneHot || settings.detector.info.uses.contains(.categories),
        "the detector would take codes for numbers")
    let encoded = rows.encoded(plan)
    let context = FitContext(
        seed: settings.seed, parameters: settings.parameters,
        columns: plan.columns.map { column in
            FeatureColumn(
                name: column.name,
                kind: column.cardinality.map { .categorical(cardinality: $0) } ?? .numeric)
        }, isCancelled: settings.isCancelled, progress: settings.progress)
    // Detectors may use what is known of anomalies; a row that nobody labelled counts as usual.
    let labels = rows.labels.contains { $0 >= 0 } ? rows.labels.map { max($0, 0) } : nil
    let model: any DetectorModel
    do {
        model = try encoded.withUnsafeBufferPointer { values in
            let rows = FeatureRows(values, columns: plan.columnCount)
            guard let labels else { return try settings.detector.fit(rows, labels: nil, context: context) }
            return try labels.withUnsafeBufferPointer {
                try settings.detector.fit(rows, labels: $0, context: context)
            }
        }
    } catch DetectorError.cancelled {
        throw TrainingError.cancelled
    }
    let scores = try score(model, encoded, columns: plan.columnCount)
    // Threshold and severity both look for places among them: what is sorted is sorted again at once.
    let sorted = scores.sorted()
    return FittedModel(
        model: model, preprocessing: preprocessing, plan: plan,
        threshold: ScoreMetrics.threshold(sorted, contamination: settings.contamination),
        trainingScores: scores, usualScores: sorted)
}

/// What a detector that learns from labels learns from: rows whose label may still come would teach it that frauds are
/// genuine.
private func labelled(_ rows: RowTable, _ settings: FitSettings) -> RowTable {
    guard settings.detector.info.learnsFromReferences, rows.labels.contains(1),
        rows.labels.contains(where: { $0 < 0 })
    else { return rows }
    return rows.gathering(rows.labels.indices.filter { rows.labels[$0] >= 0 })
}

/// Scores encoded rows: `rows.count / columns` scores.
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

extension DetectorInfo {
    /// Whether rows should have what labels of earlier transactions say.
    var learnsFromReferences: Bool { uses.contains(.references) }
}
