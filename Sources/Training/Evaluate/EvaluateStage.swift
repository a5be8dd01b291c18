import DetectorAPI
import Features
import Models

/// Stage 4: judges a model on the holdout, which it has not seen.
///
/// With labels of both kinds: `auroc`, `average_precision`, `precision_at_budget` (of as many alerts as the
/// contamination allows) and `accuracy` at the threshold. Always: `alert_rate`, and `injected_auroc`, how well the
/// model tells the holdout from the same rows with frauds injected (`Injection`).
func evaluate(_ fitted: FittedModel, holdout: RowSample, contamination: Double) throws -> [String: Double] {
    var metrics = ["holdout_rows": Double(holdout.count)]
    guard holdout.count > 0 else { return metrics }
    let columns = fitted.plan.columnCount
    let scores = try score(fitted.model, holdout.encoded(fitted.plan), columns: columns)
    let alerts = scores.map { $0 < fitted.threshold }
    metrics["alert_rate"] = Double(alerts.count { $0 }) / Double(scores.count)
    metrics["injected_auroc"] = try injectedAUROC(fitted.model, fitted.plan, holdout: holdout, scores: scores)
    let known = holdout.labels.indices.filter { holdout.labels[$0] >= 0 }
    let anomalous = known.map { holdout.labels[$0] == 1 }
    guard !known.isEmpty else { return metrics }
    let knownScores = known.map { scores[$0] }
    metrics["accuracy"] =
        Double(zip(known, anomalous).count { alerts[$0] == $1 }) / Double(known.count)
    metrics["holdout_anomalies"] = Double(anomalous.count { $0 })
    metrics["auroc"] = ScoreMetrics.auroc(knownScores, anomalous: anomalous)
    metrics["average_precision"] = ScoreMetrics.averagePrecision(knownScores, anomalous: anomalous)
    let budget = max(1, Int((contamination * Double(known.count)).rounded()))
    metrics["precision_at_budget"] = ScoreMetrics.precision(knownScores, anomalous: anomalous, count: budget)
    return metrics
}

/// The agreement of two models that differ in their seed: Spearman's correlation of their scores on the holdout.
func scoreStability(_ a: FittedModel, _ b: FittedModel, holdout: RowSample) throws -> Double? {
    let columns = a.plan.columnCount
    let rows = holdout.encoded(a.plan)
    return ScoreMetrics.rankCorrelation(
        try score(a.model, rows, columns: columns), try score(b.model, rows, columns: columns))
}

private func injectedAUROC(
    _ model: any DetectorModel, _ plan: PreprocessingPlan, holdout: RowSample, scores: [Double]
) throws -> Double? {
    let injected = try score(model, holdout.injected().encoded(plan), columns: plan.columnCount)
    return ScoreMetrics.auroc(
        scores + injected, anomalous: scores.map { _ in false } + injected.map { _ in true })
}

/// Whether a user's model has earned its place: it must beat the global one on that user's own holdout.
///
/// Judged by average precision where the holdout has labels of both kinds, else by injected frauds. A tie is no win:
/// the global model is the cheaper one.
struct EarnedComparison {
    let measure: String
    let own: Double
    let global: Double

    var isEarned: Bool { own > global }

    /// - Returns: nil when the holdout is too small to tell (fewer than 10 rows).
    init?(_ fitted: FittedModel, own: [String: Double], global: ReadyModel, holdout: RowSample) throws {
        guard holdout.count >= 10 else { return nil }
        let scores = try score(global.model, holdout.encoded(global.plan), columns: global.plan.columnCount)
        let known = holdout.labels.indices.filter { holdout.labels[$0] >= 0 }
        let anomalous = known.map { holdout.labels[$0] == 1 }
        if anomalous.contains(true), anomalous.contains(false), let ownPrecision = own["average_precision"],
            let globalPrecision = ScoreMetrics.averagePrecision(
                known.map { scores[$0] }, anomalous: anomalous)
        {
            measure = "average_precision"
            self.own = ownPrecision
            self.global = globalPrecision
            return
        }
        guard let ownAUROC = own["injected_auroc"],
            let globalAUROC = try injectedAUROC(global.model, global.plan, holdout: holdout, scores: scores)
        else { return nil }
        measure = "injected_auroc"
        self.own = ownAUROC
        self.global = globalAUROC
    }
}
