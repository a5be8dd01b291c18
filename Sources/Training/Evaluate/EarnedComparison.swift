import Models

/// Whether a user's model has earned its place: it must beat the global one on that user's own holdout, and keep to its
/// alert budget there.
///
/// It beats by average precision where the holdout has labels of both kinds. Else by injected frauds (`Injection`): the
/// area under the ROC curve of telling them from the user's own rows, which compares the two models at every alert
/// rate they could both be set to. A win by less than `margin` is none: a model of one's own costs memory, and on a
/// small holdout such a difference is chance.
///
/// The budget is kept when the alerts on rows that are not known to be frauds are no more than three deviations of a
/// Poisson number above the contamination's share, and one: a threshold from few training rows can be far off, and
/// the better ranking is of no use to somebody who gets an alert a day.
struct EarnedComparison {
    enum Measure: String {
        case averagePrecision = "average_precision"
        case injectedAUROC = "injected_auroc"
    }

    let measure: Measure
    let own: Double
    let global: Double
    let keepsBudget: Bool
    let isEarned: Bool
    /// A smaller difference is chance.
    let margin: Double

    /// A holdout of fewer rows says nothing.
    static let minimumRows = 10

    /// - Parameters:
    ///   - threshold: The user's model's.
    ///   - contamination: The alert budget.
    /// - Returns: nil when the holdout says nothing; the model is not earned then.
    init?(
        own: HoldoutScores, global: HoldoutScores, threshold: Double, contamination: Double, margin: Double
    ) {
        guard own.scores.count >= Self.minimumRows else { return nil }
        self.margin = margin
        if let ownValue = own.averagePrecision, let globalValue = global.averagePrecision {
            measure = .averagePrecision
            self.own = ownValue
            self.global = globalValue
        } else if let ownValue = own.injectedAUROC, let globalValue = global.injectedAUROC {
            measure = .injectedAUROC
            self.own = ownValue
            self.global = globalValue
        } else {
            return nil
        }
        let usual = own.usualScores
        let budget = contamination * Double(usual.count)
        keepsBudget = Double(usual.count { $0 < threshold }) <= budget + 3 * budget.squareRoot() + 1
        isEarned = self.own >= self.global + margin && self.own > self.global && keepsBudget
    }

    /// For the header of the user's artifact: the comparison stays with the candidate.
    var metrics: [String: Double] {
        [
            "earned_own_\(measure.rawValue)": own, "earned_global_\(measure.rawValue)": global,
            "earned_keeps_budget": keepsBudget ? 1 : 0,
        ]
    }
}
