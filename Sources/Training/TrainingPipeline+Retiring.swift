import Foundation
import Models
import ObjectStore

/// Own models that no longer pay: what was better than the global model once may not be today.
extension TrainingPipeline {
    /// A user's active model beside the global one, on the holdout of the days that are trained on now. Where it has
    /// learned from some of these days it looks better than it is, so none is retired for that.
    struct Standing {
        let model: ReadyModel
        let scores: HoldoutScores
        /// For the new model's header; its `parent` is the version that they are of.
        let metrics: [String: Double]

        /// nil: it may go on.
        var retired: UsersPart.Retired? { UsersPart.Retired(version: model.version, metrics) }
    }

    /// - Parameter global: The global model on the same holdout.
    /// - Returns: nil where the user has no active model, it does not load, or the holdout says nothing.
    func standing(
        _ userID: String, _ set: PreparedSet, global: HoldoutScores?, _ run: Run
    ) throws -> Standing? {
        let tenant = Tenant.user(userID)
        guard let global, let version = router.snapshot().version(of: tenant),
            let model = try loaded(tenant, version)
        else { return nil }
        let scores = try HoldoutScores(model.model, model.plan, set)
        guard
            let comparison = EarnedComparison(
                own: scores, global: global, threshold: model.threshold,
                contamination: run.request.contamination, margin: settings.earnedMargin)
        else { return nil }
        return Standing(model: model, scores: scores, metrics: comparison.metricsOfActive)
    }

    /// A version that does not load is serving's to report: whose it is, the global model serves already.
    private func loaded(_ tenant: Tenant, _ version: Int) throws -> ReadyModel? {
        do {
            return try router.model(of: tenant, version: version)
        } catch let error as ObjectStoreError {
            throw error
        } catch {
            return nil
        }
    }

    /// Takes versions out of serving, and says so.
    ///
    /// - Returns: A sentence for the job's answer; nil where there is nothing to say.
    func retire(_ retired: [(userID: String, UsersPart.Retired)], _ run: Run) throws -> String? {
        guard !retired.isEmpty else { return nil }
        if run.request.promote {
            let tenants = retired.map { (Tenant.user($0.userID), $0.1) }
            try promotion.retire(
                Dictionary(tenants.map { ($0, $1.version) }) { $1 }, by: "training",
                reasons: Dictionary(tenants.map { ($0, "job \(run.jobID): \($1.reason)") }) { $1 })
        }
        let named = retired.sorted { $0.userID < $1.userID }.prefix(Self.namedRetired).map {
            "\($0.userID) (v\($0.1.version): \($0.1.reason))"
        }
        let rest = retired.count > named.count ? " and \(retired.count - named.count) more" : ""
        let done = run.request.promote ? "were retired" : "should be retired, which a job that promotes does"
        return "users' own models that no longer pay \(done): \(named.joined(separator: ", "))\(rest)"
    }

    /// Users that a job's answer names.
    private static let namedRetired = 20
}

extension EarnedComparison {
    /// Worse than the global model by more than chance, or beyond the alert budget.
    var isLost: Bool { own <= global - margin && own < global || !keepsBudget }

    /// Of a model that serves, beside those of the one that is to take its place.
    fileprivate var metricsOfActive: [String: Double] {
        [
            "active_own_\(measure.rawValue)": own, "active_global_\(measure.rawValue)": global,
            "active_keeps_budget": keepsBudget ? 1 : 0, UsersPart.Retired.isLost: isLost ? 1 : 0,
        ]
    }
}

extension UsersPart.Retired {
    /// 1 where a user's active version is to serve no longer.
    static let isLost = "active_is_lost"

    /// - Parameter metrics: Of the header of the model that was made when the version was judged.
    /// - Returns: nil where it may go on.
    init?(version: Int, _ metrics: [String: Double]) {
        guard metrics[Self.isLost] == 1 else { return nil }
        let measures: [(EarnedComparison.Measure, String)] = [
            (.averagePrecision, "average precision"), (.injectedAUROC, "AUROC of injected frauds"),
        ]
        var reason = "beyond its alert budget"
        for (measure, name) in measures {
            guard let own = metrics["active_own_\(measure.rawValue)"],
                let global = metrics["active_global_\(measure.rawValue)"], own < global
            else { continue }
            reason =
                "\(name) \(String(format: "%.3f", own)), the global model's "
                + String(format: "%.3f", global)
        }
        self.init(version: version, reason: reason)
    }
}
