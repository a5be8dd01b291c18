import Foundation

/// Chooses among candidates by what the holdout says of them.
///
/// Known frauds decide as far as they can: by average precision, where two candidates differ by more than chance. Among
/// those that are as good as the best by this measure, the precision on injected frauds decides, which says what a candidate
/// finds of kinds that nobody has reported yet. Among those that are as good as equal by that too, the preferred one, else
/// the one with which the others agree most.
struct CandidateChoice {
    /// So many standard errors of the average precision are chance.
    static let chance = 2.0
    /// Candidates within this of the best, in the logarithm of the precision on injected frauds, are as good as equal: 10 %.
    /// Injected frauds are not the real ones.
    static let tie = 0.1
    private static let least = 1e-4

    struct Entry {
        var averagePrecision: Double?
        var injectedPrecision: Double?
        var agreement: Double
        /// The better one in most sets of transactions with known frauds (docs/detectors.md).
        var isPreferred = false
    }

    let entries: [Entry]
    /// In the holdout.
    let knownFrauds: Int

    /// The place of the best; nil without entries.
    var best: Int? {
        let equal = asGoodAsTheBest
        guard let most = equal.map({ injected($0) }).max() else { return nil }
        return equal.filter { injected($0) >= most - Self.tie }.max { a, b in
            let (one, other) = (entries[a], entries[b])
            if one.isPreferred != other.isPreferred { return other.isPreferred }
            return one.agreement != other.agreement ? one.agreement < other.agreement : a > b
        }
    }

    /// The places of those whose average precision is the best one's, but for chance: all, where no fraud is known.
    private var asGoodAsTheBest: [Int] {
        guard let best = entries.compactMap(\.averagePrecision).max() else { return Array(entries.indices) }
        // As of a share of frauds found, with one found and one missed more: a handful of frauds is never certain.
        let count = Double(knownFrauds) + 2
        let share = (best * Double(knownFrauds) + 1) / count
        let error = (share * (1 - share) / count).squareRoot()
        return entries.indices.filter { (entries[$0].averagePrecision ?? 0) >= best - Self.chance * error }
    }

    private func injected(_ place: Int) -> Double {
        log(max(entries[place].injectedPrecision ?? 0, Self.least))
    }
}
