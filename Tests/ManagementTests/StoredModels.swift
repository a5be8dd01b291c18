import DetectorAPI
import Features
import Models

@testable import Management

/// A detector that has one score for all.
struct SameScore: Detector {
    let info = DetectorInfo(id: "same", version: "1.0.0", summary: "One score for all.", parameters: [])

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext)
        -> any DetectorModel
    {
        Model(columns: rows.columns)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        Model(columns: artifact.bytes.count)
    }

    final class Model: DetectorModel {
        let columns: Int

        init(columns: Int) { self.columns = columns }

        func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
            for row in 0..<rows.count { scores[row] = -0.5 }
        }

        func encode() -> [UInt8] { [UInt8](repeating: 0, count: columns) }
    }
}

extension TestAPI {
    /// Stores another version of the global model.
    func publish() throws {
        let header = ArtifactHeader(
            userID: nil, detectorID: "same", detectorVersion: "1.0.0", parameters: [:], seed: 1,
            preprocessing: .identity, threshold: -0.6, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 1, metrics: [:],
            parent: nil, createdMilliseconds: 1, jobID: nil)
        let columns = try PreprocessingPlan(.identity).columnCount
        _ = try services.models.publish(header, payload: SameScore.Model(columns: columns).encode())
    }
}
