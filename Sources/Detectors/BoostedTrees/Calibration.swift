import Exact

/// Turns margins into probabilities: 1 / (1 + e^-(slope x margin + intercept)), which keeps their order.
///
/// J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999, by Newton's method as H.-T. Lin, C.-J. Lin,
/// R. C. Weng, "A Note on Platt's Probabilistic Outputs", Machine Learning 68, 2007, algorithm 1.
struct Calibration: Hashable, Sendable {
    /// Above 0, whatever the rows say: the order is the trees'.
    static let slopes = 0.01...100.0
    private static let maximumSteps = 100

    let slope: Double
    let intercept: Double

    init(slope: Double, intercept: Double) {
        self.slope = slope
        self.intercept = intercept
    }

    /// - Parameters:
    ///   - margins: Of rows that the trees have not seen.
    ///   - isFraud: Both kinds.
    init(margins: [Double], isFraud: [Bool]) {
        let frauds = Double(isFraud.count { $0 })
        let genuine = Double(isFraud.count) - frauds
        // Not 1 and 0: as if there were one more row of each kind, so that a clean separation is not certainty.
        let high = (frauds + 1) / (frauds + 2)
        let low = 1 / (genuine + 2)
        var state = (slope: 1.0, intercept: 0.0)
        var loss = Self.loss(margins, isFraud, high, low, state)
        for _ in 0..<Self.maximumSteps {
            var (first, second) = ((0.0, 0.0), (1e-12, 0.0, 1e-12))
            for (margin, fraud) in zip(margins, isFraud) {
                let probability = Self.logistic(state.slope * margin + state.intercept)
                let difference = probability - (fraud ? high : low)
                let weight = probability * (1 - probability)
                first.0 += difference * margin
                first.1 += difference
                second.0 += weight * margin * margin
                second.1 += weight * margin
                second.2 += weight
            }
            if abs(first.0) < 1e-6 * Double(margins.count), abs(first.1) < 1e-6 * Double(margins.count) {
                break
            }
            let determinant = second.0 * second.2 - second.1 * second.1
            guard determinant > 0 else { break }
            let step = (
                slope: -(second.2 * first.0 - second.1 * first.1) / determinant,
                intercept: -(second.0 * first.1 - second.1 * first.0) / determinant
            )
            var length = 1.0
            var next = state
            var nextLoss = loss
            repeat {
                next = (state.slope + length * step.slope, state.intercept + length * step.intercept)
                nextLoss = Self.loss(margins, isFraud, high, low, next)
                length /= 2
            } while nextLoss > loss && length > 1e-10
            guard nextLoss < loss else { break }
            (state, loss) = (next, nextLoss)
        }
        guard Self.slopes.contains(state.slope), abs(state.intercept) < Self.greatestIntercept else {
            // Margins that tell nothing, or the contrary: as they are, with the share of frauds right.
            self.init(slope: 1, intercept: Self.intercept(margins, share: frauds / Double(isFraud.count)))
            return
        }
        self.init(slope: state.slope, intercept: state.intercept)
    }

    private static let greatestIntercept = 100.0

    /// With which the mean probability is the share of frauds, by halving: it rises with the intercept.
    private static func intercept(_ margins: [Double], share: Double) -> Double {
        var (low, high) = (-greatestIntercept, greatestIntercept)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            let sum = margins.reduce(0) { $0 + logistic($1 + middle) }
            if sum < share * Double(margins.count) { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    func probability(_ margin: Double) -> Double { Self.logistic(slope * margin + intercept) }

    private static func logistic(_ x: Double) -> Double { 1 / (1 + DeterministicMath.exp(-x)) }

    private static func loss(
        _ margins: [Double], _ isFraud: [Bool], _ high: Double, _ low: Double,
        _ state: (slope: Double, intercept: Double)
    ) -> Double {
        var loss = 0.0
        for (margin, fraud) in zip(margins, isFraud) {
            let x = state.slope * margin + state.intercept
            // ln(1 + e^x) - target x, without a large exponential.
            let soft = max(x, 0) + DeterministicMath.log(1 + DeterministicMath.exp(-abs(x)))
            loss += soft - (fraud ? high : low) * x
        }
        return loss
    }
}
