import Models

/// What a model must show on its own holdout before it serves by itself.
///
/// It keeps to its alert budget there; its scores are spread as over the training rows; and it finds frauds no worse than
/// the version that is active now, on the same rows.
struct Gate {
    /// Times the budget that the holdout may raise alerts.
    static let budgetFactor = 3.0
    /// Population stability index of the scores, holdout against training. 0.25 is called a shift; a holdout is later
    /// than what was learned from, and windows fill, so that a little more is usual.
    static let shiftLimit = 0.5
    /// Share of the active version's value that the candidate has to reach: a holdout is a sample.
    static let tolerance = 0.95
    /// Of fewer known frauds the average precision is mostly chance.
    private static let minimumFrauds = 30.0
    /// Fewer rows say nothing of how scores are spread.
    static let minimumRows = 100
    /// The row of an active version that cannot be loaded: nobody knows whether the candidate is worse.
    static let noComparison = GateCheck("active_version_loads", 0, .atLeast, 1)

    /// - Parameters:
    ///   - metrics: Of the candidate, `HoldoutScores.metrics` and `score_shift`.
    ///   - active: Of the active version on the same holdout; nil: there is none.
    static func checks(
        _ metrics: [String: Double], active: [String: Double]?, contamination: Double
    ) -> [GateCheck] {
        let rows = metrics["holdout_rows"] ?? 0
        // Without a holdout nobody knows what it would do.
        guard rows > 0 else { return [GateCheck("holdout_rows", rows, .atLeast, 1)] }
        var checks: [GateCheck] = []
        if let rate = metrics["usual_alert_rate"] {
            let chance = 3 * (contamination / rows).squareRoot()
            checks.append(
                GateCheck("alert_rate", rate, .atMost, budgetFactor * contamination + chance))
        }
        if let shift = metrics["score_shift"], rows >= Double(minimumRows) {
            checks.append(GateCheck("score_shift", shift, .atMost, shiftLimit))
        }
        guard let active else { return checks }
        // What a handful of frauds say of two models is chance: then the injected ones decide.
        let knows = (metrics["holdout_anomalies"] ?? 0) >= minimumFrauds
        for name in knows ? ["average_precision", "injected_precision"] : ["injected_precision"] {
            guard let value = metrics[name], let limit = active[name] else { continue }
            checks.append(GateCheck(name, value, .atLeast, limit * tolerance))
            break
        }
        return checks
    }
}
