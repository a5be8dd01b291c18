import CForestKernels
import DetectorAPI
import Foundation
import Testing

@testable import BoostedTrees

/// Bytes that are an artifact, and bytes that are none.
@Suite struct ArtifactTests {
    /// `ML_SERVICE_WRITE_FIXTURES=1 swift test --filter BoostedTreesTests` writes the file of a new format; one that exists
    /// is never written again.
    @Test("artifacts of format 1 stay readable, with the scores that they had")
    func formatVersion1() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
        let file = folder.appending(path: "boosted-v1.bin")
        let scoresFile = folder.appending(path: "boosted-v1.scores")
        let rows = Planted(200, seed: 11, gaps: 0.1, withCategories: true)
        if ProcessInfo.processInfo.environment["ML_SERVICE_WRITE_FIXTURES"] != nil,
            !FileManager.default.fileExists(atPath: file.path)
        {
            let model = try Planted(800, gaps: 0.1, withCategories: true).fit(["n_estimators": .integer(30)])
            try Data(model.encode()).write(to: file)
            let lines = try model.scores(rows).map { "\($0.bitPattern)" }.joined(separator: "\n")
            try Data(lines.utf8).write(to: scoresFile)
        }
        let bytes = [UInt8](try Data(contentsOf: file))
        let model = try BoostedTrees().decode(ArtifactBytes(copying: bytes))
        let expected = try String(contentsOf: scoresFile, encoding: .utf8).split(separator: "\n").map {
            UInt64($0)
        }
        #expect(try model.scores(rows).map { $0.bitPattern } == expected)
        #expect(model.encode() == bytes)
    }

    @Test("damaged bytes are refused, or score and explain within bounds; nothing traps")
    func hostileBytes() throws {
        let bytes = try Planted(900, gaps: 0.1, withCategories: true).fit(["n_estimators": .integer(6)])
            .encode()
        let rows = Planted(70, seed: 2, gaps: 0.1, withCategories: true)
        var generator = SeededGenerator(seed: 1)
        let wild: [UInt32] = [0, 1, 2, 0x7F, 0xFF, 0x7FFF_FFFF, 0x8000_0000, .max, .max - 1, 31, 32, 33]
        var accepted = 0
        for _ in 0..<20_000 {
            var damaged = bytes
            for _ in 0...generator.below(3) {
                let offset = generator.below(2) == 0 ? generator.below(64) : generator.below(damaged.count)
                if generator.below(2) == 0 {
                    damaged[offset] = UInt8(truncatingIfNeeded: generator.next())
                } else {
                    withUnsafeBytes(of: wild[generator.below(wild.count)].littleEndian) { value in
                        for index in 0..<4 where offset & ~3 + index < damaged.count {
                            damaged[offset & ~3 + index] = value[index]
                        }
                    }
                }
            }
            if generator.below(8) == 0 { damaged.removeLast(1 + generator.below(damaged.count)) }
            do {
                let model = try BoostedModel(decoding: ArtifactBytes(copying: damaged))
                accepted += 1
                guard model.columns == 6 else { continue }
                var scores = [Double](repeating: .nan, count: rows.count)
                var contributions = [Double](repeating: .nan, count: rows.count * 6)
                try rows.withRows { rows in
                    try scores.withUnsafeMutableBufferPointer { scores in
                        try contributions.withUnsafeMutableBufferPointer {
                            try model.explain(rows, into: scores, contributions: $0)
                        }
                    }
                }
                #expect(scores.allSatisfy { $0.isFinite } && contributions.allSatisfy { $0.isFinite })
                #expect(isSame(try model.scores(rows), scores))
                #expect(try model.scores(Array(rows.values[..<6]))[0] == scores[0])
            } catch is DetectorError {}
        }
        #expect((1_000..<20_000).contains(accepted))
    }

    @Test(
        "what a header may not say",
        arguments: [
            (0, 0), (4, 2), (8, 0), (8, 40_000), (12, 6_000), (16, 13), (20, 1 << 20), (24, 1 << 20),
            (28, Int(UInt32.max)),
            (32, 61),
        ])
    func headers(offset: Int, value: Int) throws {
        var bytes = try Planted(900).fit(["n_estimators": .integer(2)]).encode()
        withUnsafeBytes(of: UInt32(value).littleEndian) {
            bytes.replaceSubrange(offset..<offset + 4, with: $0)
        }
        #expect(throws: DetectorError.self) { _ = try BoostedModel(decoding: ArtifactBytes(copying: bytes)) }
    }

    @Test(
        "numbers of the calibration that are none",
        arguments: [
            (40, Double.nan), (40, .infinity), (48, 0), (48, -1), (48, .nan), (56, .nan), (56, 1e300),
        ])
    func calibration(offset: Int, value: Double) throws {
        var bytes = try Planted(900).fit(["n_estimators": .integer(2)]).encode()
        withUnsafeBytes(of: value.bitPattern.littleEndian) {
            bytes.replaceSubrange(offset..<offset + 8, with: $0)
        }
        #expect(throws: DetectorError.self) { _ = try BoostedModel(decoding: ArtifactBytes(copying: bytes)) }
    }

    @Test("the artifact's size for 200 trees of 31 leaves")
    func size() throws {
        let model = try Planted(20_000, columns: 12).fit()
        #expect(model.encode().count < 150_000)
    }
}
