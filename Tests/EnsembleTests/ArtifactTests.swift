import DetectorAPI
import Foundation
import TestTables
import Testing

@testable import Ensemble

@Suite struct ArtifactTests {
    @Test func decodingGivesTheSameScoresAndBytes() throws {
        for (rows, columns) in [(500, 4), (300, 40), (3, 2), (1, 1)] {
            let table = Table.bells(rows: rows, columns: columns).missing(every: 17)
            for labels in [nil, (0..<rows).map { Int8($0 % 7 == 0 ? 1 : 0) }] {
                let model = try table.fit(labels: labels)
                let bytes = model.encode()
                let decoded = try Ensemble().decode(ArtifactBytes(copying: bytes))
                #expect(decoded.columns == columns)
                #expect(try table.scores(decoded) == table.scores(model))
                #expect(try table.explained(decoded).contributions == table.explained(model).contributions)
                #expect(decoded.encode() == bytes)
            }
        }
    }

    /// An artifact as detector version 1.0.0 wrote it, of 3 columns and learned weights, and the bits of three scores.
    /// Never to be made anew.
    @Test func formatVersion1() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Fixtures/ensemble-v1.bin")
        let model = try Ensemble().decode(ArtifactBytes(copying: [UInt8](try Data(contentsOf: file))))
        let rows = Table(values: [12.5, 50, 1, 99, .nan, 0, 1e9, -3, 7], columns: 3)
        #expect(
            try rows.scores(model).map(\.bitPattern) == [
                0xBFD0_4F77_0C41_EE30, 0xBFE0_703A_F233_D9BF, 0xBFEF_FAB8_75E7_E783,
            ])
    }

    /// Nothing that is done to the bytes may crash, and what is accepted gives finite scores.
    @Test func damagedArtifactsAreRefusedOrHarmless() throws {
        let table = Table.bells(rows: 60, columns: 3).missing(every: 11)
        let original = try table.fit(["n_estimators": .integer(4)]).encode()
        var generator = SeededGenerator(seed: 7)
        var accepted = 0
        for _ in 0..<10_000 {
            var bytes = original
            switch generator.below(8) {
            case 0: bytes.removeLast(1 + generator.below(bytes.count))
            case 1: bytes.append(7)
            default:
                for _ in 0...generator.below(3) {
                    let end = generator.below(2) == 0 ? 128 : bytes.count
                    bytes[generator.below(end)] = UInt8(generator.below(256))
                }
            }
            guard let model = try? Ensemble().decode(ArtifactBytes(copying: bytes)), model.columns == 3 else {
                continue
            }
            accepted += 1
            #expect(try table.scores(model).allSatisfy { $0.isFinite && $0 <= 0 && $0 >= -1 })
            #expect(try table.explained(model).contributions.joined().allSatisfy(\.isFinite))
        }
        #expect(accepted > 0)
    }

    /// The forest stays where it is: at a multiple of 64, and as long as it is.
    @Test func theForestsBytesAreScoredInPlace() throws {
        let table = Table.bells(rows: 500, columns: 8)
        let bytes = try table.fit().encode()
        let payload = try bytes.withUnsafeBytes { try EnsemblePayload(checking: $0) }
        #expect(payload.forestRange.lowerBound % 64 == 0)
        #expect(payload.forestRange.upperBound == bytes.count)
        #expect(payload.tables.count == 10)
        let forest = try EnsembleMembers.forest.decode(
            ArtifactBytes(copying: Array(bytes[payload.forestRange])))
        #expect(forest.encode() == Array(bytes[payload.forestRange]))
    }

    @Test func errorsSayWhatIsWrong() throws {
        let bytes = try Table.bells(rows: 50, columns: 2).fit().encode()
        func reason(_ change: (inout [UInt8]) -> Void) -> String {
            var changed = bytes
            change(&changed)
            do {
                _ = try Ensemble().decode(ArtifactBytes(copying: changed))
                return ""
            } catch { return "\(error)" }
        }
        #expect(reason { $0 = [1, 2, 3] }.contains("shorter than the header"))
        #expect(reason { $0[0] = 0 }.contains("does not start as an ensemble"))
        #expect(reason { $0[4] = 9 }.contains("format 9 is not known"))
        #expect(reason { $0[63] = 1 }.contains("between its parts"))
        #expect(reason { $0.append(0) }.contains("where its header says"))
        #expect(reason { $0[64 + 7] = 0x40 }.contains("weight"))
    }
}
