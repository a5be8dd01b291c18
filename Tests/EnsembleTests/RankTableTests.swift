import DetectorAPI
import Glibc
import Testing

@testable import Ensemble

@Suite struct RankTableTests {
    private func table(_ values: [Float]) -> RankTable {
        values.sorted().withUnsafeBufferPointer { RankTable(sorted: $0) }
    }

    @Test func surprisesAreThoseOfTheRanks() {
        var generator = SeededGenerator(seed: 5)
        let values = (0..<20_000).map { _ in Float(generator.unit() * 3) }
        let table = table(values)
        #expect(table.values.count <= RankTable.maximumKnots)
        for share in [0.9, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001] {
            #expect(abs(table.surprise(3 * (1 - share)) + log(share)) < 0.15)
        }
        let mean = values.reduce(0) { $0 + table.surprise(Double($1)) } / 20_000
        #expect(abs(mean - 1) < 0.02)
    }

    @Test func itAscendsEverywhereAndGoesOn() throws {
        var generator = SeededGenerator(seed: 6)
        let kinds: [[Float]] = [
            (0..<500).map { _ in Float(generator.unit()) },
            (0..<500).map { _ in Float(generator.below(3)) },
            [Float](repeating: 2, count: 40), [0, 0, 0, 1], [5], [], [0], [Float](repeating: 0, count: 9),
            (0..<100).map { _ in 1 + Float(generator.below(4)) * 0x1p-22 },
        ]
        for values in kinds {
            let table = table(values)
            var last = -1.0
            for value in stride(from: 0, to: 8, by: 0.01) {
                let surprise = table.surprise(value)
                #expect(surprise > last && surprise.isFinite)
                last = surprise
            }
            #expect(table.surprise(.infinity).isFinite && table.surprise(1e9) > last)
        }
    }

    @Test func tiesShareTheirRank() {
        let table = table([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
        #expect(abs(table.surprise(0) + log(0.6)) < 1e-6)
        #expect(abs(table.surprise(1) + log(0.1)) < 1e-6)
    }
}
