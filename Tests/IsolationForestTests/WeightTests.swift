import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

@Suite struct WeightTests {
    private func fit(
        _ table: Table, _ weights: [Float]?, _ given: [String: ParameterValue] = [:]
    ) throws -> any DetectorModel {
        let context = FitContext(
            seed: 1, parameters: try IsolationForest().info.checked(given), columns: [], weights: weights)
        return try table.withRows { try IsolationForest().fit($0, labels: nil, context: context) }
    }

    @Test func rowsAreDrawnInProportionWithoutReplacement() throws {
        var weights = try RowWeights([0, 1, 3, 0.5, 0, 3.5], rows: 6)
        #expect(weights.rows == 4)
        var generator = SeededGenerator(seed: 1)
        var chosen: [UInt32] = [0, 0]
        var firsts = [0, 0, 0, 0, 0, 0]
        var seconds = firsts
        let draws = 80_000
        for _ in 0..<draws {
            weights.draw(into: &chosen, &generator)
            firsts[Int(chosen[0])] += 1
            if chosen[0] == 5 { seconds[Int(chosen[1])] += 1 }
        }
        // Of 8 in all; then, without row 5, of 4.5.
        for (row, share) in [0, 1.0 / 8, 3.0 / 8, 0.5 / 8, 0, 3.5 / 8].enumerated() {
            #expect(abs(Double(firsts[row]) / Double(draws) - share) < 0.01)
        }
        for (row, share) in [0, 1 / 4.5, 3 / 4.5, 0.5 / 4.5, 0, 0].enumerated() {
            #expect(abs(Double(seconds[row]) / Double(firsts[5]) - share) < 0.015)
        }
        var all: [UInt32] = [0, 0, 0, 0]
        weights.draw(into: &all, &generator)
        #expect(all.sorted() == [1, 2, 3, 5])
    }

    @Test(arguments: ["guided", "extended"]) func rowsWithoutWeightAreAsIfTheyWereNotThere(mode: String)
        throws
    {
        // Half of the rows are of another kind, of weight 0.
        var table = Table.bells(rows: 2000, columns: 3)
        var weights = [Float](repeating: 1, count: 2000)
        for row in 0..<1000 {
            weights[row] = 0
            for column in 0..<3 { table.values[3 * row + column] += 20 }
        }
        let scores = try table.scores(fit(table, weights, ["mode": .text(mode)]))
        #expect((scores[..<1000].max() ?? 0) < (scores[1000...].sorted().dropFirst(20).first ?? 0))
        #expect(try fit(table, weights).encode() == fit(table, weights).encode())
    }

    @Test func whereEveryRowIsDrawnWeightsChangeNothingButTheOrder() throws {
        let table = Table.bells(rows: 200, columns: 3)
        let weighted = try table.scores(fit(table, (0..<200).map { Float($0 + 1) }))
        let plain = try table.scores(fit(table, nil))
        for (one, other) in zip(weighted, plain) { #expect(abs(one - other) < 0.06) }
    }

    @Test func weightsThatCannotBeAreRefused() throws {
        let table = Table.bells(rows: 3, columns: 1)
        for weights: [Float] in [[1, 1], [1, -1, 1], [1, .nan, 1], [.infinity, 1, 1], [0, 0, 0]] {
            #expect(throws: DetectorError.self) { try fit(table, weights) }
        }
        #expect(try table.scores(fit(table, [0, 5, 0])).count == 3)
        let greatest = Float.greatestFiniteMagnitude
        #expect(try table.scores(fit(table, [greatest, .leastNonzeroMagnitude, 1])).count == 3)
    }
}
