import DetectorAPI
import Foundation
import TestTables
import Testing

@testable import IsolationForest

/// A small artifact of every format that was ever written, and what it scores: for ever.
///
/// Fitted on `rows` with seed 1, 2 trees of 4 rows; in the last one the second column holds three categories. A new
/// format gets a new case, made by printing `encode()` of such a fit; those here never change.
@Suite struct FormatTests {
    static let rows = Table(values: [1, 0, 2, 1, 1.5, 2, 9, 0, 2.5, 2], columns: 2)

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let base64: String
        let scores: [Double]
        var testDescription: String { name }
    }

    @Test(arguments: cases) func artifactsOfAllFormatsScoreAsTheyAlwaysDid(_ format: Case) throws {
        let bytes = [UInt8](try #require(Data(base64Encoded: format.base64)))
        let model = try IsolationForest().decode(ArtifactBytes(copying: bytes))
        #expect(try Self.rows.scores(model) == format.scores)
        #expect(try Self.rows.explained(model).scores == format.scores)
        #expect(model.encode() == bytes)
    }

    static let cases = [
        Case(
            name: "2, plain",
            base64: """
                Rk9SRgIAAgECAAAAAgAAAAQAAAADAAAAMLzJ8WGg/T8AAAAAAAARQAAAAAAFAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAEAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAgAAAAAAAAABAAAAAAAAAAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAQAAAAIAAAABAAAAAQAAAAIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAKCyLcD/////////////////////////////////////IHDhQv//////////////////////////////\
                /6EwXEAxQWNA////////////////////////////////////////////////////////////////////////\
                //8AhU/AAAAAAAACAQE=
                """,
            scores: [
                -0.4729913525698814, -0.3922532052568066, -0.3922532052568066,
                -0.5703479706671017, -0.3922532052568066,
            ]),
        Case(
            name: "2, packed",
            base64: """
                Rk9SRgIAAgECAAAAAgAAAAQAAAADAAAAMLzJ8WGg/T8AAAAAAAARQAEAAAAFAAAACAAAAAAAAAAAAAAAAAAA\
                AAAAAEAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAgAAAAAAAAABAAAAAAAAAAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAQAAAAIAAAABAAAAAQAAAAIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAA4AAAAAAAAABgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAABXECgLcBA4EJgT8ARY0AAAAAAAAAAAAAC
                """,
            scores: [
                -0.4729913525698814, -0.3922532052568066, -0.3922532052568066,
                -0.5703479706671017, -0.3922532052568066,
            ]),
        Case(
            name: "extended 1",
            base64: """
                Uk9GWAEAAgACAAAAAgAAAAQAAAADAAAAMLzJ8WGg/T8AAAAAAAASQAoAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAEAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAQAAAAAAAAACAAAAAAAAAAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAQAAAAEAAAABAAAAAgAAAAIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAAAFAAAACgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAABAAAAE2AywAAAAAAAAAAAAgAAALajRL0AAAAAAQAAAAAAAAACAAAAAQAAADU2zz4AAAAAAAAAAAIA\
                AAAF3AtAAAAAAAEAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAAEAAABgWCQ/AAAAAAIDjL4BAAAAkYsgvwAAAAChp0U/AAAAAP1aXDwBAAAA+1pqvwEAAAASqNK/\
                AAAAAFf1FT4=
                """,
            scores: [
                -0.32529680764408125, -0.3922532052568066, -0.5703479706671017,
                -0.4729913525698814, -0.4729913525698814,
            ]),
        Case(
            name: "categories 1 around 2, packed",
            base64: """
                Rk9SQwEAAAACAAAAAQAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAEAAAADAAAAAgABAAAAAgAAAAEAAQAAAAIAAQACAAAAAgABAAAAAgABAAAAAAACAAEAAAACAAEAAAAAAAAA\
                AABGT1JGAgACAQkAAAACAAAABAAAAAMAAAAwvMnxYaD9PwAAAAAAABFAAQAAAAUAAAAIAAAAAAAAAAAAAAAA\
                AAAAAAAAQAAAgD8AAIA/AAAAQAAAgD8AAIA/AACAPwAAgD8AAIA/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAAACAAAAAAAAAAEAAAAAAAAAAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAABAAAAAgAAAAEAAAABAAAAAgAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAADgAAAAAAAAAKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAOeZQKAtwEDgQnSZQYBPwAAAAAAAAAAAAgA=
                """,
            scores: [
                -0.3922532052568066, -0.3922532052568066, -0.5703479706671017,
                -0.4729913525698814, -0.5703479706671017,
            ]),
    ]
}
