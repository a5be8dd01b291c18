import DetectorAPI
import Exact
import Features
import Foundation
import Testing

@testable import Models

/// A severity says how rare a score is among its model's training scores, in the same way for every model.
@Suite struct SeverityTests {
    /// Scores whose lower tail is that of the standard exponential distribution, in a scrambled order.
    private func exponential(_ count: Int, seed: UInt64 = 1, unit: Double = 1) -> [Double] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in unit * DeterministicMath.log(generator.unit() + 0x1p-54) }
    }

    private func scale(_ scores: [Double]) throws -> SeverityScale {
        SeverityScale(try #require(SeverityTable(trainingScores: scores)))
    }

    /// d / (d + 2), where one in 10^d scores as low.
    private func severity(oneIn rows: Double) -> Double {
        let digits = DeterministicMath.log(rows) / DeterministicMath.log(10)
        return digits / (digits + 2)
    }

    @Test("one in ten, in a hundred, in a million: the tail goes on where the training scores end")
    func tailProbabilities() throws {
        let scale = try scale(exponential(100_000))
        for (rows, tolerance) in [
            (10.0, 0.005), (100, 0.005), (1_000, 0.01), (100_000, 0.02), (1e6, 0.03), (1e9, 0.05),
        ] {
            let score = -DeterministicMath.log(rows)
            #expect(abs(scale.severity(of: score) - severity(oneIn: rows)) < tolerance)
        }
        #expect(abs(severity(oneIn: 100) - 0.5) < 1e-12)
    }

    @Test("a heavy tail is told from a light one")
    func heavyTail() throws {
        // Scores below -x for one row in x^3: shape 1/3.
        func root(_ logarithm: Double) -> Double { exp(logarithm / 3) }
        let scores = exponential(100_000).map { -root(-$0) }
        let scale = try scale(scores)
        for rows in [1e3, 1e6, 1e9] {
            let score = -root(DeterministicMath.log(rows))
            #expect(abs(scale.severity(of: score) - severity(oneIn: rows)) < 0.03)
        }
    }

    @Test("models with other units of score, and other numbers of rows, agree")
    func sameScale() throws {
        let one = try scale(exponential(50_000))
        for (count, unit, tolerance) in [(50_000, 1e-6, 0.02), (2_000, 300, 0.06), (100, 1, 0.1)] {
            let other = try scale(exponential(count, seed: 2, unit: unit))
            for score in stride(from: -0.5, through: -14, by: -0.25) {
                #expect(abs(one.severity(of: score) - other.severity(of: score * unit)) < tolerance)
            }
        }
    }

    @Test("lower scores are never less severe, within 0 and 1, however strange the training scores")
    func monotone() throws {
        let tables: [[Double]] = [
            exponential(1_000), exponential(7), [-0.5], [-0.5, -0.5, -0.5], [0], [-0.4, -0.5],
            (0..<500).map { $0 < 450 ? -0.25 : -0.75 }, (0..<500).map { $0 < 1 ? -1e30 : 0 },
            exponential(300) + [.nan, .infinity, -.infinity, -.greatestFiniteMagnitude],
            (0..<10_000).map { -1 + 1e-12 * Double($0) },
        ]
        for scores in tables {
            let scale = try scale(scores)
            var last = 0.0
            let finite = scores.filter(\.isFinite)
            let tried = finite + [1e308, 1, -1e3, -1e100, -1e300, -.greatestFiniteMagnitude]
            for score in tried.sorted(by: >) {
                let severity = scale.severity(of: score)
                #expect((last...1).contains(severity))
                last = severity
            }
        }
        #expect(SeverityTable(trainingScores: []) == nil)
        #expect(SeverityTable(trainingScores: [.nan]) == nil)
    }

    @Test("scores beyond the lowest training score keep their order")
    func orderIsKeptBeyondTheTable() throws {
        for scores in [exponential(200), [-0.5, -0.5], exponential(50_000, unit: 0.01)] {
            let scale = try scale(scores)
            let lowest = scores.min() ?? 0
            let step = max(abs(lowest), 0.01) / 16
            let severities = (0..<20).map { scale.severity(of: lowest - Double($0) * step) }
            for (one, next) in zip(severities, severities.dropFirst()) { #expect(one < next) }
        }
    }

    /// The verdicts of a year ago have to come out again, whatever the machine.
    @Test func bitsAreFixed() throws {
        let table = try #require(
            SeverityTable(
                rows: 1_000, scores: [-0.375, -0.4375, -0.5, -0.625], ranks: [1_999, 1_000, 200, 20],
                scale: 0.03125, shape: 0.125))
        let scale = SeverityScale(table)
        let bits = [-0.25, -0.375, -0.4, -0.5, -0.5625, -0.625, -0.75, -1, -2].map {
            scale.severity(of: $0).bitPattern
        }
        #expect(bits == Self.expectedBits)
    }

    private static let expectedBits: [UInt64] = [
        0, 4_547_640_876_888_868_595, 4_588_353_055_090_441_964, 4_599_676_419_421_066_581,
        4_601_392_076_421_969_627, 4_602_678_819_172_646_912, 4_603_851_803_615_270_884,
        4_604_674_679_093_647_233, 4_605_467_301_955_259_927,
    ]

    @Test(
        "tables that say nothing are refused",
        arguments: [
            ([-0.5], [0], 1.0, 0.0), ([-0.5], [21], 1, 0), ([-0.5], [20], 0, 0), ([-0.5], [20], .nan, 0),
            ([-0.5], [20], 1, .leastNonzeroMagnitude), ([-0.5], [20], 1, -1), ([-0.5], [20], 1, 2),
            ([-0.5], [20], 1, .nan),
            ([], [], 1, 0), ([-0.5, -0.5], [20, 10], 1, 0), ([-0.5, -0.6], [20, 20], 1, 0),
            ([-0.5, -0.6], [20], 1, 0), ([.nan], [20], 1, 0), ([-.infinity], [20], 1, 0),
        ] as [([Double], [Int], Double, Double)])
    func refused(scores: [Double], ranks: [Int], scale: Double, shape: Double) {
        #expect(SeverityTable(rows: 10, scores: scores, ranks: ranks, scale: scale, shape: shape) == nil)
    }
}
