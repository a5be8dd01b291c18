import Glibc
import Testing

@testable import IsolationForest

@Suite struct PathLengthTests {
    @Test func powerOfTwoAgreesWithTheCLibrary() {
        for step in 0...100_000 {
            let x = -Double(step) / 1000
            #expect(abs(PathLength.powerOfTwo(x) - exp2(x)) <= 5e-16 * exp2(x))
        }
        #expect(PathLength.powerOfTwo(0) == 1)
        #expect(PathLength.powerOfTwo(-1) == 0.5)
    }

    /// scikit-learn's `_average_path_length`.
    @Test func averagePathLengthIsThatOfThePaper() {
        #expect(PathLength.average(0) == 0)
        #expect(PathLength.average(1) == 0)
        #expect(PathLength.average(2) == 1)
        #expect(abs(PathLength.average(5) - 2.327020052042847) < 1e-12)
        for count in 3...70_000 {
            let n = Double(count)
            let expected = 2 * (log(n - 1) + 0.5772156649015329) - 2 * (n - 1) / n
            #expect(abs(PathLength.average(count) - expected) < 1e-12)
        }
    }

    @Test func scoreIsAHalfAtTheAverageAndForASampleOfOneRow() {
        let normaliser = PathLength.average(256)
        #expect(
            abs(PathLength.score(sum: normaliser * 100, trees: 100, normaliser: normaliser) + 0.5) < 1e-15)
        #expect(PathLength.score(sum: Int64(0), trees: 100, normaliser: 0) == -0.5)
        #expect(PathLength.score(sum: Int64(0), trees: 1, normaliser: normaliser) == -1)
    }
}
