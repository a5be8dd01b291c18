import DetectorAPI
import IsolationForest
import TestTables
import Testing
import ZScoreBaseline

@testable import Ensemble

@Suite struct EnsembleTests {
    /// Rows in two clusters, apart in some of many columns, and two kinds of anomalies: one lies between the clusters, at
    /// everybody's mean; the other is off in a single column.
    private static func twoKinds() -> (Table, between: [Int8], off: [Int8]) {
        var table = Table.bells(rows: 3000, columns: 60)
        var (between, off) = ([Int8](repeating: 0, count: 3000), [Int8](repeating: 0, count: 3000))
        for row in 0..<3000 {
            if row % 200 == 10 {
                between[row] = 1
                continue
            }
            let side: Float = row % 2 == 0 ? 3 : -3
            for column in 0..<16 { table.values[row * 60 + column] += side }
            if row % 200 == 20 {
                table.values[row * 60 + 37] = 2.6
                off[row] = 1
            }
        }
        return (table, between, off)
    }

    @Test func itFindsWhatEitherMemberOverlooks() throws {
        let (table, between, off) = Self.twoKinds()
        func alone(_ detector: any Detector, _ labels: [Int8]) throws -> Double {
            let context = FitContext(seed: 1, parameters: try detector.info.checked([:]), columns: [])
            let model = try table.withRows { try detector.fit($0, labels: nil, context: context) }
            return auroc(try table.scores(model), labels)
        }
        let scores = try table.scores(table.fit())
        #expect(try auroc(scores, between) > alone(ZScoreBaseline(), between) + 0.2)
        #expect(try auroc(scores, off) > alone(IsolationForest(), off))
    }

    @Test func usualRowsScoreNearAHalfAndUnusualOnesTowardsMinusOne() throws {
        for columns in [1, 5, 40] {
            var table = Table.bells(rows: 1500, columns: columns)
            let model = try table.fit()
            let scores = try table.scores(model)
            #expect(abs(scores.reduce(0, +) / 1500 + 0.45) < 0.1)
            #expect(scores.allSatisfy { $0 < 0 && $0 > -1 })
            for column in 0..<columns { table.values[column] = 9 }
            #expect(try table.scores(model)[0] < -0.85)
        }
    }

    @Test func theWorstRowsKeepTheirOrder() throws {
        let table = Table.bells(rows: 800, columns: 3)
        let model = try table.fit()
        var ladder = Table(values: [], columns: 3)
        for step in 0..<60 {
            ladder.values += [Float](
                repeating: Float(sign: .plus, exponent: step - 2, significand: 4), count: 3)
        }
        let scores = try ladder.scores(model)
        for (one, next) in zip(scores, scores.dropFirst()) { #expect(next < one) }
        #expect(scores.allSatisfy { $0 > -1 })
    }

    @Test func strangeRowsScoreToo() throws {
        let greatest = Float.greatestFiniteMagnitude
        var table = Table.bells(rows: 200, columns: 3)
        for row in 0..<200 { table.values[row * 3 + 1] = 4 }
        for row in 0..<200 { table.values[row * 3 + 2] = .nan }
        let model = try table.fit()
        let strange: [Float] = [
            .nan, .nan, .nan, .infinity, 4, 20, greatest, 4, 20, -.infinity, -.infinity, -.infinity, 0, 5,
            .nan,
            0, 4, .nan,
        ]
        let scores = try Table(values: strange, columns: 3).scores(model)
        #expect(scores.allSatisfy { $0.isFinite && $0 <= 0 && $0 >= -1 })
        #expect(scores[1] == scores[2])
        #expect(scores[4] < scores[5], "a value apart from a constant column is unusual")
        for values in [[Float.nan, .nan], [1e38, -1e38], [3]] {
            let few = Table(values: values, columns: 1)
            #expect(try few.scores(few.fit()).allSatisfy { $0.isFinite })
        }
        #expect(throws: DetectorError.self) { try Table(values: [], columns: 2).fit() }
    }

    @Test func contributionsSumAndNameTheFeature() throws {
        var table = Table.bells(rows: 400, columns: 6).missing(every: 13)
        table.values[100 * 6 + 4] = -40
        let constant = Table(values: [Float](repeating: 1, count: 60), columns: 6)
        for model in [try table.fit(), try constant.fit(), try table.fit(labels: Self.everyTenth(400))] {
            let (scores, contributions) = try table.explained(model)
            #expect(try scores == table.scores(model))
            let expected = (model as? any Explaining)?.expectedScore ?? 0
            #expect(abs(expected + 0.5) < 0.15)
            for row in 0..<400 {
                #expect(abs(contributions[row].reduce(0, +) - (scores[row] - expected)) < 1e-9)
            }
        }
        let odd = try table.explained(table.fit()).contributions[100]
        #expect(odd.indices.min { odd[$0] < odd[$1] } == 4)
        #expect(odd[4] < -0.1)
    }

    private static func everyTenth(_ rows: Int) -> [Int8] { (0..<rows).map { $0 % 10 == 0 ? 1 : 0 } }

    @Test func theSameSeedGivesTheSameBytes() throws {
        let (table, labels, _) = Self.twoKinds()
        let bytes = try table.fit(labels: labels).encode()
        #expect(try table.fit(labels: labels).encode() == bytes)
        #expect(try table.fit(labels: labels, seed: 2).encode() != bytes)
    }

    @Test func parametersOfTheMembersAreTheirs() throws {
        let names = Ensemble().info.parameters.map(\.name)
        #expect(Set(names).count == names.count)
        for name in EnsembleParameters.forestNames + EnsembleParameters.zscoreNames {
            #expect(names.contains(name))
        }
        let table = Table.bells(rows: 300, columns: 4)
        let few = try table.fit(["n_estimators": .integer(5)]).encode()
        #expect(try few.count < table.fit(["n_estimators": .integer(50)]).encode().count)
        let zero: [String: ParameterValue] = [
            "forest_weight": .real(0), "zscore_weight": .real(0), "column_weight": .real(0),
        ]
        #expect(throws: DetectorError.self) { try table.fit(zero) }
        // With one weight alone the order is that member's.
        var one = zero
        one["forest_weight"] = .real(3)
        let forest = try table.withRows {
            try IsolationForest().fit(
                $0, labels: nil,
                context: FitContext(
                    seed: 1, parameters: IsolationForest().info.checked(["n_estimators": .integer(30)]),
                    columns: []))
        }
        let scores = try table.scores(table.fit(one))
        let expected = try table.scores(forest)
        for (a, b) in zip(0..<299, 1..<300) where expected[a] != expected[b] {
            #expect((scores[a] < scores[b]) == (expected[a] < expected[b]))
        }
    }

    @Test func cancellingStopsTheFit() throws {
        #expect(throws: DetectorError.cancelled) {
            try Table.bells(rows: 100, columns: 2).fit(isCancelled: { true })
        }
    }
}
