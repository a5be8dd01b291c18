import Exact
import Features
import Models

/// Scores and features of what a model has scored lately, in the bins of its training profile.
///
/// Half of what was counted is forgotten whenever `horizon` rows are there, so that what is told is of the last
/// `horizon` to two of them.
struct DriftCounts: Sendable {
    static let horizon = 20_000
    /// Fewer rows say nothing of a share.
    static let minimumRows = 1_000

    private let profile: TrainingProfile
    /// Names, and the places of those that have a histogram in a row of profiled values.
    private let features: [(name: String, place: Int, histogram: Histogram)]
    private var scoreCounts: [Int]
    private var featureCounts: [[Int]]
    private(set) var rows = 0
    /// Of each categorical feature the share of training's rows whose category was too rare for a column of its own.
    let rareShares: [String: Double]

    init(_ profile: TrainingProfile, _ plan: PreprocessingPlan) {
        self.profile = profile
        features = plan.profiled.enumerated().compactMap { place, feature in
            profile.features[feature.name].map { (feature.name, place, $0) }
        }
        rareShares = Dictionary(
            uniqueKeysWithValues: plan.profiled.compactMap { feature in
                guard let count = feature.codeCount, let shares = profile.features[feature.name]?.shares,
                    shares.count == count, let rare = shares.last
                else { return nil }
                return (feature.name, rare)
            })
        scoreCounts = [Int](repeating: 0, count: profile.scores.shares.count + 1)
        featureCounts = features.map { [Int](repeating: 0, count: $0.histogram.shares.count + 1) }
    }

    /// - Parameter values: As `PreprocessingPlan.writeProfiled` writes them.
    mutating func add(score: Double, values: UnsafeBufferPointer<Double>) {
        scoreCounts[profile.scores.bin(of: score)] += 1
        for (number, feature) in features.enumerated() {
            featureCounts[number][feature.histogram.bin(of: values[feature.place])] += 1
        }
        rows += 1
        if rows >= 2 * Self.horizon { halve() }
    }

    private mutating func halve() {
        func halved(_ counts: [Int]) -> [Int] { counts.map { ($0 + 1) / 2 } }
        scoreCounts = halved(scoreCounts)
        featureCounts = featureCounts.map(halved)
        rows /= 2
    }

    /// Population stability index of the scores; nil with too few rows.
    var scoreShift: Double? {
        guard rows >= Self.minimumRows else { return nil }
        return profile.scores.stabilityIndex(scoreCounts, logarithm: DeterministicMath.log)
    }

    /// The same of each feature that the model sees.
    var featureShifts: [String: Double] {
        guard rows >= Self.minimumRows else { return [:] }
        return Dictionary(
            uniqueKeysWithValues: zip(features, featureCounts).map { feature, counts in
                (feature.name, feature.histogram.stabilityIndex(counts, logarithm: DeterministicMath.log))
            })
    }
}
