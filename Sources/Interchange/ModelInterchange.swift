import DetectorAPI
import Features
import Foundation
import Models
import Plugins

/// A version of ours as an ONNX file.
///
/// - Throws: `InterchangeError.notExportable`; what the model throws.
public func exportONNX(_ ready: ReadyModel, producerVersion: String) throws -> [UInt8] {
    try writeForest(
        ExportedModel(
            model: ready.model, preprocessing: ready.header.preprocessing, threshold: ready.threshold,
            producerVersion: producerVersion,
            metadata: [
                ("tenant", ready.tenant.description), ("version", "\(ready.version)"),
                ("detector", "\(ready.header.detectorID) \(ready.header.detectorVersion)"),
                ("artifact_sha256", ready.sha256),
            ]))
}

/// An ONNX file to make a version of, for a tenant.
public struct ONNXImport: Sendable {
    /// The detector that serves what is imported.
    public static let detectorID = "isolation-forest"
    public static let maximumSize = ONNXFile.maximumSize

    /// The file's name, without the folders.
    public var file: String
    public var bytes: [UInt8]
    /// Numeric features of the schema: what the columns of the graph's input are, in their order.
    public var features: [String]
    /// nil: the global model.
    public var userID: String?

    public init(file: String, bytes: [UInt8], features: [String], userID: String?) {
        self.file = file
        self.bytes = bytes
        self.features = features
        self.userID = userID
    }

    /// Reads the file and makes the artifact's header and payload of it, not yet stored.
    ///
    /// - Parameters:
    ///   - parent: The version that is active.
    ///   - now: Epoch milliseconds.
    /// - Throws: `InterchangeError`, `DetectorError`, `ModelLoadError.unknownDetector`.
    public func artifact(
        registry: DetectorRegistry, parent: Int?, now: Int64
    ) throws -> (header: ArtifactHeader, payload: [UInt8]) {
        try ImportedColumns.check(features)
        var forest = try readForest(bytes)
        let columns = try ImportedColumns(features, graphColumns: forest.trees.columns)
        columns.reorder(&forest.trees)
        guard let loaded = registry.detector(id: Self.detectorID),
            let importer = loaded.detector as? any TreeImporting
        else {
            let known = registry.detectors.map(\.info.id).sorted().joined(separator: ", ")
            throw ModelLoadError.unknownDetector(Self.detectorID, known: known)
        }
        let model = try importer.model(of: forest.trees)
        let hash = bytes.withUnsafeBytes { ArtifactHash(of: $0) }
        let header = ArtifactHeader(
            userID: userID, detectorID: loaded.info.id, detectorVersion: loaded.info.version,
            detectorSHA256: loaded.sha256.isEmpty ? nil : loaded.sha256,
            parameters: [
                "n_estimators": "\(forest.trees.trees.count)", "max_samples": "\(forest.trees.sampleSize)",
            ],
            seed: 0, preprocessing: columns.preprocessing, threshold: forest.threshold, contamination: 0,
            trainingRange: .init(from: "", to: ""), rowCount: 0, metrics: [:], parent: parent,
            createdMilliseconds: now, jobID: nil,
            source: .init(file: file, sha256: hash.description, producer: forest.producer))
        return (header, model.encode())
    }
}
