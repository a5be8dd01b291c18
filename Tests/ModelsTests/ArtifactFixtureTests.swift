import Crypto
import DetectorAPI
import Features
import Foundation
import Testing

@testable import Models

/// Artifacts of every format version stay readable for ever.
///
/// `ML_SERVICE_WRITE_FIXTURES=1 swift test --filter ArtifactFixtureTests` writes the file of a new format version; one
/// that exists is never written again.
@Suite struct ArtifactFixtureTests {
    private let key = SymmetricKey(data: Array("fixture".utf8))

    private func path(version: Int) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Fixtures/artifact-v\(version).model"
        ).path
    }

    private var header: ArtifactHeader {
        ArtifactHeader(
            userID: "user-000001", version: 3, detectorID: "constant", detectorVersion: "1.2.3",
            parameters: ["trees": "100", "sample": "256"], seed: .max,
            preprocessing: Preprocessing(
                schemaVersion: 1, scaling: .robust,
                numeric: [
                    .init(feature: "amount", centre: 12.5, scale: 0.1, usual: 13),
                    .init(feature: "speed_kmh", centre: 1e-300, scale: 123_456_789.125, usual: 0),
                ], categorical: [.init(feature: "category", categories: ["café", "grocery"], usual: "other")]),
            threshold: -0.625, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"),
            rowCount: 12_345, metrics: ["alert_rate": 0.0101, "auroc": 0.987], parent: 2,
            createdMilliseconds: 1_770_000_000_123, jobID: "job-1")
    }

    @Test(arguments: 1...2) func formatVersion(_ version: Int) throws {
        let payload = ConstantModel(score: -0.5, columns: 5).encode()
        let path = path(version: version)
        if ProcessInfo.processInfo.environment["ML_SERVICE_WRITE_FIXTURES"] != nil,
            !FileManager.default.fileExists(atPath: path)
        {
            try Data(Artifact.encode(header, payload: payload, key: key)).write(to: URL(filePath: path))
        }
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let artifact = try Artifact(decoding: ArtifactBytes(copying: bytes), key: key)
        var expected = header
        expected.payloadSHA256 = artifact.header.payloadSHA256
        #expect(artifact.header == expected)
        #expect(Array(artifact.payload.bytes) == payload)
        if version == Artifact.formatVersion {
            // The same header still gives the same bytes.
            #expect(try Artifact.encode(header, payload: payload, key: key) == bytes)
        }
        let registry = try World().registry
        let ready = try ReadyModel(ArtifactBytes(copying: bytes), key: key, registry: registry)
        #expect(ready.plan.columns.map(\.name).first == "amount")
    }
}
