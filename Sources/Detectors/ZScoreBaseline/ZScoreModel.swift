import DetectorAPI
import Exact

/// Centres and deviations, ready to score. Immutable.
///
/// The surprise of a value z deviations from its centre is ln(1 + z^2): the negative log-likelihood of a
/// Cauchy distribution, so that one wild feature does not drown all others. t is the surprise of the row,
/// 1 for a usual one, and the score is -t / (1 + t): -0.5 for a usual row, towards -1 for an unusual one.
final class ZScoreModel: Explaining, Updating, ColumnSurprises, Sizing {
    /// Deviations that a value counts for that differs from a column which never varied.
    static let deviationsFromConstant = ExcessProducts.deviationsFromConstant
    /// The mean of ln(1 + Z^2) for a standard normal Z.
    static let usualSurprise = 0.533453179844135

    let features: [FeatureMoments]
    /// Moments and scale of each column.
    var sizeInMemory: Int {
        features.count * (MemoryLayout<FeatureMoments>.stride + 2 * MemoryLayout<Double>.stride)
    }
    let isRobust: Bool
    let combination: Combination
    private let format: ZScorePayload.Format
    /// Of each column; NaN for one without a value, whose values are as good as missing.
    private let centres: [Double]
    /// 1 / deviation of each column; a deviation of 0 stays 0.
    private let inverses: [Double]
    /// The surprise of a usual row's most unusual feature.
    private let usualLargest: Double

    convenience init(_ features: [FeatureMoments], isRobust: Bool, combination: Combination) {
        self.init(
            ZScorePayload(
                features: isRobust ? features.map(\.narrowed) : features, isRobust: isRobust,
                combination: combination, format: .narrow))
    }

    init(_ payload: ZScorePayload) {
        let (features, isRobust) = (payload.features, payload.isRobust)
        self.features = features
        self.isRobust = isRobust
        combination = payload.combination
        format = payload.format
        centres = features.map { $0.count == 0 ? .nan : $0.mean }
        inverses = features.map { feature in
            let deviation = isRobust ? feature.spread : feature.deviation
            return deviation > 0 ? min(1 / deviation, 0x1p500) : 0
        }
        // The square of the largest of n normal values is near 2 ln n - ln ln n.
        let logarithm = DeterministicMath.log(Double(max(2, features.count)))
        let square = 2 * logarithm - DeterministicMath.log(logarithm)
        usualLargest = features.count == 1 ? Self.usualSurprise : DeterministicMath.log(1 + square)
    }

    var columns: Int { features.count }

    /// The score of a row of missing values.
    var expectedScore: Double { -0.5 }

    func encode() -> [UInt8] {
        ZScorePayload(features: features, isRobust: isRobust, combination: combination, format: format)
            .encode()
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try check(rows, places: scores.count)
        switch combination {
        case .sum:
            ExcessProducts(rows, centres, inverses).visit { row, missing, product in
                scores[row] = score(meanSurprise(rows, row, missing: missing, product: product))
            }
        case .largest:
            for row in 0..<rows.count { scores[row] = score(surprise(rows, row)) }
        }
    }

    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try check(rows, places: scores.count)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        for row in 0..<rows.count {
            let surprise = surprise(rows, row)
            scores[row] = score(surprise)
            // score + 0.5 = (1 - t) / (2 (1 + t)), and 1 - t is a sum over the features.
            let slope = -0.5 / (1 + surprise)
            let first = row * columns
            switch combination {
            case .sum:
                let share = slope / Double(columns)
                for column in 0..<columns {
                    let excess = excess(rows.values[first + column], column)
                    contributions[first + column] =
                        excess.map { share * (DeterministicMath.log($0) / Self.usualSurprise - 1) } ?? 0
                }
            case .largest:
                let most = mostUnusual(rows, row)
                for column in 0..<columns {
                    contributions[first + column] = column == most ? slope * (surprise - 1) : 0
                }
            }
        }
    }

    func writeSurprises(of rows: FeatureRows, into surprises: UnsafeMutableBufferPointer<Double>) throws {
        try check(rows, places: surprises.count / columns)
        for row in 0..<rows.count {
            let first = row * columns
            for column in 0..<columns {
                let excess = excess(rows.values[first + column], column)
                surprises[first + column] =
                    excess.map { DeterministicMath.log($0) / Self.usualSurprise } ?? .nan
            }
        }
    }

    func makeLearner() -> any DetectorLearner { ZScoreLearner(self) }

    private func score(_ surprise: Double) -> Double { -surprise / (1 + surprise) }

    /// 1 + z^2 of a value, nil for a missing one. At most 2^200.
    @inline(__always)
    private func excess(_ value: Float, _ column: Int) -> Double? {
        let difference = FeatureValue.finite(value) - centres[column]
        return difference.isNaN ? nil : ExcessProducts.excess(difference, inverses[column])
    }

    private func surprise(_ rows: FeatureRows, _ row: Int) -> Double {
        switch combination {
        case .sum: return meanSurprise(rows, row)
        case .largest:
            guard let most = mostUnusual(rows, row),
                let excess = excess(rows.values[row * columns + most], most)
            else { return 1 }
            return DeterministicMath.log(excess) / usualLargest
        }
    }

    /// The same, where the excesses are multiplied already.
    private func meanSurprise(_ rows: FeatureRows, _ row: Int, missing: Int, product: Double) -> Double {
        // No excess is below 1: a product within the limit was never beyond it.
        guard product <= Self.productLimit else { return meanSurprise(rows, row) }
        return (DeterministicMath.log(product) / Self.usualSurprise + Double(missing)) / Double(columns)
    }

    private static let productLimit = 0x1p700

    /// The mean over the columns; a missing value counts as a usual one.
    private func meanSurprise(_ rows: FeatureRows, _ row: Int) -> Double {
        var missing = 0
        // The logarithm of the product, not the sum of logarithms: one instead of one for each column.
        var product = 1.0
        var exponent = 0
        for column in 0..<columns {
            guard let excess = excess(rows.values[row * columns + column], column) else {
                missing += 1
                continue
            }
            product *= excess
            if product > Self.productLimit {
                exponent += 700
                product *= 0x1p-700
            }
        }
        let sum = DeterministicMath.log(product) + Double(exponent) * DeterministicMath.logOfTwo
        return (sum / Self.usualSurprise + Double(missing)) / Double(columns)
    }

    /// The column with the greatest z, the first of equals; nil when all are missing.
    private func mostUnusual(_ rows: FeatureRows, _ row: Int) -> Int? {
        var most: Int?
        var greatest = 0.0
        for column in 0..<columns {
            if let excess = excess(rows.values[row * columns + column], column), excess > greatest {
                greatest = excess
                most = column
            }
        }
        return most
    }

    private func check(_ rows: FeatureRows, places: Int) throws {
        guard rows.columns == columns else {
            throw DetectorError.invalidInput("\(rows.columns) columns, but the model has \(columns)")
        }
        guard places >= rows.count else {
            throw DetectorError.invalidInput("\(places) places for \(rows.count) scores")
        }
    }
}
