import Testing

@testable import Training

/// Against values worked out by hand. Lower scores are more anomalous.
@Suite struct ScoreMetricsTests {
    @Test func aurocIsTheShareOfPairsInTheRightOrder() {
        // Anomalies 1, 4; normal rows 2, 3, 5: of six pairs (1,2) (1,3) (1,5) (4,5) are right.
        let scores = [1.0, 2, 3, 4, 5]
        let anomalous = [true, false, false, true, false]
        #expect(ScoreMetrics.auroc(scores, anomalous: anomalous) == 4.0 / 6)
        #expect(ScoreMetrics.auroc([1, 2], anomalous: [true, false]) == 1)
        #expect(ScoreMetrics.auroc([2, 1], anomalous: [true, false]) == 0)
    }

    @Test func tiesCountHalfForAUROC() {
        // Anomalies 1, 2; normal rows 1, 2, 3: pairs 1-1 half, 1-2 and 1-3 right, 2-1 wrong, 2-2 half, 2-3 right.
        let auroc = ScoreMetrics.auroc([1, 2, 1, 2, 3], anomalous: [true, true, false, false, false])
        #expect(auroc == 4.0 / 6)
        #expect(ScoreMetrics.auroc([7, 7, 7, 7], anomalous: [true, false, true, false]) == 0.5)
    }

    @Test func aurocNeedsBothKinds() {
        #expect(ScoreMetrics.auroc([], anomalous: []) == nil)
        #expect(ScoreMetrics.auroc([1, 2], anomalous: [true, true]) == nil)
        #expect(ScoreMetrics.auroc([1, 2], anomalous: [false, false]) == nil)
    }

    @Test func aurocAgreesWithCountingPairs() {
        var random = TestRandom(seed: 5)
        for _ in 0..<50 {
            let scores = (0..<40).map { _ in Double(random.below(12)) }
            let anomalous = (0..<40).map { _ in random.below(3) == 0 }
            guard anomalous.contains(true), anomalous.contains(false) else { continue }
            var right = 0.0
            var pairs = 0.0
            for a in 0..<40 where anomalous[a] {
                for b in 0..<40 where !anomalous[b] {
                    right += scores[a] < scores[b] ? 1 : scores[a] == scores[b] ? 0.5 : 0
                    pairs += 1
                }
            }
            let auroc = ScoreMetrics.auroc(scores, anomalous: anomalous)
            #expect(abs((auroc ?? -1) - right / pairs) < 1e-12)
        }
    }

    @Test func averagePrecisionSumsPrecisionAtEachRecall() {
        // Found at places 1 and 4: (1/1 + 2/4) / 2.
        let anomalous = [true, false, false, true, false]
        #expect(ScoreMetrics.averagePrecision([1, 2, 3, 4, 5], anomalous: anomalous) == 0.75)
        #expect(ScoreMetrics.averagePrecision([1, 2], anomalous: [false, false]) == nil)
    }

    @Test func tiedRowsComeTogetherInAveragePrecision() {
        // One threshold takes all four rows: precision 2/4 at full recall.
        #expect(ScoreMetrics.averagePrecision([1, 1, 1, 1], anomalous: [true, false, true, false]) == 0.5)
        // First the two at 1 (precision 1/2, recall 1/2), then all three (precision 2/3).
        let precision = ScoreMetrics.averagePrecision([1, 1, 2], anomalous: [true, false, true])
        #expect(abs((precision ?? 0) - (0.5 * 0.5 + 0.5 * 2 / 3)) < 1e-15)
    }

    @Test func precisionLooksAtTheLowestScores() {
        let anomalous = [true, false, true, false]
        #expect(ScoreMetrics.precision([4, 1, 2, 3], anomalous: anomalous, count: 2) == 0.5)
        #expect(ScoreMetrics.precision([4, 1, 2, 3], anomalous: anomalous, count: 4) == 0.5)
        #expect(ScoreMetrics.precision([4, 1, 2, 3], anomalous: anomalous, count: 5) == nil)
        #expect(ScoreMetrics.precision([1], anomalous: [true], count: 0) == nil)
    }

    @Test func tiedRowsShareThePrecision() {
        // Two of the three at 1 are taken, whichever: 2/3 of an anomaly of theirs, and the one at 0.
        let (scores, anomalous) = ([1.0, 0, 1, 1, 2], [true, true, false, false, false])
        let precision = (1 + 2.0 / 3) / 3
        #expect(ScoreMetrics.precision(scores, anomalous: anomalous, count: 3) == precision)
        #expect(
            ScoreMetrics.precision(scores.reversed(), anomalous: anomalous.reversed(), count: 3) == precision)
    }

    @Test func thresholdLeavesTheBudgetBelowIt() {
        let scores = (0..<200).map { Double(($0 * 37) % 200) }
        let threshold = ScoreMetrics.threshold(scores, contamination: 0.05)
        #expect(threshold == 10)
        #expect(scores.count { $0 < threshold } == 10)
        // Fewer than one row in the budget: nothing is below.
        #expect(ScoreMetrics.threshold([3, 1, 2], contamination: 0.01) == 1)
        // Ties never pass the budget.
        #expect([1, 1, 1, 5].count { $0 < ScoreMetrics.threshold([1, 1, 1, 5], contamination: 0.5) } == 0)
        #expect(ScoreMetrics.threshold([], contamination: 0.1).isFinite)
    }

    @Test func weightedRowsFillTheBudgetByTheirWeights() {
        let scores = (0..<200).map { Double(($0 * 37) % 200) }
        let ones = [Double](repeating: 1, count: 200)
        for budget in [0.001, 0.05, 0.333, 0.5] {
            #expect(
                ScoreMetrics.threshold(scores, weights: ones, contamination: budget)
                    == ScoreMetrics.threshold(scores, contamination: budget))
        }
        // 1.5 + 1.5 of 30 are within 0.12 of them; the third would be beyond it.
        let weights = scores.map { $0 < 3 ? 1.5 : 25.5 / 197 }
        #expect(ScoreMetrics.threshold(scores, weights: weights, contamination: 0.12) == 2)
        #expect(ScoreMetrics.threshold([3, 1, 2], weights: [1, 1, 1], contamination: 0.01) == 1)
        #expect(ScoreMetrics.threshold([], weights: [], contamination: 0.1).isFinite)
    }

    @Test func rankCorrelationSeesOrderOnly() throws {
        #expect(ScoreMetrics.rankCorrelation([1, 2, 3], [10, 200, 3_000]) == 1)
        #expect(ScoreMetrics.rankCorrelation([1, 2, 3], [3, 2, 1]) == -1)
        // Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
        let tied = try #require(ScoreMetrics.rankCorrelation([1, 2, 2, 3], [1, 2, 3, 4]))
        #expect(abs(tied - 4.5 / (4.5 * 5).squareRoot()) < 1e-12)
        #expect(ScoreMetrics.rankCorrelation([1, 1], [1, 2]) == nil)
    }

    @Test func stabilityIndexIsNothingForTheSameAndLargeForAShift() throws {
        let scores = (0..<1_000).map { Double($0) }
        let same = try #require(ScoreMetrics.stabilityIndex(reference: scores, current: scores))
        #expect(same < 1e-9)
        let moved = try #require(
            ScoreMetrics.stabilityIndex(reference: scores, current: scores.map { $0 + 500 }))
        #expect(moved > 0.25)
        // Two bins, 3 and 1 of the reference, 1 and 3 of the current rows, half a row more in each bin.
        let index = try #require(
            ScoreMetrics.stabilityIndex(reference: [1, 1, 2, 2], current: [1, 2, 2, 2], bins: 2))
        let (p, q) = ([2.5 / 5, 2.5 / 5], [1.5 / 5, 3.5 / 5])
        var expected = 0.0
        for bin in 0..<2 { expected += (q[bin] - p[bin]) * logarithm(q[bin] / p[bin]) }
        #expect(abs(index - expected) < 1e-12)
        #expect(ScoreMetrics.stabilityIndex(reference: [], current: [1]) == nil)
        #expect(ScoreMetrics.stabilityIndex(reference: [1, 1], current: [1, 1]) == 0)
    }
}
