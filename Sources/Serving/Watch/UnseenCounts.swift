import Features

/// Rows of which each categorical feature was looked at, and how many of them had a category that has no column of
/// its own: one that training did not know, or that was too rare there.
///
/// Half of what was counted is forgotten whenever a feature has `horizon` rows.
struct UnseenCounts: Sendable {
    static let horizon = 2 * DriftCounts.horizon

    /// By place in `FeatureSchema.categorical`.
    private var rows: SIMD4<Int>
    private var unseen: SIMD4<Int>

    init() { (rows, unseen) = (SIMD4(), SIMD4()) }

    mutating func add(_ categories: PreprocessingPlan.KnownCategories) {
        rows &+= SIMD4(truncatingIfNeeded: categories.lookedAt)
        unseen &+= SIMD4(truncatingIfNeeded: categories.unseen)
        guard rows.max() >= Self.horizon else { return }
        rows = (rows &+ 1) / 2
        unseen = (unseen &+ 1) / 2
    }

    /// Of each categorical feature that a model looked at.
    var shares: [String: Double] {
        var shares: [String: Double] = [:]
        for (place, category) in FeatureSchema.categorical.enumerated() where rows[place] > 0 {
            shares[category.feature.name] = Double(unseen[place]) / Double(rows[place])
        }
        return shares
    }
}
