import DetectorAPI
import Synchronization
import TestTables
import Testing

@testable import IsolationForest

@Suite struct FittingTests {
    @Test func theSameSeedGivesTheSameBytes() throws {
        let table = Table.bells(rows: 3000, columns: 7).missing(every: 50)
        let bytes = try table.fit(seed: 3).encode()
        #expect(try table.fit(seed: 3).encode() == bytes)
        #expect(try table.fit(seed: 4).encode() != bytes)
    }

    @Test(arguments: [(300, 1), (300, 9), (256, 70), (100_000, 5), (5, 3), (2, 2)])
    func vectorAndPortableLoopsGrowTheSameTrees(rows: Int, columns: Int) throws {
        for step in [6, 1_000_000_000] {
            let table = Table.bells(rows: rows, columns: columns).missing(every: step)
            try table.withRows { rows in
                let context = try table.context(["n_estimators": .integer(20)])
                let parameters = ForestParameters(context.parameters)
                let best = try ForestFitter(rows, parameters, context, loops: .best).fit().encode()
                for loops in GrowerLoops.all {
                    #expect(try ForestFitter(rows, parameters, context, loops: loops).fit().encode() == best)
                }
            }
        }
    }

    /// A change here changes every model that will be fitted: raise the detector's version with it.
    @Test func aSmallForestHasTheBytesItAlwaysHad() throws {
        let table = Table.bells(rows: 64, columns: 3).missing(every: 17)
        let model = try table.fit(["n_estimators": .integer(5), "max_samples": .integer(16)])
        #expect(fingerprint(model.encode()) == "b3df37219eb9733f")
    }

    @Test func fittingUsesTheSampleAndNotTheOrderOfRows() throws {
        // With max_samples = rows, every tree sees every row, and the expected score is that of the rows.
        let table = Table.bells(rows: 256, columns: 4)
        guard let model = try table.fit() as? any Explaining else {
            Issue.record("the model cannot explain")
            return
        }
        let mean = try table.scores(model).reduce(0, +) / 256
        #expect(abs(mean - model.expectedScore) < 0.01)
    }

    @Test func duplicatesAndConstantColumnsAreNoTrouble() throws {
        let same = Table(values: [Float](repeating: 7, count: 900), columns: 3)
        let scores = try same.scores(same.fit())
        #expect(Set(scores).count == 1 && abs(scores[0] + 0.5) < 1e-9)

        var table = Table.bells(rows: 500, columns: 3)
        for row in 0..<500 { table.values[3 * row + 1] = 42 }
        #expect(try Set(table.scores(table.fit())).count > 100)
    }

    @Test func hugeAndTinyValuesAreCutToo() throws {
        var table = Table.bells(rows: 300, columns: 2)
        for row in 0..<300 where row % 3 == 0 {
            table.values[2 * row] *= 3e38
            table.values[2 * row + 1] *= 1e-38
        }
        table.values[10] = .infinity
        table.values[12] = -.infinity
        let scores = try table.scores(table.fit())
        #expect(scores.allSatisfy { $0.isFinite && $0 < 0 && $0 >= -1 })
    }

    @Test func datesAreCutAsFineAsSmallNumbers() throws {
        // Without a centre, 16,384 columns' worth of selector bits would leave steps of days.
        let days = (0..<512).map { Float(17_700 + $0 % 90) + ($0 == 300 ? 140 : 0) }
        let table = Table(values: days, columns: 1)
        let scores = try table.scores(table.fit())
        #expect(Set(scores).count > 60)
        #expect(scores.indices.min { scores[$0] < scores[$1] } == 300)
    }

    @Test func oneRowIsEnoughAndNoneIsNot() throws {
        let one = Table(values: [1, 2, 3], columns: 3)
        #expect(try one.scores(one.fit()) == [-0.5])
        #expect(throws: DetectorError.self) { try Table(values: [], columns: 3).fit() }
    }

    @Test func columnsOfGapsOnlyAreIgnored() throws {
        var table = Table.bells(rows: 400, columns: 3)
        for row in 0..<400 { table.values[3 * row] = .nan }
        let model = try table.fit()
        var changed = table
        for row in 0..<400 { changed.values[3 * row] = 5 }
        #expect(try table.scores(model) == changed.scores(model))
    }

    @Test(arguments: ["standard", "guided", "extended"]) func aTreeMayBeKeptToSomeColumns(mode: String) throws
    {
        let table = Table.bells(rows: 400, columns: 10)
        let model = try table.fit([
            "max_features": .real(0.1), "n_estimators": .integer(1), "mode": .text(mode),
        ])
        let used = try table.explained(model).contributions.reduce(into: Set<Int>()) { used, row in
            for column in 0..<10 where row[column] != 0 { used.insert(column) }
        }
        #expect(used.count == 1)
    }

    @Test func samplesAreDrawnWithoutReplacementAndEvenly() {
        for (rows, size) in [(500, 256), (100, 3), (10_000, 256), (64, 63)] {
            var sampler = RowSampler(rows: rows, size: size)
            var counts = [Int](repeating: 0, count: rows)
            let draws = 4000
            for draw in 0..<draws {
                var generator = SeededGenerator(seed: 1, stream: UInt64(draw))
                sampler.draw(&generator)
                #expect(Set(sampler.chosen).count == size)
                for row in sampler.chosen { counts[Int(row)] += 1 }
            }
            // Chi-squared of the rows' counts, in standard deviations from its mean.
            let share = Double(size) / Double(rows)
            let expected = Double(draws) * share
            let chi = counts.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) }
            let z = (chi / (expected * (1 - share)) - Double(rows)) / (2 * Double(rows)).squareRoot()
            #expect(abs(z) < 5, "\(rows) rows, \(size) drawn: \(z)")
        }
    }

    @Test func cancellingStopsTheFit() throws {
        let table = Table.bells(rows: 400, columns: 3)
        let asked = Atomic(0)
        let context = FitContext(
            seed: 1, parameters: try IsolationForest().info.checked(["n_estimators": .integer(500)]),
            columns: [], isCancelled: { asked.add(1, ordering: .relaxed).newValue > 3 })
        #expect(throws: DetectorError.cancelled) {
            try table.withRows { try IsolationForest().fit($0, labels: nil, context: context) }
        }
        #expect(asked.load(ordering: .relaxed) == 4)
    }

    @Test func progressGoesFromZeroToOne() throws {
        let table = Table.bells(rows: 400, columns: 3)
        let seen = Mutex<[Double]>([])
        let context = FitContext(
            seed: 1, parameters: try IsolationForest().info.checked([:]), columns: [],
            progress: { part in seen.withLock { $0.append(part) } })
        _ = try table.withRows { try IsolationForest().fit($0, labels: nil, context: context) }
        let parts = seen.withLock { $0 }
        #expect(parts.first == 0 && parts.last == 1 && parts == parts.sorted())
    }
}
