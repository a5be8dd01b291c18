import Exact
import ZScoreBaseline

/// Learns the members' weights from labels: a logistic regression on what the members say, whose coefficients are not
/// negative and are drawn to the weights that were given.
///
/// Minimises -ln L + firmness x sum of (coefficient - centre)^2 by cyclic coordinate descent in trust regions (A. Genkin,
/// D. D. Lewis, D. Madigan, "Large-scale Bayesian logistic regression for text categorization", Technometrics 49(3),
/// 2007, algorithm CLG). The centre is a multiple of the given weights, found first in the same way. The log-likelihood
/// is not divided by the number of rows: few anomalies move the weights little, many move them far. That rows were
/// drawn by label changes nothing but the intercept (R. L. Prentice, R. Pyke, Biometrika 66(3), 1979).
struct WeightLearner {
    /// With fewer of either kind the given weights stay.
    static let minimumRows = 5
    private static let maximumSweeps = 100
    /// Descent ends when a sweep moves the rows' logits by less than this share of them.
    private static let tolerance = 0.000_5

    /// What each member says of each row, member by member, 1 on the mean.
    let parts: [[Float]]
    let isAnomaly: [Bool]
    let firmness: Double
    let isCancelled: () -> Bool

    /// - Parameter given: One for each member, not negative, with sum 1.
    /// - Returns: The same of the learned weights; `given` when the labels say too little. Nil when cancelled.
    func weights(given: [Double]) -> [Double]? {
        let anomalies = isAnomaly.count { $0 }
        guard anomalies >= Self.minimumRows, isAnomaly.count - anomalies >= Self.minimumRows else {
            return given
        }
        var whole = [Float](repeating: 0, count: isAnomaly.count)
        for (part, weight) in zip(parts, given) where weight > 0 {
            for row in whole.indices { whole[row] += Float(weight) * part[row] }
        }
        let intercept = DeterministicMath.log(Double(anomalies) / Double(isAnomaly.count - anomalies))
        guard let first = descend([whole], centre: [1], intercept: intercept - 1),
            let learned = descend(
                parts, centre: given.map { $0 * first.coefficients[0] }, intercept: first.intercept)
        else { return nil }
        let sum = learned.coefficients.reduce(0, +)
        return sum > 1e-6 ? learned.coefficients.map { $0 / sum } : given
    }

    private func descend(
        _ parts: [[Float]], centre: [Double], intercept: Double
    ) -> (coefficients: [Double], intercept: Double)? {
        var state = Descent(
            parts: parts, isAnomaly: isAnomaly, coefficients: centre, intercept: intercept)
        for _ in 0..<Self.maximumSweeps {
            state.moved = 0
            state.stepIntercept()
            for place in parts.indices {
                if isCancelled() { return nil }
                state.step(place, centre: centre[place], firmness: firmness)
            }
            if state.moved < Self.tolerance * (1 + state.size) { break }
        }
        return (state.coefficients, state.intercept)
    }
}

/// Where the descent is.
private struct Descent {
    let parts: [[Float]]
    let isAnomaly: [Bool]
    var coefficients: [Double]
    var intercept: Double
    /// The rows' logits.
    private var logits: [Double]
    /// How far each coefficient may go in its next step; the intercept's is the last.
    private var reach: [Double]
    /// The sum of the logits' changes since it was last set to 0.
    var moved = 0.0

    init(parts: [[Float]], isAnomaly: [Bool], coefficients: [Double], intercept: Double) {
        self.parts = parts
        self.isAnomaly = isAnomaly
        self.coefficients = coefficients
        self.intercept = intercept
        reach = [Double](repeating: 1, count: parts.count + 1)
        logits = [Double](repeating: intercept, count: isAnomaly.count)
        for (part, coefficient) in zip(parts, coefficients) where coefficient > 0 {
            for row in logits.indices { logits[row] += coefficient * Double(part[row]) }
        }
    }

    var size: Double { logits.reduce(0) { $0 + abs($1) } }

    mutating func step(_ place: Int, centre: Double, firmness: Double) {
        let part = parts[place]
        let old = coefficients[place]
        let slopes = slopes(reach[place]) { Double(part[$0]) }
        let first = slopes.first + 2 * firmness * (old - centre)
        let second = slopes.second + 2 * firmness
        let step = max(bounded(-first / second, place), -old)
        guard step != 0 else { return }
        coefficients[place] = old + step
        move(step) { Double(part[$0]) }
    }

    mutating func stepIntercept() {
        let slopes = slopes(reach[parts.count]) { _ in 1 }
        guard slopes.second > 0 else { return }
        let step = bounded(-slopes.first / slopes.second, parts.count)
        intercept += step
        move(step) { _ in 1 }
    }

    private mutating func bounded(_ step: Double, _ place: Int) -> Double {
        let bounded = min(max(step, -reach[place]), reach[place])
        reach[place] = max(2 * abs(bounded), reach[place] / 2)
        return bounded
    }

    private mutating func move(_ step: Double, _ part: (Int) -> Double) {
        for row in logits.indices {
            let change = step * part(row)
            logits[row] += change
            moved += abs(change)
        }
    }

    /// The first derivative of the negative log-likelihood along a member, and a bound of the second one within reach.
    private func slopes(_ reach: Double, _ part: (Int) -> Double) -> (first: Double, second: Double) {
        var first = 0.0
        var second = 0.0
        for row in logits.indices {
            let value = part(row)
            let logit = logits[row]
            first += (DeterministicMath.logistic(logit) - (isAnomaly[row] ? 1 : 0)) * value
            let distance = abs(logit) - reach * value
            var curvature = 0.25
            if distance > 0 {
                let ratio = DeterministicMath.exp(distance)
                curvature = 1 / (2 + ratio + 1 / ratio)
            }
            second += curvature * value * value
        }
        return (first, second)
    }
}
