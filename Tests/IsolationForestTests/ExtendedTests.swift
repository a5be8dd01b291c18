import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

@Suite struct ExtendedTests {
    static let given: [String: ParameterValue] = ["mode": .text("extended"), "n_estimators": .integer(50)]

    private func fit(_ table: Table, _ more: [String: ParameterValue] = [:]) throws -> any DetectorModel {
        try table.fit(Self.given.merging(more) { $1 })
    }

    @Test(arguments: [1, 2, 3, 16]) func decodingGivesTheSameScoresAndBytes(dimensions: Int) throws {
        let table = Table.bells(rows: 400, columns: 5).missing(every: 23)
        let model = try fit(table, ["ndim": .integer(dimensions)])
        let bytes = model.encode()
        #expect(try fit(table, ["ndim": .integer(dimensions)]).encode() == bytes)
        let decoded = try IsolationForest().decode(ArtifactBytes(copying: bytes))
        #expect(try table.scores(decoded) == table.scores(model))
        #expect(decoded.encode() == bytes)
    }

    @Test func contributionsSumToTheDifferenceFromTheExpectedScore() throws {
        var table = Table.bells(rows: 600, columns: 4).missing(every: 31)
        table.values[4 * 7 + 2] = 15
        let model = try fit(table)
        let (scores, contributions) = try table.explained(model)
        #expect(try scores == table.scores(model))
        let expected = (model as? any Explaining)?.expectedScore ?? 0
        for (score, row) in zip(scores, contributions) {
            #expect(abs(row.reduce(0, +) - (score - expected)) < 1e-9)
        }
        #expect(contributions[7].indices.min { contributions[7][$0] < contributions[7][$1] } == 2)
    }

    /// A change here changes every model that will be fitted: raise the detector's version with it.
    @Test func aSmallForestHasTheBytesItAlwaysHad() throws {
        let table = Table.bells(rows: 64, columns: 3).missing(every: 17)
        let model = try fit(table, ["n_estimators": .integer(5), "max_samples": .integer(16)])
        #expect(fingerprint(model.encode()) == "c6ffcaac2e30b12")
    }

    @Test func strangeRowsAreScored() throws {
        let greatest = Float.greatestFiniteMagnitude
        var table = Table.bells(rows: 300, columns: 3)
        for row in 0..<300 { table.values[3 * row + 1] = 4 }
        table.values[0] = .infinity
        table.values[3] = -greatest
        table.values[6] = .leastNonzeroMagnitude
        let scores = try table.scores(fit(table))
        #expect(scores.allSatisfy { $0.isFinite && $0 < 0 && $0 >= -1 })
        let same = Table(values: [Float](repeating: 7, count: 90), columns: 3)
        #expect(try Set(same.scores(fit(same))).count == 1)
        let one = Table(values: [1, .nan, 3], columns: 3)
        #expect(try one.scores(fit(one)) == [-0.5])
    }

    @Test func damagedArtifactsAreRefusedOrHarmless() throws {
        let table = Table.bells(rows: 60, columns: 3)
        let original = try fit(table, ["n_estimators": .integer(4), "max_samples": .integer(30)]).encode()
        var generator = SeededGenerator(seed: 5)
        var accepted = 0
        for _ in 0..<5000 {
            var bytes = original
            switch generator.below(10) {
            case 0: bytes.removeLast(1 + generator.below(bytes.count))
            case 1: bytes.append(contentsOf: [1, 2, 3, 4])
            default:
                let end = generator.below(2) == 0 ? 64 : bytes.count
                for _ in 0...generator.below(3) { bytes[generator.below(end)] = UInt8(generator.below(256)) }
            }
            guard let model = try? IsolationForest().decode(ArtifactBytes(copying: bytes)), model.columns == 3
            else { continue }
            accepted += 1
            #expect(try table.scores(model).allSatisfy { $0.isFinite && $0 <= 0 && $0 >= -1 })
            #expect(try table.explained(model).contributions.joined().allSatisfy { $0.isFinite })
        }
        #expect(accepted > 100)
    }
}
