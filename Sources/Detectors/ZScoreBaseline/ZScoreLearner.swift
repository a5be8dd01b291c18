import DetectorAPI

/// Learns row by row. Used by one thread at a time.
///
/// Means and deviations are updated exactly (Welford). Medians and MADs cannot be without the old rows; they
/// move by stochastic approximation (H. Robbins, S. Monro, 1951): a step towards the value, as long as is
/// best for a normal distribution, and shorter the more has been seen.
final class ZScoreLearner: DetectorLearner {
    private var features: [FeatureMoments]
    private let isRobust: Bool
    private let combination: Combination

    init(_ model: ZScoreModel) {
        features = model.features
        isRobust = model.isRobust
        combination = model.combination
    }

    func learn(_ row: UnsafeBufferPointer<Float>) throws {
        guard row.count == features.count else {
            throw DetectorError.invalidInput("\(row.count) features, but the model has \(features.count)")
        }
        for column in features.indices where !row[column].isNaN {
            let value = FeatureValue.finite(row[column])
            if isRobust {
                features[column].addRobustly(value)
            } else {
                features[column].add(value)
            }
        }
    }

    func model() -> any DetectorModel {
        ZScoreModel(features, isRobust: isRobust, combination: combination)
    }
}

extension FeatureMoments {
    /// Half the inverse density of a normal distribution's values at their median, and of their distances
    /// from it at the MAD, as multiples of the deviation.
    private static let medianStep = 1.2533141373155003
    private static let deviationStep = 0.7867 * RobustFit.deviationPerMAD

    mutating func addRobustly(_ value: Double) {
        if count == 0 {
            self = FeatureMoments(count: 1, mean: value, spread: 0)
            return
        }
        count += 1
        guard spread > 0 else {
            // Never varied so far: the first value apart gives a first deviation.
            spread = abs(value - mean) / count * RobustFit.deviationPerMeanDistance
            return
        }
        let difference = value - mean
        let distance = abs(difference)
        let step = spread / count
        if distance > 0 { mean += (difference > 0 ? 1 : -1) * min(Self.medianStep * step, distance) }
        spread += (distance * RobustFit.deviationPerMAD > spread ? 1 : -1) * Self.deviationStep * step
    }
}
