import DetectorAPI
import Glibc
import TestTables
import Testing

@testable import ZScoreBaseline

@Suite struct ZScoreTests {
    static let options: [[String: ParameterValue]] = [true, false].flatMap { robust in
        ["sum", "largest"].map { ["robust": .boolean(robust), "combine": .text($0)] }
    }

    @Test(arguments: options) func unusualRowsScoreLower(options: [String: ParameterValue]) throws {
        var table = Table.unlikeBells(rows: 2000, columns: 5)
        for column in 0..<5 { table.values[700 * 5 + column] = 500 }
        let scores = try table.scores(table.fit(options))
        #expect(scores.indices.min { scores[$0] < scores[$1] } == 700)
        #expect(scores.allSatisfy { $0 <= 0 && $0 > -1 })
    }

    @Test(arguments: options) func usualRowsScoreNearAHalf(options: [String: ParameterValue]) throws {
        for columns in [1, 2, 5, 40] {
            let table = Table.unlikeBells(rows: 2000, columns: columns)
            let mean = try table.scores(table.fit(options)).reduce(0, +) / 2000
            #expect(abs(mean + 0.45) < 0.1)
        }
    }

    @Test(arguments: options) func contributionsSumAndNameTheFeature(options: [String: ParameterValue]) throws
    {
        var table = Table.unlikeBells(rows: 500, columns: 6).missing(every: 13)
        table.values[100 * 6 + 4] = -400
        let model = try table.fit(options)
        let (scores, contributions) = try table.explained(model)
        #expect(try scores == table.scores(model))
        let expected = (model as? any Explaining)?.expectedScore ?? 0
        for row in 0..<500 {
            let own = contributions[row]
            #expect(abs(own.reduce(0, +) - (scores[row] - expected)) < 1e-9)
            for column in 0..<6 where table.values[row * 6 + column].isNaN { #expect(own[column] == 0) }
        }
        let odd = contributions[100]
        #expect(odd.indices.min { odd[$0] < odd[$1] } == 4)
    }

    /// Four rows are scored together, and products that a Double cannot hold take another way: the bits are those of
    /// explaining, which looks at each row and column by itself.
    @Test(arguments: options) func scoresAreTheSameHoweverManyRowsAreTogether(
        options: [String: ParameterValue]
    ) throws {
        var table = Table.unlikeBells(rows: 60, columns: 39).missing(every: 7)
        for row in 0..<60 { table.values[row * 39 + 3] = row == 0 ? 9 : 8 }
        for row in 0..<60 { table.values[row * 39 + 9] = .nan }
        let model = try table.fit(options)
        for place in 39..<78 { table.values[place] = place % 3 == 0 ? -.greatestFiniteMagnitude : 1e30 }
        for place in 78..<88 { table.values[place] = .infinity }
        let whole = try table.explained(model).scores
        #expect(whole[1] < whole[5])
        for count in 0...9 {
            for first in [0, 1, 2, 30] {
                let part = Table(
                    values: Array(table.values[first * 39..<(first + count) * 39]), columns: 39)
                #expect(try part.scores(model) == Array(whole[first..<first + count]))
            }
        }
    }

    /// Of flags the median is found by counting, of which the first value may be the common or the rare one.
    @Test func flagsHaveTheMedianOfTheMany() throws {
        for (first, rest) in [
            ([Float](), [Float](repeating: 0, count: 61)), ([1], Array(repeating: 0, count: 60)),
        ] {
            for flags in [1, 20] {
                let values = first + rest + Array(repeating: Float(1), count: flags)
                let model = try Table(values: values, columns: 1).fit() as? ZScoreModel
                let ones = Double(values.count { $0 == 1 })
                #expect(model?.features[0].mean == 0)
                let expected = Float(ones / Double(values.count) * 1.2533141373155003)
                #expect(model?.features[0].spread == Double(expected))
            }
        }
    }

    @Test(arguments: options) func decodingGivesTheSameScoresAndBytes(options: [String: ParameterValue])
        throws
    {
        let table = Table.unlikeBells(rows: 300, columns: 30).missing(every: 9)
        let model = try table.fit(options)
        let bytes = model.encode()
        let decoded = try ZScoreBaseline().decode(ArtifactBytes(copying: bytes))
        #expect(try table.scores(decoded) == table.scores(model))
        #expect(decoded.encode() == bytes)
        #expect(try table.fit(options).encode() == bytes)
    }

    @Test(arguments: options) func strangeRowsScoreToo(options: [String: ParameterValue]) throws {
        let greatest = Float.greatestFiniteMagnitude
        var table = Table.unlikeBells(rows: 200, columns: 3)
        for row in 0..<200 { table.values[row * 3 + 1] = 4 }
        let model = try table.fit(options)
        let strange: [Float] = [
            .nan, .nan, .nan, .infinity, 4, 20, greatest, 4, 20, -.infinity, -.infinity, -.infinity,
            0, 5, 20, 0, 4, 20, -0.0, 4, 20,
        ]
        let scores = try Table(values: strange, columns: 3).scores(model)
        #expect(scores[0] == -0.5)
        #expect(scores[1] == scores[2])
        #expect(scores[4] < scores[5], "a value apart from a constant column is unusual")
        #expect(scores[5] == scores[6])
        #expect(scores.allSatisfy { $0 <= 0 && $0 > -1 })
        for values in [[Float.nan, .nan], [1e38, -1e38], [3]] {
            let few = Table(values: values, columns: 1)
            #expect(try few.scores(few.fit(options)).allSatisfy { $0.isFinite })
        }
        #expect(throws: DetectorError.self) { try Table(values: [], columns: 2).fit(options) }
    }

    @Test func momentsAreThoseOfTheRowsHoweverTheyAreSplit() throws {
        let table = Table.unlikeBells(rows: 10_001, columns: 1)
        let values = table.values.map(Double.init)
        let mean = values.reduce(0, +) / 10_001
        let spread = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        var one = FeatureMoments()
        for value in values { one.add(value) }
        var parts = FeatureMoments()
        for first in stride(from: 0, to: values.count, by: 1234) {
            var part = FeatureMoments()
            for value in values[first..<min(first + 1234, values.count)] { part.add(value) }
            parts.merge(part)
        }
        for moments in [one, parts] {
            #expect(moments.count == 10_001)
            #expect(abs(moments.mean - mean) < 1e-10)
            #expect(abs(moments.spread - spread) < 1e-6)
        }
        guard let model = try table.fit(["robust": .boolean(false)]) as? ZScoreModel else { return }
        #expect(abs(model.features[0].mean - mean) < 1e-10 && abs(model.features[0].spread - spread) < 1e-6)
    }

    @Test func mediansIgnoreWhatIsFarOff() throws {
        var table = Table.unlikeBells(rows: 999, columns: 2)
        for row in 0..<300 { table.values[2 * row] = 1e30 }
        let model = try table.fit() as? ZScoreModel
        #expect(abs(model?.features[0].mean ?? 99) < 1.5)
        #expect((model?.features[0].spread ?? 99) < 3)
        #expect(abs((model?.features[1].mean ?? 0) - 10) < 0.3)
        #expect(abs((model?.features[1].spread ?? 0) - 2) < 0.3)
    }

    @Test(arguments: [true, false]) func learningApproachesFitting(robust: Bool) throws {
        let options: [String: ParameterValue] = ["robust": .boolean(robust)]
        let table = Table.unlikeBells(rows: 6000, columns: 2).missing(every: 17)
        let first = Table(values: Array(table.values[..<400]), columns: 2)
        guard let start = try first.fit(options) as? any Updating,
            let all = try table.fit(options) as? ZScoreModel
        else { return }
        let before = start.encode()
        let learner = start.makeLearner()
        try table.withRows { rows in
            for row in 200..<rows.count { try learner.learn(rows[row]) }
        }
        #expect(start.encode() == before)
        guard let learned = learner.model() as? ZScoreModel else { return }
        for column in 0..<2 {
            #expect(learned.features[column].count == all.features[column].count)
            let tolerance = robust ? 0.15 : 1e-9
            #expect(abs(learned.features[column].mean - all.features[column].mean) < tolerance)
            let ratio = learned.features[column].spread / all.features[column].spread
            #expect(abs(ratio - 1) < (robust ? 0.08 : 1e-9), "\(ratio)")
        }
        let wrong: [Float] = [1]
        #expect(throws: DetectorError.self) { try wrong.withUnsafeBufferPointer { try learner.learn($0) } }
    }

    @Test func damagedArtifactsAreRefusedOrHarmless() throws {
        let table = Table.unlikeBells(rows: 60, columns: 3)
        let original = try table.fit().encode()
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<10_000 {
            var bytes = original
            switch generator.below(8) {
            case 0: bytes.removeLast(1 + generator.below(bytes.count))
            case 1: bytes.append(7)
            default:
                for _ in 0...generator.below(3) {
                    bytes[generator.below(bytes.count)] = UInt8(generator.below(256))
                }
            }
            guard let model = try? ZScoreBaseline().decode(ArtifactBytes(copying: bytes)), model.columns == 3
            else { continue }
            #expect(try table.scores(model).allSatisfy { $0.isFinite && $0 <= 0 && $0 >= -1 })
        }
    }

    @Test func cancellingStopsTheFit() throws {
        for options in Self.options {
            let context = FitContext(
                seed: 1, parameters: try ZScoreBaseline().info.checked(options), columns: [],
                isCancelled: { true })
            #expect(throws: DetectorError.cancelled) {
                try Table.unlikeBells(rows: 100, columns: 2).withRows {
                    try ZScoreBaseline().fit($0, labels: nil, context: context)
                }
            }
        }
    }
}
