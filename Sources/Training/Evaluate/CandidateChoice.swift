import Foundation

/// Chooses among candidates by what the holdout says of them.
///
/// With labels the average precision decides, without the precision on injected frauds. Between few labels and many both
/// count, as n frauds against `trust`: what a dozen of frauds say of two detectors is mostly chance. Each measure counts by
/// its logarithm against the best candidate's, so that scales do not matter. Of candidates that are as good as equal, the
/// one with which the others agree most.
struct CandidateChoice {
    /// Known frauds that say as much as the injected ones.
    static let trust = 30.0
    /// Candidates within this of the best, in its logarithm, are as good as equal: 3 %.
    static let tie = 0.03
    private static let least = 1e-4

    struct Entry {
        var averagePrecision: Double?
        var injectedPrecision: Double?
        var agreement: Double
    }

    let entries: [Entry]
    /// In the holdout.
    let knownFrauds: Int

    /// The place of the best; nil without entries.
    var best: Int? {
        let values = values
        guard let most = values.max() else { return nil }
        return values.indices.filter { values[$0] >= most - Self.tie }.max { a, b in
            let (one, other) = (entries[a].agreement, entries[b].agreement)
            return one != other ? one < other : a > b
        }
    }

    /// Higher is better; 0 for one that is the best in everything.
    var values: [Double] {
        let share = Double(knownFrauds) / (Double(knownFrauds) + Self.trust)
        let known = relative(entries.map(\.averagePrecision))
        let injected = relative(entries.map(\.injectedPrecision))
        switch (known, injected) {
        case (let known?, let injected?): return zip(known, injected).map { share * $0 + (1 - share) * $1 }
        case (let only?, nil), (nil, let only?): return only
        case (nil, nil): return entries.map { _ in 0 }
        }
    }

    /// Logarithms against the best one's; nil when nobody has a value.
    private func relative(_ values: [Double?]) -> [Double]? {
        guard let best = values.compactMap({ $0 }).max() else { return nil }
        return values.map { value in
            log(max(value ?? 0, Self.least)) - log(max(best, Self.least))
        }
    }
}
