import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

/// Two numbers and, between them, a column of ten categories.
@Suite struct CategoryTests {
    static let kinds = [
        FeatureColumn(name: "a"), FeatureColumn(name: "kind", kind: .categorical(cardinality: 10)),
        FeatureColumn(name: "b"),
    ]
    static let cases: [[String: ParameterValue]] = [
        ["storage": .text("plain")], ["storage": .text("packed")], ["mode": .text("standard")],
        ["mode": .text("extended")], ["max_features": .real(0.4)],
    ]

    /// Category 4 is rare, 7 is never seen.
    private func table(rows: Int = 600) -> Table {
        var table = Table.bells(rows: rows, columns: 3)
        var generator = SeededGenerator(seed: 3)
        for row in 0..<rows {
            var category = generator.below(8)
            if category == 4 || category == 7 { category += 1 }
            if row % 200 == 9 { category = 4 }
            table.values[3 * row + 1] = Float(category)
        }
        return table
    }

    private func fit(_ table: Table, _ given: [String: ParameterValue] = [:], seed: UInt64 = 1) throws
        -> any DetectorModel
    {
        let context = FitContext(
            seed: seed, parameters: try IsolationForest().info.checked(given), columns: Self.kinds)
        return try table.withRows { try IsolationForest().fit($0, labels: nil, context: context) }
    }

    @Test(arguments: cases) func decodingGivesTheSameScoresAndBytes(given: [String: ParameterValue]) throws {
        let table = table().missing(every: 31)
        let model = try fit(table, given)
        let bytes = model.encode()
        #expect(try fit(table, given).encode() == bytes)
        let artifact = ArtifactBytes(copying: bytes)
        let decoded = try IsolationForest().decode(artifact)
        #expect(decoded.columns == 3 && decoded.encode() == bytes)
        let scores = try table.scores(model)
        #expect(try table.scores(decoded) == scores)
        #expect(try table.scores(CategoricalModel(decoding: artifact, walk: .portable)) == scores)
        let (explained, contributions) = try table.explained(decoded)
        #expect(explained == scores)
        #expect(try table.explained(model).contributions == contributions)
        let expected = (model as? any Explaining)?.expectedScore ?? 0
        for (score, row) in zip(scores, contributions) {
            #expect(abs(row.reduce(0, +) - (score - expected)) < 1e-9)
        }
    }

    @Test func vectorAndPortableLoopsGrowTheSameTrees() throws {
        for rows in [500, 20_000] {
            let table = table(rows: rows)
            let context = FitContext(
                seed: 1, parameters: try IsolationForest().info.checked([:]), columns: Self.kinds)
            let parameters = ForestParameters(context.parameters)
            try table.withRows { rows in
                let best = try ForestFitter(rows, parameters, context, loops: .best).fit().encode()
                for loops in GrowerLoops.all {
                    #expect(try ForestFitter(rows, parameters, context, loops: loops).fit().encode() == best)
                }
            }
        }
    }

    /// A change here changes every model that will be fitted: raise the detector's version with it.
    @Test func aSmallForestHasTheBytesItAlwaysHad() throws {
        let model = try fit(
            table(rows: 64), ["n_estimators": .integer(5), "max_samples": .integer(16)])
        #expect(fingerprint(model.encode()) == "39fc628fa810d83a")
    }

    @Test(arguments: cases.prefix(4)) func aRareCategoryIsUnusualWhereverItsCodeStands(
        given: [String: ParameterValue]
    ) throws {
        let table = table(rows: 2000)
        let (scores, contributions) = try table.explained(fit(table, given))
        let rare = (0..<2000).filter { table.values[3 * $0 + 1] == 4 }
        let others = (0..<2000).filter { table.values[3 * $0 + 1] != 4 }
        func mean(_ rows: [Int], _ value: (Int) -> Double) -> Double {
            rows.reduce(0) { $0 + value($1) } / Double(rows.count)
        }
        #expect(mean(rare) { scores[$0] } < mean(others) { scores[$0] })
        #expect(mean(rare) { contributions[$0][1] } < mean(others) { contributions[$0][1] } - 0.01)
    }

    @Test func unknownCategoriesAreMissing() throws {
        let model = try fit(table())
        let strange: [Float] = [.nan, 10, -1, 3.5, .infinity, -.infinity, 1e30]
        let scores = try Table(values: strange.flatMap { [0.1, $0, 0.1] }, columns: 3).scores(model)
        #expect(Set(scores).count == 1)
        let known = try Table(values: (0..<10).flatMap { [0.1, Float($0), 0.1] }, columns: 3).scores(model)
        #expect(Set(known).count > 5)
    }

    @Test func aTreeSeesOneOrderOfEachColumn() throws {
        let orders = try #require(try CategoryOrders(Self.kinds, columns: 3, seed: 5))
        #expect(orders.orders == 8 && orders.wideColumns == 10)
        var generator = SeededGenerator(seed: 1)
        var seen: Set<UInt64> = []
        for _ in 0..<200 {
            let bits = orders.drawOrders([0b111], &generator)[0]
            #expect(bits.nonzeroBitCount == 3 && bits & 0b101 == 0b101)
            seen.insert(bits)
        }
        #expect(seen.count == 8)
        #expect(orders.drawOrders([0b101], &generator) == [0b101])
        for order in 0..<8 { #expect(Set(orders.places[order * 10..<order * 10 + 10]) == Set(0..<10)) }
    }

    @Test func columnsOfNoOrTooManyCategoriesAreRefused() throws {
        for cardinality in [0, -1, 65_537] {
            let kinds = [FeatureColumn(name: "kind", kind: .categorical(cardinality: cardinality))]
            #expect(throws: DetectorError.self) { try CategoryOrders(kinds, columns: 1, seed: 1) }
        }
        #expect(try CategoryOrders([FeatureColumn(name: "a")], columns: 1, seed: 1) == nil)
    }

    @Test func damagedArtifactsAreRefusedOrHarmless() throws {
        let table = table(rows: 60).missing(every: 11)
        let original = try fit(table, ["n_estimators": .integer(4), "max_samples": .integer(50)]).encode()
        var generator = SeededGenerator(seed: 78)
        var accepted = 0
        for _ in 0..<5000 {
            var bytes = original
            switch generator.below(8) {
            case 0: bytes.removeLast(1 + generator.below(bytes.count))
            default:
                let end = [64, 320, bytes.count][generator.below(3)]
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
