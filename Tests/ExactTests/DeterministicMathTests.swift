import Exact
import Foundation
import Testing

/// Against the platform's libm, which may be off by an ulp itself.
@Suite struct DeterministicMathTests {
    /// Distance in units of the last place of the expected value.
    private func ulps(_ value: Double, _ expected: Double) -> Double {
        (value - expected).magnitude / expected.ulp
    }

    @Test func logarithm() {
        var worst = 0.0
        for step in 1...100_000 {
            let near = 0.5 + Double(step) * 1.5e-5
            let far = exp(Double(step) * 0.014 - 700)
            for x in [near, far] where x != 1 {
                worst = max(worst, ulps(DeterministicMath.log(x), Foundation.log(x)))
            }
        }
        #expect(worst <= 2)
        #expect(DeterministicMath.log(1) == 0)
        #expect(DeterministicMath.log(2) == DeterministicMath.logOfTwo)
    }

    @Test func exponential() {
        for step in -40_000...40_000 {
            let x = Double(step) / 100
            #expect(abs(DeterministicMath.exp(x) / exp(x) - 1) < 5e-16)
        }
        #expect(DeterministicMath.logistic(0) == 0.5)
        #expect(DeterministicMath.exp(1e9).isFinite && DeterministicMath.exp(-1e9) > 0)
    }
}
