import Exact
import Foundation
import Randomness
import Testing

@testable import Features

/// Against the platform's libm, which may be off by an ulp itself.
@Suite struct DeterministicMathTests {
    /// Distance in units of the last place of the expected value.
    private func ulps(_ value: Double, _ expected: Double) -> Double {
        (value - expected).magnitude / expected.ulp
    }

    @Test func signedLogarithmOfOneMore() {
        var random = Randomness()
        var worst = 0.0
        for _ in 0..<40_000 {
            let x = exp(Double.random(in: -80...230, using: &random))
            worst = max(worst, ulps(DeterministicMath.signedLog1p(x), log1p(x)))
            if DeterministicMath.signedLog1p(-x) != -DeterministicMath.signedLog1p(x) { worst = .infinity }
        }
        print("log1p: \(worst) ulp")
        #expect(worst <= 3)
        #expect(DeterministicMath.signedLog1p(0) == 0)
    }

    @Test func sineAndCosineOfDegrees() {
        var random = Randomness()
        var worst = 0.0
        for _ in 0..<40_000 {
            // Reduced in degrees, which is exact, before libm's own reduction adds its error.
            let degrees = Double.random(in: -45...45, using: &random)
            let radians = degrees * .pi / 180
            worst = max(worst, ulps(DeterministicMath.sineDegrees(degrees), sin(radians)))
            worst = max(worst, ulps(DeterministicMath.cosineDegrees(degrees), cos(radians)))
            for turn in [90.0, 180, 270, 360, -90] {
                let exact = degrees + turn
                guard exact - turn == degrees else { continue }
                let expected = turn == 180 ? -sin(radians) : turn == 360 ? sin(radians) : nil
                guard let expected else { continue }
                worst = max(worst, ulps(DeterministicMath.sineDegrees(exact), expected))
            }
        }
        print("sine: \(worst) ulp")
        #expect(worst <= 3)
        #expect([0.0, 90, 180, 270, -90].map { DeterministicMath.sineDegrees($0) } == [0, 1, 0, -1, -1])
        #expect([0.0, 90, 180, 270, -90].map { DeterministicMath.cosineDegrees($0) } == [1, 0, -1, 0, 0])
    }

    @Test func chordAgreesWithVectors() {
        var random = Randomness()
        var worst = 0.0
        let vector = { (latitude: Double, longitude: Double) in
            let (a, b) = (latitude * .pi / 180, longitude * .pi / 180)
            return SIMD3(cos(a) * cos(b), cos(a) * sin(b), sin(a))
        }
        for _ in 0..<20_000 {
            let place = { (random: inout Randomness) in
                (Double.random(in: -90...90, using: &random), Double.random(in: -180...180, using: &random))
            }
            let (a, b) = (place(&random), place(&random))
            let difference = vector(a.0, a.1) - vector(b.0, b.1)
            let expected = 6371.0088 * (difference * difference).sum().squareRoot()
            let chord = DeterministicMath.chordKilometres(
                latitude1: a.0, longitude1: a.1, latitude2: b.0, longitude2: b.1)
            worst = max(worst, (chord - expected).magnitude)
        }
        #expect(worst < 1e-9)
    }
}
