import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

@Suite struct ScoringTests {
    /// Shapes that reach every kernel: few, 32, 64 and 128 keys and more, and one to three layers of blocks.
    static let shapes: [(columns: Int, sample: Int)] = [
        (1, 256), (3, 2), (8, 1), (10, 256), (16, 16), (17, 100), (32, 256), (33, 64), (64, 256), (65, 300),
        (129, 256), (4, 5000),
    ]

    @Test(arguments: shapes) func vectorAndPortableWalksGiveTheSameBits(columns: Int, sample: Int) throws {
        for step in [7, 1_000_000_000] {
            let table = Table.bells(rows: 700, columns: columns).missing(every: step)
            let bytes = try table.fit(["max_samples": .integer(sample), "n_estimators": .integer(20)])
                .encode()
            let artifact = ArtifactBytes(copying: bytes)
            let best = try table.scores(ForestModel(decoding: artifact, walk: .best))
            for walk in ForestWalk.all {
                #expect(try table.scores(ForestModel(decoding: artifact, walk: walk)) == best)
            }
            #expect(try best == table.explained(ForestModel(decoding: artifact)).scores)
        }
    }

    @Test func aRowsScoreDependsOnThatRowAlone() throws {
        let table = Table.bells(rows: 1000, columns: 6).missing(every: 31)
        let model = try table.fit()
        let together = try table.scores(model)
        var generator = SeededGenerator(seed: 5)
        var order = Array(0..<table.count)
        order.shuffle(using: &generator)
        let shuffled = Table(
            values: order.flatMap { table.values[$0 * 6..<($0 + 1) * 6] }, columns: 6)
        let scores = try shuffled.scores(model)
        for (place, row) in order.enumerated() { #expect(scores[place] == together[row]) }
        for size in [1, 2, 3, 15, 16, 17, 100] {
            for first in stride(from: 0, to: 300, by: size) {
                let rows = first..<first + size
                let part = Table(values: Array(table.values[first * 6..<(first + size) * 6]), columns: 6)
                #expect(try part.scores(model) == Array(together[rows]))
            }
        }
    }

    /// A batch is scored in parts, and memory for keys serves one part after another.
    @Test func gapsInAPartOfABatchDoNotReachTheOthers() throws {
        let plain = Table.bells(rows: 1000, columns: 6)
        var table = plain
        for row in [3, 500] { table.values[row * 6 + row % 6] = .nan }
        let artifact = ArtifactBytes(copying: try plain.fit().encode())
        for walk in ForestWalk.all {
            let model = try ForestModel(decoding: artifact, walk: walk)
            let expected = try plain.scores(model)
            let scores = try table.scores(model)
            for row in 0..<1000 where row != 3 && row != 500 { #expect(scores[row] == expected[row]) }
            for row in [3, 500] {
                let alone = Table(values: Array(table.values[row * 6..<row * 6 + 6]), columns: 6)
                #expect(try alone.scores(model) == [scores[row]])
            }
        }
    }

    @Test func manyThreadsScoreAsOneDoes() async throws {
        let table = Table.bells(rows: 2000, columns: 8)
        let model = try table.fit()
        let expected = try table.scores(model)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 { group.addTask { try table.scores(model) == expected } }
            for try await same in group { #expect(same) }
        }
    }

    @Test func aRowFarFromTheRestScoresLowest() throws {
        var table = Table.bells(rows: 1000, columns: 5)
        for column in 0..<5 { table.values[500 * 5 + column] = 9 }
        let scores = try table.scores(table.fit())
        #expect(scores.indices.min { scores[$0] < scores[$1] } == 500)
        #expect(scores.allSatisfy { $0 < 0 && $0 >= -1 })
    }

    @Test func infinitiesCountAsTheGreatestNumbers() throws {
        let model = try Table.bells(rows: 500, columns: 2).fit()
        let greatest = Float.greatestFiniteMagnitude
        let infinite = try Table(values: [.infinity, 0, -.infinity, 0], columns: 2).scores(model)
        let finite = try Table(values: [greatest, 0, -greatest, 0], columns: 2).scores(model)
        #expect(infinite == finite)
    }

    @Test func aGapNeverLooksMoreUnusualThanTheWorstValue() throws {
        let model = try Table.bells(rows: 2000, columns: 3).fit()
        let scores = try Table(values: [0, 0, 0, .nan, 0, 0, .nan, .nan, .nan, 9, 0, 0], columns: 3).scores(
            model)
        #expect(scores[1] > scores[3] && scores[2] > scores[3])
        #expect(scores.allSatisfy { $0.isFinite })
    }

    @Test func missingValuesGoWithTheMajority() throws {
        // One column, nine of ten rows around 0 and the others around 40.
        var table = Table.bells(rows: 500, columns: 1)
        for row in stride(from: 0, to: 500, by: 10) { table.values[row] += 40 }
        for mode in ["standard", "guided"] {
            let model = try table.fit(["mode": .text(mode)])
            let scores = try Table(values: [.nan, 0, 40, 90], columns: 1).scores(model)
            #expect(abs(scores[0] - scores[1]) < 0.1)
            #expect(scores[0] > scores[2] && scores[2] > scores[3])
        }
    }

    @Test func rowsOfAnotherWidthAreRefused() throws {
        let model = try Table.bells(rows: 100, columns: 3).fit()
        #expect(throws: DetectorError.self) { try Table.bells(rows: 10, columns: 4).scores(model) }
        #expect(try Table(values: [], columns: 3).scores(model) == [])
    }
}
