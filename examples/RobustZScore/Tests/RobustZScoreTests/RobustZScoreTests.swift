import DetectorAPI
import Testing

@testable import RobustZScore

@Suite struct RobustZScoreTests {
    private func fit(_ values: [Float], columns: Int) throws -> any DetectorModel {
        let detector = RobustZScore()
        let context = FitContext(
            seed: 1, parameters: try detector.info.checked([:]),
            columns: (0..<columns).map { FeatureColumn(name: "column\($0)") })
        return try values.withUnsafeBufferPointer {
            try detector.fit(FeatureRows($0, columns: columns), labels: nil, context: context)
        }
    }

    private func scores(_ model: any DetectorModel, _ values: [Float]) throws -> [Double] {
        var scores = [Double](repeating: .nan, count: values.count / model.columns)
        try values.withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer {
                try model.score(FeatureRows(values, columns: model.columns), into: $0)
            }
        }
        return scores
    }

    @Test func countsDeviationsFromTheMedian() throws {
        let model = try fit([1, 2, 3, 4, 1_000], columns: 1)
        #expect(try scores(model, [3, .nan, 4, .infinity]) == [0, 0, -1 / 1.4826, -20])
    }

    @Test func comesBackAsItWas() throws {
        let model = try fit([1, 5, 2, 5, 3, 5], columns: 2)
        let again = try RobustZScore().decode(ArtifactBytes(copying: model.encode()))
        #expect(try scores(again, [9, 5, 2, 6]) == scores(model, [9, 5, 2, 6]))
        #expect(throws: DetectorError.self) { try RobustZScore().decode(ArtifactBytes(copying: [1, 2])) }
    }
}
