import Testing

@testable import Training

/// The measures against values worked out by hand. Lower scores are more anomalous.
@Suite struct MetricsTests {
    @Test func perfectReversedAndRandomOrder() {
        let labels = [true, true, false, false]
        #expect(ScoreMetrics.auroc([1, 2, 3, 4], anomalous: labels) == 1)
        #expect(ScoreMetrics.auroc([4, 3, 2, 1], anomalous: labels) == 0)
        #expect(ScoreMetrics.auroc([1, 1, 1, 1], anomalous: labels) == 0.5)
        #expect(ScoreMetrics.auroc([1, 2], anomalous: [true, true]) == nil)
    }

    @Test func tiesCountHalf() {
        // Pairs: (1,2) won, (1,2) won, (2,2) tied, (2,2) tied: (1 + 1 + 0.5 + 0.5) / 4.
        #expect(ScoreMetrics.auroc([1, 2, 2, 2], anomalous: [true, true, false, false]) == 0.75)
    }

    @Test func averagePrecisionStepByStep() {
        // Found at ranks 1 and 3: (1/1 + 2/3) / 2.
        let value = ScoreMetrics.averagePrecision([1, 2, 3, 4], anomalous: [true, false, true, false])
        #expect(abs((value ?? 0) - 5.0 / 6) < 1e-12)
        // Tied rows come together: both at precision 2/4.
        #expect(ScoreMetrics.averagePrecision([1, 1, 1, 1], anomalous: [true, true, false, false]) == 0.5)
        #expect(ScoreMetrics.averagePrecision([1], anomalous: [false]) == nil)
    }

    @Test func precisionAndThreshold() {
        #expect(ScoreMetrics.precision([3, 1, 2], anomalous: [false, true, false], count: 2) == 0.5)
        let scores = (0..<100).map(Double.init)
        let threshold = ScoreMetrics.threshold(scores, contamination: 0.05)
        #expect(scores.count { $0 < threshold } == 5)
        #expect(ScoreMetrics.threshold([], contamination: 0.1).isFinite)
    }

    @Test func rankCorrelation() {
        #expect(ScoreMetrics.rankCorrelation([1, 2, 3], [10, 20, 30]) == 1)
        #expect(ScoreMetrics.rankCorrelation([1, 2, 3], [3, 2, 1]) == -1)
        #expect(ScoreMetrics.rankCorrelation([1, 1, 1], [3, 2, 1]) == nil)
    }
}
