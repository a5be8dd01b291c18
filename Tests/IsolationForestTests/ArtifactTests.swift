import DetectorAPI
import TestTables
import Testing

@testable import IsolationForest

@Suite struct ArtifactTests {
    static let forms = ["plain", "packed"]

    @Test(arguments: forms) func decodingGivesTheSameScoresAndBytes(form: String) throws {
        for (rows, columns, sample) in [
            (500, 4, 256), (300, 20, 64), (100, 3, 3), (50, 2, 1), (9000, 2, 5000),
        ] {
            let table = Table.bells(rows: rows, columns: columns).missing(every: 40)
            let model = try table.fit([
                "storage": .text(form), "max_samples": .integer(sample), "n_estimators": .integer(30),
            ])
            let bytes = model.encode()
            let decoded = try IsolationForest().decode(ArtifactBytes(copying: bytes))
            #expect(try table.scores(decoded) == table.scores(model))
            #expect(try table.explained(decoded).contributions == table.explained(model).contributions)
            #expect(decoded.encode() == bytes)
        }
    }

    @Test func theFormsScoreAlike() throws {
        let table = Table.bells(rows: 500, columns: 8)
        let plain = try table.fit(["storage": .text("plain")])
        let packed = try table.fit(["storage": .text("packed")])
        // Packed thresholds are shorter: the cuts are not quite the same.
        for (one, other) in zip(try table.scores(plain), try table.scores(packed)) {
            #expect(abs(one - other) < 0.03)
        }
        #expect(plain.encode().count < 200_000)
        #expect(packed.encode().count < 40_000)
        #expect(try packed.encode() == table.fit().encode())
    }

    @Test(arguments: forms) func manyDifferentLeavesAreKeptApart(form: String) throws {
        // Rounded values make large leaves of all sizes: more kinds than a byte can number.
        var table = Table.bells(rows: 20_000, columns: 3)
        for place in table.values.indices { table.values[place] = (table.values[place] * 2).rounded() }
        let model = try table.fit([
            "storage": .text(form), "max_samples": .integer(8192), "n_estimators": .integer(40),
        ])
        let decoded = try IsolationForest().decode(ArtifactBytes(copying: model.encode()))
        #expect(try table.scores(decoded) == table.scores(model))
        #expect(Array(model.encode()[6..<8]) == [13, 2])
    }

    /// Nothing that is done to the bytes may crash, and what is accepted gives finite scores, the same ones on
    /// both ways to walk.
    @Test(arguments: forms) func damagedArtifactsAreRefusedOrHarmless(form: String) throws {
        let table = Table.bells(rows: 60, columns: 3).missing(every: 11)
        let probes = Table.bells(rows: 20, columns: 3, seed: 9).missing(every: 7)
        let original = try table.fit([
            "storage": .text(form), "n_estimators": .integer(4), "max_samples": .integer(50),
        ]).encode()
        var generator = SeededGenerator(seed: 77)
        var accepted = 0
        for _ in 0..<5000 {
            let bytes = mutated(original, &generator)
            let artifact = ArtifactBytes(copying: bytes)
            guard let model = try? ForestModel(decoding: artifact) else { continue }
            accepted += 1
            // A damaged width is an error of the caller's, who compares it with the schema.
            guard model.columns == 3 else { continue }
            let scores = try probes.scores(model)
            #expect(scores.allSatisfy { $0.isFinite && $0 <= 0 && $0 >= -1 })
            #expect(try probes.scores(ForestModel(decoding: artifact, walk: .portable)) == scores)
            #expect(try probes.explained(model).contributions.joined().allSatisfy { $0.isFinite })
            #expect(model.encode().count == bytes.count)
        }
        #expect(accepted > 100)
    }

    private func mutated(_ original: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        switch generator.below(10) {
        case 0: bytes.removeLast(1 + generator.below(bytes.count))
        case 1: bytes.append(contentsOf: [UInt8](repeating: 1, count: 1 + generator.below(100)))
        default:
            let inHeader = generator.below(2) == 0
            for _ in 0...generator.below(4) {
                let place = generator.below(inHeader ? 64 : bytes.count)
                bytes[place] =
                    switch generator.below(3) {
                    case 0: bytes[place] ^ 1 << UInt8(generator.below(8))
                    case 1: [0, 0xFF, 0x7F, 0x80][generator.below(4)]
                    default: UInt8(generator.below(256))
                    }
            }
        }
        return bytes
    }

    @Test func refusalsSayWhatIsWrong() throws {
        let bytes = try Table.bells(rows: 60, columns: 3).fit(["storage": .text("plain")]).encode()
        func message(_ bytes: [UInt8]) -> String {
            do {
                _ = try IsolationForest().decode(ArtifactBytes(copying: bytes))
                return "accepted"
            } catch {
                return "\(error)"
            }
        }
        #expect(message([]).contains("shorter than the header"))
        #expect(message([UInt8](repeating: 0, count: 100)).contains("does not start"))
        var other = bytes
        other[4] = 9
        #expect(message(other).contains("format 9"))
        #expect(message(Array(bytes.dropLast())).contains("describes"))
        other = bytes
        other[8] = 2
        #expect(message(other) != "accepted")
    }
}
