import Crypto
import DetectorAPI
import Features
import Plugins

/// A model that can score: its artifact checked, its detector found, its preprocessing compiled. Immutable.
public final class ReadyModel: Sendable {
    /// The header without what scoring has no use for: candidates, deciles, gate, metrics, parameters, profile and source
    /// are empty.
    public let brief: ArtifactHeader
    public let tenant: Tenant
    /// Of the whole artifact, hexadecimal: names the model in verdicts.
    public let sha256: String
    public let model: any DetectorModel
    public let plan: PreprocessingPlan
    /// Roughly what it holds in memory.
    public let sizeBytes: Int
    let hash: ArtifactHash
    private let scale: SeverityScale?
    private let headerJSON: [UInt8]

    public var version: Int { brief.version }
    public var threshold: Double { brief.threshold }

    /// The whole header. Read anew each time: in memory it would be a third of a user's model.
    public var header: ArtifactHeader {
        // It was read as a whole when the artifact came to this machine, maybe by a release that knew less of it.
        (try? headerJSON.withUnsafeBytes { try ArtifactHeader(json: $0) }) ?? brief
    }

    /// How severe a score of this model is, 0 to 1 on the scale of all models; nil when its artifact does not say.
    public func severity(of score: Double) -> Double? { scale?.severity(of: score) }

    /// Opens an artifact from outside.
    ///
    /// - Parameter key: nil: a signature is not looked at.
    /// - Throws: `ArtifactError`, `ModelLoadError`, `PreprocessingError`, or what its detector throws.
    public convenience init(_ file: ArtifactBytes, key: SymmetricKey?, registry: DetectorRegistry) throws {
        try self.init(
            Artifact(decoding: file, key: key), sizeBytes: file.bytes.count,
            hash: ArtifactHash(of: file.bytes), registry: registry)
    }

    /// Opens an artifact of a store, which knows who may have signed it.
    public convenience init(_ file: ArtifactBytes, of store: ModelStore, registry: DetectorRegistry) throws {
        try self.init(
            store.open(file).artifact, sizeBytes: file.bytes.count, hash: ArtifactHash(of: file.bytes),
            registry: registry)
    }

    /// The same of an artifact that the store has opened.
    ///
    /// - Parameter hash: Of the file; nil: it is worked out.
    convenience init(
        opened artifact: Artifact, file: ArtifactBytes, hash: ArtifactHash? = nil, registry: DetectorRegistry
    ) throws {
        try self.init(
            artifact, sizeBytes: file.bytes.count, hash: hash ?? ArtifactHash(of: file.bytes),
            registry: registry)
    }

    /// Opens an artifact that was checked when it came to this machine.
    convenience init(_ cached: ModelCache.Artifact, registry: DetectorRegistry) throws {
        let artifact =
            if let brief = cached.brief { try Artifact(checked: cached.bytes, brief: brief) } else {
                try Artifact(checked: cached.bytes)
            }
        try self.init(
            artifact, sizeBytes: cached.bytes.bytes.count, hash: cached.sha256, registry: registry)
    }

    private init(
        _ artifact: Artifact, sizeBytes: Int, hash: ArtifactHash, registry: DetectorRegistry
    ) throws {
        let header = artifact.header.brief
        guard let detector = registry.detector(id: header.detectorID, sha256: header.detectorSHA256) else {
            let known = registry.detectors.map(\.info.id).sorted().joined(separator: ", ")
            throw ModelLoadError.unknownDetector(header.detectorID, known: known)
        }
        plan = try PreprocessingPlan(header.preprocessing)
        model = try detector.detector.decode(artifact.payload)
        guard model.columns == plan.columnCount else {
            throw ModelLoadError.columnsDiffer(model: model.columns, preprocessing: plan.columnCount)
        }
        guard header.threshold.isFinite else { throw ModelLoadError.noThreshold }
        brief = header
        headerJSON = artifact.headerJSON
        scale = header.severity.map(SeverityScale.init)
        tenant = header.tenant
        self.hash = hash
        sha256 = hash.description
        let payloadSize = artifact.payload.bytes.count
        let modelSize = (model as? any Sizing)?.sizeInMemory ?? Self.guess(payloadSize: payloadSize)
        self.sizeBytes = Self.sizeOfRest + 3 * max(0, sizeBytes - payloadSize) + modelSize
        try probe()
    }

    /// Plan, tables of names, and what every object costs; the header's texts come on top.
    private static let sizeOfRest = 8_192

    /// For a model that does not say what it holds: its payload as it is, and three times that unpacked.
    private static func guess(payloadSize: Int) -> Int { 4 * payloadSize }

    /// A model that cannot score a row of nothing but missing values, or of zeros, will not score real ones either.
    private func probe() throws {
        let rows =
            [Float](repeating: .nan, count: model.columns) + [Float](repeating: 0, count: model.columns)
        var scores = [Double.nan, .nan]
        try rows.withUnsafeBufferPointer { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try model.score(FeatureRows(rows, columns: model.columns), into: scores)
            }
        }
        guard scores.allSatisfy(\.isFinite) else { throw ModelLoadError.scoreNotFinite }
    }

    /// Whether this is that user's model.
    func serves(_ user: UnsafeBufferPointer<UInt8>) -> Bool {
        guard var id = tenant.userID else { return false }
        return id.withUTF8 { $0.elementsEqual(user) }
    }
}

/// Why an artifact cannot serve.
public enum ModelLoadError: Error, Sendable, Hashable, CustomStringConvertible {
    case notFound(tenant: String, version: Int)
    /// No version is the `champion`, `challenger` or `previous`.
    case unnamed(String, tenant: String)
    /// The pack that it lies in is gone.
    case noPack(String)
    /// A user's model of more bytes than one may have.
    case tooLarge(sizeBytes: Int, limit: Int)
    case unknownDetector(String, known: String)
    case columnsDiffer(model: Int, preprocessing: Int)
    case noThreshold
    case scoreNotFinite
    case wrongTenant(expected: String, found: String)
    /// The object store has other bytes than those that were promoted.
    case notAsPromoted(expected: String, found: String)

    public var description: String {
        switch self {
        case .notFound(let tenant, let version): "there is no version \(version) of \(tenant)'s model"
        case .unnamed(let name, let tenant): "\(tenant) has no \(name) version"
        case .noPack(let key): "the pack \(key) is gone: restore it, or train again"
        case .tooLarge(let size, let limit): "it has \(size) bytes, models.userbytes allows \(limit)"
        case .unknownDetector(let id, let known): "its detector \(id) is not loaded; loaded are: \(known)"
        case .columnsDiffer(let model, let preprocessing):
            "the model wants \(model) columns, its preprocessing gives \(preprocessing)"
        case .noThreshold: "its threshold is not a number"
        case .scoreNotFinite: "it gives a score that is not finite"
        case .wrongTenant(let expected, let found): "it is \(found)'s model, not \(expected)'s"
        case .notAsPromoted(let expected, let found):
            "its SHA-256 is \(found), but \(expected) was promoted: restore the artifact, or promote again"
        }
    }
}
