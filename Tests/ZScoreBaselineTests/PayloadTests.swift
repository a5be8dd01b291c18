import DetectorAPI
import TestTables
import Testing

@testable import ZScoreBaseline

/// What was written stays readable, and small.
@Suite struct PayloadTests {
    /// An artifact as it was written once: fitted on 20 rows of 3 columns, some values missing, the last one a number of 0,
    /// 1 and 2. With it the bits of three scores. Never to be made anew.
    struct Kept: Sendable {
        let artifact: String
        let scores: [UInt64]
    }

    private static let robust =
        "0000000000000000000000000000000000000000000000000000000000324000000000a0a440409026904e99933d4000000000"
        + "0000334000000080075a494077a43fd8ff4136400000000000003340000000000000f03f7456971abdb8f73f"
    private static let moments =
        "00000000000000000000000000000000000000000000000000000000003240c7713c9d62794440ec15a802cd3ecc4000000000"
        + "00003340000000ece66549404a63dcdad7cdc2400000000000003340000000000000f03f0000000000002840"

    /// Detector version 1.0.0.
    static let version1 = [
        Kept(
            artifact: "5a5343520100010003" + robust,
            scores: [0xBFC9_B7D0_62FA_70F6, 0xBFE4_0FF2_5068_BF2C, 0xBFEE_C09D_A754_D4F1]),
        Kept(
            artifact: "5a5343520100010103" + robust,
            scores: [0xBFD0_BFAB_2D15_F1F2, 0xBFE3_8FF6_817B_CBD9, 0xBFEE_FCE8_18B0_BD75]),
        Kept(
            artifact: "5a5343520100000003" + moments,
            scores: [0xBFD3_6FFF_A3D6_DA3B, 0xBFE5_2C98_2277_89B3, 0xBFEE_CA3A_F9F8_367E]),
        Kept(
            artifact: "5a5343520100000103" + moments,
            scores: [0xBFD8_611B_A938_C622, 0xBFE2_F70D_7CCD_8BFF, 0xBFEE_FD85_5698_FDA4]),
    ]

    /// Detector version 1.1.0.
    static let version2 = [
        Kept(
            artifact:
                "5a534352020001000300000000000000130000000000000000250542ca9cec413cd04a42ff0fb2410000803fe9c5bd3f"
                + "010000",
            scores: [0xBFC9_B7D0_7392_0DF5, 0xBFE4_0FF2_524A_877B, 0xBFEE_C09D_A754_866E]),
        Kept(
            artifact:
                "5a5343520200000103000000000000001300000000000000c7713c9d62794440ec15a802cd3ecc40000000ece6654940"
                + "4a63dcdad7cdc240000000000000f03f0000000000002840010000",
            scores: [0xBFD8_611B_A938_C622, 0xBFE2_F70D_7CCD_8BFF, 0xBFEE_FD85_5698_FDA4]),
    ]

    @Test(arguments: version1 + version2) func everyFormatIsRead(kept: Kept) throws {
        let digits = Array(kept.artifact.utf8)
        let bytes = try stride(from: 0, to: digits.count, by: 2).map {
            try #require(UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16))
        }
        let model = try ZScoreBaseline().decode(ArtifactBytes(copying: bytes))
        let rows = Table(values: [12.5, 50, 1, 99, .nan, 0, 1e9, -3, 7], columns: 3)
        #expect(try rows.scores(model).map(\.bitPattern) == kept.scores)
        #expect(model.encode() == bytes)
        // What it learns is written in today's format.
        let learner = try #require(model as? any Updating).makeLearner()
        try rows.withRows { try learner.learn($0[0]) }
        let learned = learner.model()
        let again = try ZScoreBaseline().decode(ArtifactBytes(copying: learned.encode()))
        #expect(learned.encode()[4] == 2)
        #expect(try rows.scores(again) == rows.scores(learned))
    }

    /// Columns of a user's model, one-hot included.
    @Test(arguments: [true, false]) func aUsersArtifactIsSmall(robust: Bool) throws {
        let table = Table.unlikeBells(rows: 400, columns: 41).missing(every: 9)
        let bytes = try table.fit(["robust": .boolean(robust)]).encode()
        #expect(bytes.count <= (robust ? 24 + 41 * 9 : 24 + 41 * 17))
        #expect(bytes.count <= 768)
    }

    /// Written and read after every row, it learns as well as one that stays in memory.
    @Test(arguments: [true, false]) func learningGoesOnAfterDecoding(robust: Bool) throws {
        var table = Table.unlikeBells(rows: 3000, columns: 2).missing(every: 17)
        for row in 0..<table.count { table.values[2 * row + 1] += 10_000 }
        let options: [String: ParameterValue] = ["robust": .boolean(robust)]
        let first = Table(values: Array(table.values[..<400]), columns: 2)
        var model = try first.fit(options)
        let learner = try #require(model as? any Updating).makeLearner()
        try table.withRows { rows in
            for row in 200..<rows.count {
                try learner.learn(rows[row])
                let own = try #require(model as? any Updating).makeLearner()
                try own.learn(rows[row])
                model = try ZScoreBaseline().decode(ArtifactBytes(copying: own.model().encode()))
            }
        }
        let read = try #require(model as? ZScoreModel)
        let kept = try #require(learner.model() as? ZScoreModel)
        for column in 0..<2 {
            #expect(read.features[column].count == kept.features[column].count)
            let deviation = robust ? kept.features[column].spread : kept.features[column].deviation
            let difference = abs(read.features[column].mean - kept.features[column].mean)
            #expect(difference < (robust ? 0.01 : 1e-12) * deviation, "\(difference / deviation)")
            #expect(abs(read.features[column].spread / kept.features[column].spread - 1) < 0.001)
        }
    }

    @Test func countsAreWrittenShortAndReadBack() throws {
        for number in [0, 1, 127, 128, 300, 1 << 20, UInt64(1) << 53] {
            var bytes: [UInt8] = []
            bytes.append(varying: number)
            try bytes.withUnsafeBytes { bytes in
                var reader = PayloadReader(bytes)
                let read = try reader.varying()
                #expect(read == number && reader.isAtEnd)
            }
        }
        for bytes: [UInt8] in [[0x80, 0], [0x80], [], [UInt8](repeating: 0xFF, count: 12)] {
            #expect(throws: DetectorError.self) {
                try bytes.withUnsafeBytes { bytes in
                    var reader = PayloadReader(bytes)
                    _ = try reader.varying()
                }
            }
        }
    }
}
