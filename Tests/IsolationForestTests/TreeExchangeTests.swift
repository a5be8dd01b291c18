import DetectorAPI
import Foundation
import TestTables
import Testing

@testable import IsolationForest

/// Forests as plain trees, and trees as forests again.
struct TreeExchangeTests {
    /// Values around which comparisons could go wrong, and rows as they usually are.
    private static func rows(_ model: IsolationTrees, seed: UInt64) -> Table {
        var generator = SeededGenerator(seed: seed)
        var cuts = Array(repeating: [Float](), count: model.columns)
        for case .cut(let column, let threshold, _, _, _) in model.trees.joined() {
            cuts[column].append(threshold)
        }
        let special: [Float] = [
            .nan, .infinity, -.infinity, 0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
            .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
        ]
        var table = Table.bells(rows: 2_000, columns: model.columns, seed: seed)
        for place in table.values.indices {
            let own = cuts[place % model.columns]
            switch generator.below(6) {
            case 0: table.values[place] = special[generator.below(special.count)]
            case 1 where !own.isEmpty: table.values[place] = own[generator.below(own.count)]
            case 2 where !own.isEmpty: table.values[place] = own[generator.below(own.count)].nextUp
            case 3 where !own.isEmpty: table.values[place] = own[generator.below(own.count)].nextDown
            default: break
            }
        }
        return table
    }

    @Test(
        "A forest's trees, taken in again, give its scores to the bit",
        arguments: [
            ["storage": .text("plain")], ["storage": .text("packed")],
            ["mode": .text("standard"), "max_samples": .integer(2_000), "n_estimators": .integer(20)],
            ["mode": .text("guided"), "max_features": .real(0.3)],
            ["max_samples": .integer(1), "n_estimators": .integer(3)],
        ] as [[String: ParameterValue]])
    func roundTrip(_ parameters: [String: ParameterValue]) throws {
        var table = Table.bells(rows: 3_000, columns: 5).missing(every: 23)
        for place in stride(from: 1, to: table.values.count, by: 5) {
            table.values[place] = 1e6 + table.values[place]
        }
        for place in stride(from: 2, to: table.values.count, by: 5) {
            table.values[place] = table.values[place].rounded()
        }
        let model = try table.fit(parameters)
        let trees = try #require(model as? any TreeExporting).isolationTrees()
        #expect(trees.trees.count == (parameters["n_estimators"] == nil ? 100 : trees.trees.count))
        let again = try IsolationForest().model(of: trees)
        let rows = Self.rows(trees, seed: 7)
        #expect(try rows.scores(again) == rows.scores(model))
        #expect(try table.scores(again) == table.scores(model))
        let decoded = try IsolationForest().decode(ArtifactBytes(copying: again.encode()))
        #expect(try rows.scores(decoded) == rows.scores(model))
        #expect(decoded.encode() == again.encode())
    }

    @Test("Contributions of taken-in trees sum to the score's distance from the expected one")
    func explaining() throws {
        let table = Table.bells(rows: 600, columns: 4).missing(every: 31)
        let model = try table.fit(["storage": .text("plain")])
        let trees = try #require(model as? any TreeExporting).isolationTrees()
        let again = try IsolationForest().model(of: trees)
        let explaining = try #require(again as? any Explaining)
        let (scores, contributions) = try table.explained(again)
        #expect(scores == (try table.scores(model)))
        for (score, row) in zip(scores, contributions) {
            #expect(abs(row.reduce(0, +) - (score - explaining.expectedScore)) < 1e-9)
        }
        // The same decomposition as the forest's own, but for rows that left a node as copies of a leaf.
        let (_, own) = try table.explained(model)
        #expect(abs(own[0][0] - contributions[0][0]) < 1e-6)
    }

    @Test("Forests with cuts of several columns have no such trees")
    func extended() throws {
        let model = try Table.bells(rows: 300, columns: 3).fit(["mode": .text("extended")])
        #expect(model as? any TreeExporting == nil)
    }

    private static func cut(_ column: Int, _ left: Int, _ right: Int, threshold: Float = 0) -> IsolationNode {
        .cut(column: column, threshold: threshold, missingGoesLeft: true, left: left, right: right)
    }

    private static let leaf = IsolationNode.leaf(pathLength: 1, rows: 1)

    @Test(
        "Trees that are none are refused, with the tree and node named",
        arguments: [
            [], [cut(0, 1, 2)], [cut(0, 1, 1), leaf], [cut(0, 0, 1), leaf], [cut(2, 1, 2), leaf, leaf],
            [cut(0, 1, 2, threshold: .nan), leaf, leaf], [cut(0, 1, 2), leaf, leaf, leaf],
            [cut(0, 1, 2), cut(0, 2, 3), leaf, leaf], [cut(0, 1, 9), leaf, leaf],
            [.leaf(pathLength: -1, rows: 1)], [.leaf(pathLength: .nan, rows: 1)],
            [.leaf(pathLength: 1, rows: 0)],
        ] as [[IsolationNode]])
    func refusal(_ tree: [IsolationNode]) {
        let trees = IsolationTrees(columns: 2, sampleSize: 2, normaliser: 1, trees: [[Self.leaf], tree])
        let error = #expect(throws: DetectorError.self) { try IsolationForest().model(of: trees) }
        #expect("\(error.map(String.init(describing:)) ?? "")".contains("tree 1"))
    }

    @Test("A damaged artifact of taken-in trees is refused, or scores without going astray")
    func damage() throws {
        let table = Table.bells(rows: 200, columns: 3)
        let trees = try #require(
            try table.fit(["n_estimators": .integer(4), "max_samples": .integer(16)]) as? any TreeExporting
        ).isolationTrees()
        let bytes = try IsolationForest().model(of: trees).encode()
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<3_000 {
            var damaged = bytes
            for _ in 0...generator.below(3) {
                damaged[generator.below(bytes.count)] ^= UInt8(1 << generator.below(8))
            }
            if generator.below(4) == 0 { damaged.removeLast(1 + generator.below(bytes.count - 1)) }
            guard let model = try? IsolationForest().decode(ArtifactBytes(copying: damaged)),
                model.columns == 3
            else { continue }
            #expect(try table.scores(model).allSatisfy(\.isFinite))
        }
    }

    /// An artifact of format 1 as it was first written; it stays, whatever comes.
    private static let format1 = """
        Uk9GVAEAAAACAAAAAgAAAAQAAAAEAAAAL7zJ8WGg/T8Mb3J8GGgQQAYAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\
        AAAAAAAAAAIAAAAAAAAAAwAAAB0fBtoBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAQAAAAIA\
        AAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAUAAAAGAAAAAAAA\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAKA/AAAAAAAAAAAAAAAA\
        AAAAAAIAAAAAAAA/AQAAgAAAAAABAAAAAAAAAAAAAAACAAAAAAAAAAAAAAADAAAAAAAAAA==
        """

    @Test("Format 1 of taken-in trees scores as it always did")
    func formatStays() throws {
        let bytes = [UInt8](try #require(Data(base64Encoded: Self.format1)))
        let model = try IsolationForest().decode(ArtifactBytes(copying: bytes))
        let rows = Table(values: [1, 0, 2, 1, 1.5, 2, 9, 0, .nan, .nan], columns: 2)
        #expect(
            try rows.scores(model) == [
                -0.5864058610533159, -0.403296917687812, -0.403296917687812, -0.4863082111962225,
                -0.5864058610533159,
            ])
        #expect(model.encode() == bytes)
        let trees = IsolationTrees(
            columns: 2, sampleSize: 4, normaliser: 1.8516559071392852,
            trees: [
                [
                    Self.cut(0, 1, 2, threshold: 1.25), .leaf(pathLength: 1, rows: 1),
                    .cut(column: 1, threshold: 0.5, missingGoesLeft: false, left: 3, right: 4),
                    .leaf(pathLength: 2, rows: 1), .leaf(pathLength: 3, rows: 2),
                ],
                [.leaf(pathLength: 1.8516559071392852, rows: 4)],
            ])
        #expect(try IsolationForest().model(of: trees).encode() == bytes)
    }
}
