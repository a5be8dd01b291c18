import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

@Suite struct GuidedTests {
    @Test func theBestOfTheThresholdsIsTheOneBetweenTheGroups() {
        let buffers = GrowerBuffers(sampleSize: 100, wordsOfColumns: 1)
        let keys = (0..<100).map { place -> Int32 in
            if place == 99 { return SampleKeys.missing }
            return FeatureKey.signedKey(ofCentred: Float(place % 10) * 0.1 + (place < 30 ? 0 : 20)) & ~31
        }
        let cut = GrowerBuffers.Cut(
            low: keys.filter { $0 != SampleKeys.missing }.min() ?? 0, high: keys.max() ?? 0, column: 0,
            random: 1 << 30, word: 0)
        for loops in GrowerLoops.all {
            let threshold = GapFinder(buffers, loops).best(cut, keys, count: 100, keyMask: ~31)
            #expect((1..<20).contains(FeatureKey.value(ofSigned: threshold)))
        }
    }

    @Test func hugeRangesDoNotOverflowTheSums() {
        let buffers = GrowerBuffers(sampleSize: 3, wordsOfColumns: 1)
        let greatest = Float.greatestFiniteMagnitude
        for values in [
            [-greatest, 0, greatest], [0, .leastNonzeroMagnitude, Float(bitPattern: 2)], [-1e-38, 0, 1e38],
        ] {
            let keys = values.map { FeatureKey.signedKey(ofCentred: $0) }
            let cut = GrowerBuffers.Cut(low: keys[0], high: keys[2], column: 0, random: 0, word: 0)
            let threshold = GapFinder(buffers, .best).best(cut, keys, count: 3, keyMask: -1)
            #expect(keys[0] <= threshold && threshold < keys[2])
        }
    }

    @Test func columnsWithTailsAreDrawnMoreOften() {
        var table = Table.bells(rows: 256, columns: 3)
        for row in 0..<256 where row % 64 == 0 { table.values[3 * row + 1] = 30 }
        for row in 0..<256 { table.values[3 * row + 2] = 1 }
        table.withRows { rows in
            let shape = ForestShape(columns: 3, trees: 100, levels: 8)
            let source = SourceRows(rows: rows, orders: nil)
            let sample = SampleKeys(source, shape, centres: [0, 0, 0], sampleSize: 256)
            let weights = ColumnWeights(columns: 3, sampleSize: 256)
            weights.measure(sample, rows: (0..<256).map { UInt16($0) }, count: 256)
            var counts = [0, 0, 0]
            var counted = [0, 0, 0]
            var generator = SeededGenerator(seed: 1)
            for _ in 0..<10_000 {
                let random = UInt32(truncatingIfNeeded: generator.next())
                counts[weights.picker.pick(random)] += 1
                counted[weights.picker.pick(random, among: [0b111], words: 1)] += 1
                #expect(weights.picker.pick(random, among: [0b100], words: 1) == 2)
            }
            #expect(counts == counted)
            #expect(counts[1] > 3 * counts[0] && counts[2] < 100)
        }
    }

    @Test func fewRowsAreNotGuided() throws {
        let few = Table.bells(rows: 63, columns: 3)
        #expect(try few.fit().encode() == few.fit(["mode": .text("standard")]).encode())
        let enough = Table.bells(rows: 64, columns: 3)
        #expect(try enough.fit().encode() == enough.fit(["mode": .text("guided")]).encode())
    }
}
