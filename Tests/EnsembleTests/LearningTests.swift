import DetectorAPI
import Glibc
import TestTables
import Testing

@testable import Ensemble

@Suite struct LearningTests {
    /// Twenty columns; anomalies are far off in column 3, and as many other rows are in column 8.
    private static func decoys(rows: Int, seed: UInt64 = 1) -> (Table, labels: [Int8]) {
        var table = Table.bells(rows: rows, columns: 20, seed: seed)
        var labels = [Int8](repeating: 0, count: rows)
        for row in stride(from: 7, to: rows, by: 50) {
            table.values[row * 20 + 3] = 3
            labels[row] = 1
        }
        for row in stride(from: 9, to: rows, by: 50) { table.values[row * 20 + 8] = 3 }
        return (table, labels)
    }

    @Test func labelsTellWhichColumnsMatter() throws {
        let (table, labels) = Self.decoys(rows: 4000)
        let (future, known) = Self.decoys(rows: 4000, seed: 2)
        let without = auroc(try future.scores(table.fit()), known)
        let with = auroc(try future.scores(table.fit(labels: labels)), known)
        #expect(with > without)
        #expect(with > 0.999)
    }

    @Test func labelsThatSayTooLittleChangeNothing() throws {
        let table = Table.bells(rows: 500, columns: 4)
        let plain = try table.fit().encode()
        let none = [Int8](repeating: 0, count: 500)
        var four = none
        for row in 0..<4 { four[row] = 1 }
        for labels in [none, [Int8](repeating: 1, count: 500), four] {
            #expect(try table.fit(labels: labels).encode() == plain)
        }
        let many = (0..<500).map { Int8($0 % 5 == 0 ? 1 : 0) }
        #expect(try table.fit(["learn": .boolean(false)], labels: many).encode() == plain)
        #expect(throws: DetectorError.self) { try table.fit(labels: [1, 0]) }
    }

    @Test func fewOrMeaninglessLabelsDoLittle() throws {
        let (table, labels) = Self.decoys(rows: 2000)
        let given = try table.scores(table.fit())
        var generator = SeededGenerator(seed: 3)
        let noise = labels.map { _ in Int8(generator.below(50) == 0 ? 1 : 0) }
        let learned = try table.scores(table.fit(["firmness": .real(100)], labels: noise))
        var concordant = 0
        for row in 0..<1000 where (given[row] < given[row + 1000]) == (learned[row] < learned[row + 1000]) {
            concordant += 1
        }
        #expect(concordant > 750)
        // So firm that nothing moves.
        let firm = try table.scores(table.fit(["firmness": .real(1_000_000)], labels: labels))
        for (one, other) in zip(given, firm) { #expect(abs(one - other) < 1e-3) }
    }

    @Test func theDescentFindsTheMinimum() throws {
        var generator = SeededGenerator(seed: 11)
        let count = 600
        let parts = (0..<3).map { _ in (0..<count).map { _ in Float(-log(1 - generator.unit())) } }
        let labels = (0..<count).map { row in
            generator.unit() < 1 / (1 + exp(4 - 1.5 * Double(parts[0][row]) - 0.3 * Double(parts[1][row])))
        }
        let learner = WeightLearner(parts: parts, isAnomaly: labels, firmness: 2, isCancelled: { false })
        let weights = try #require(learner.weights(given: [0.25, 0.25, 0.5]))
        #expect(abs(weights.reduce(0, +) - 1) < 1e-12)
        #expect(weights.allSatisfy { $0 >= 0 })
        #expect(weights[0] > 0.55 && weights[0] > weights[1] && weights[2] < 0.25)
        #expect(
            WeightLearner(parts: parts, isAnomaly: labels, firmness: 2, isCancelled: { true }).weights(
                given: [0.25, 0.25, 0.5]) == nil)
    }
}
