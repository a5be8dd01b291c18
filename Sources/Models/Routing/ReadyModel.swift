import Crypto
import DetectorAPI
import Features
import Plugins

/// A model that can score: its artifact checked, its detector found, its preprocessing compiled. Immutable.
public final class ReadyModel: Sendable {
    public let header: ArtifactHeader
    public let tenant: Tenant
    /// Of the whole artifact, hexadecimal: names the model in verdicts.
    public let sha256: String
    public let model: any DetectorModel
    public let plan: PreprocessingPlan
    /// Roughly what it holds in memory.
    public let sizeBytes: Int

    public var version: Int { header.version }
    public var threshold: Double { header.threshold }

    /// - Throws: `ModelLoadError` saying which version of whose model, and what is wrong with it.
    public init(_ file: ArtifactBytes, key: SymmetricKey?, registry: DetectorRegistry) throws {
        let artifact = try Artifact(decoding: file, key: key)
        let header = artifact.header
        guard let detector = registry.detector(id: header.detectorID) else {
            let known = registry.detectors.map(\.info.id).sorted().joined(separator: ", ")
            throw ModelLoadError.unknownDetector(header.detectorID, known: known)
        }
        plan = try PreprocessingPlan(header.preprocessing)
        model = try detector.detector.decode(artifact.payload)
        guard model.columns == plan.columnCount else {
            throw ModelLoadError.columnsDiffer(model: model.columns, preprocessing: plan.columnCount)
        }
        guard header.threshold.isFinite else { throw ModelLoadError.noThreshold }
        self.header = header
        tenant = header.tenant
        sha256 = hexadecimal(SHA256.hash(data: file.bytes))
        sizeBytes = file.bytes.count + 4_096
        try probe()
    }

    /// A model that cannot score a row of nothing but missing values will not score real ones either.
    private func probe() throws {
        let row = [Float](repeating: .nan, count: max(model.columns, 1))
        var score = [Double.nan]
        try row.withUnsafeBufferPointer { row in
            try score.withUnsafeMutableBufferPointer { score in
                try model.score(FeatureRows(row, columns: model.columns), into: score)
            }
        }
        guard score[0].isFinite else { throw ModelLoadError.scoreNotFinite }
    }
}

/// Why an artifact cannot serve.
public enum ModelLoadError: Error, Sendable, Hashable, CustomStringConvertible {
    case notFound(tenant: String, version: Int)
    case unknownDetector(String, known: String)
    case columnsDiffer(model: Int, preprocessing: Int)
    case noThreshold
    case scoreNotFinite
    case wrongTenant(expected: String, found: String)

    public var description: String {
        switch self {
        case .notFound(let tenant, let version): "there is no version \(version) of \(tenant)'s model"
        case .unknownDetector(let id, let known): "its detector \(id) is not loaded; loaded are: \(known)"
        case .columnsDiffer(let model, let preprocessing):
            "the model wants \(model) columns, its preprocessing gives \(preprocessing)"
        case .noThreshold: "its threshold is not a number"
        case .scoreNotFinite: "it gives a score that is not finite"
        case .wrongTenant(let expected, let found): "it is \(found)'s model, not \(expected)'s"
        }
    }
}
