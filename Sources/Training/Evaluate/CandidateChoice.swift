import Foundation

/// Chooses among candidates by what the holdout says of them.
///
/// Known frauds decide as far as they can: by average precision, where two candidates differ by more than chance. Among
/// those that are as good as the best by this measure, one that is fitted to labels is taken, unless it is blind for other
/// frauds. Else the precision on injected frauds decides, which says what a candidate finds of kinds that nobody has reported
/// yet. Among those that are as good as equal by that too, the known frauds once more where there are some, else the
/// preferred one, else the one with which the others agree most.
struct CandidateChoice {
    /// So many standard errors of the average precision are chance.
    static let chance = 2.0
    /// With fewer known frauds neither a detector that learns from them nor a higher average precision is preferred.
    static let leastFrauds = 10
    /// Candidates within this of the best, in the logarithm of the precision on injected frauds, are as good as equal: 10 %.
    /// Injected frauds are not the real ones.
    static let tie = 0.1
    /// One that is fitted to labels may find so much less of injected frauds, in the logarithm: a third. It is fitted once
    /// more, with the newest labels, before it serves, and found the most on later days wherever this decides
    /// (docs/detectors.md).
    static let learnersTie = 1.098_612
    private static let least = 1e-4

    struct Entry {
        var averagePrecision: Double?
        var injectedPrecision: Double?
        var agreement: Double
        /// The better one in most sets of transactions with known frauds (docs/detectors.md).
        var isPreferred = false
        /// Fitted to labels, and to more of them before it serves.
        var isLearner = false
    }

    let entries: [Entry]
    /// In the holdout.
    let knownFrauds: Int
    /// Users with one. Frauds of one user come together and look alike: they say little more than one of them.
    let defraudedUsers: Int

    /// - Parameter defraudedUsers: nil: as many as frauds.
    init(entries: [Entry], knownFrauds: Int, defraudedUsers: Int? = nil) {
        self.entries = entries
        self.knownFrauds = knownFrauds
        self.defraudedUsers = defraudedUsers ?? knownFrauds
    }

    /// The place of the best; nil without entries.
    var best: Int? {
        let equal = asGoodAsTheBest
        guard let most = equal.map({ injected($0) }).max() else { return nil }
        if knownFrauds >= Self.leastFrauds,
            let learner = equal.filter({ entries[$0].isLearner }).max(by: { precision($0) < precision($1) }),
            injected(learner) >= most - Self.learnersTie
        {
            return learner
        }
        return equal.filter { injected($0) >= most - Self.tie }.max { a, b in
            let (one, other) = (entries[a], entries[b])
            if knownFrauds >= Self.leastFrauds, precision(a) != precision(b) {
                return precision(a) < precision(b)
            }
            if one.isPreferred != other.isPreferred { return other.isPreferred }
            return one.agreement != other.agreement ? one.agreement < other.agreement : a > b
        }
    }

    /// The places of those whose average precision is the best one's, but for chance: all, where no fraud is known.
    private var asGoodAsTheBest: [Int] {
        guard let best = entries.compactMap(\.averagePrecision).max() else { return Array(entries.indices) }
        // As of a share of users' frauds found, with one found and one missed more: a handful is never certain.
        let count = Double(defraudedUsers) + 2
        let share = (best * Double(defraudedUsers) + 1) / count
        let error = (share * (1 - share) / count).squareRoot()
        return entries.indices.filter { precision($0) >= best - Self.chance * error }
    }

    private func precision(_ place: Int) -> Double { entries[place].averagePrecision ?? 0 }

    private func injected(_ place: Int) -> Double {
        log(max(entries[place].injectedPrecision ?? 0, Self.least))
    }
}
