import DetectorAPI
import Features
import Foundation
import Logging
import ObjectStore
import Plugins
import Signing
import Synchronization

@testable import Models

/// A detector whose model scores every row the same: what routing and storing need of one.
struct ConstantDetector: Detector {
    let info: DetectorInfo

    init(id: String = "constant") {
        info = DetectorInfo(id: id, version: "1.0.0", summary: "One score for all.", parameters: [])
    }

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext)
        -> any DetectorModel
    {
        ConstantModel(score: -0.5, columns: rows.columns)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        guard artifact.bytes.count >= 16 else { throw DetectorError.invalidArtifact("not 16 bytes") }
        return ConstantModel(
            score: artifact.bytes.loadUnaligned(as: Double.self),
            columns: artifact.bytes.loadUnaligned(fromByteOffset: 8, as: Int.self))
    }
}

final class ConstantModel: DetectorModel {
    let value: Double
    let columns: Int

    init(score: Double, columns: Int) {
        value = score
        self.columns = columns
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count { scores[row] = value }
    }

    func encode() -> [UInt8] {
        withUnsafeBytes(of: (value, columns)) { Array($0) }
    }
}

/// A service's models in a folder of their own.
struct World {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ml-models-\(UUID().uuidString)")
    let registry: DetectorRegistry
    /// What `store` and `catalogue` use.
    let objects: ScriptedObjectStore
    let store: ModelStore
    let catalogue: Catalogue
    let events = InProcessModelEvents()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init(hmacKey: String? = nil) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        registry = DetectorRegistry(logger: logger)
        registry.register(ConstantDetector())
        objects = ScriptedObjectStore(DirectoryObjectStore(root: folder.appending(path: "store").path))
        store = ModelStore(objects: objects, hmacKey: hmacKey)
        catalogue = Catalogue(objects: objects)
    }

    /// One process: its cache, its router.
    struct Process {
        let cache: ModelCache
        let router: ModelRouter
        let promotion: Promotion
    }

    /// - Parameter name: Of the process's disk: the same name is the same process, started again.
    func process(
        _ name: String = "a", memory: Int = 1 << 30, disk: Int = 1 << 30, store: ModelStore? = nil,
        events: (any ModelEvents)? = nil, sealing keys: SigningKeys = .none
    ) throws -> Process {
        let store = store ?? self.store
        let cache = try ModelCache(path: cachePath(name), maximumSize: disk, logger: logger)
        let router = ModelRouter(
            store: store, cache: cache, registry: registry, maximumSize: memory, logger: logger)
        let promotion = Promotion(
            store: store,
            catalogue: keys.isEmpty
                ? catalogue : Catalogue(objects: objects, sealing: Sealing(keys: keys, seen: cache)),
            cache: cache, router: router, events: events ?? self.events,
            now: { 42 })
        return Process(cache: cache, router: router, promotion: promotion)
    }

    func cachePath(_ name: String = "a") -> String { folder.appending(path: "\(name).sqlite").path }

    static func header(_ tenant: Tenant, detector: String = "constant", threshold: Double = -0.6)
        -> ArtifactHeader
    {
        ArtifactHeader(
            userID: tenant.userID, detectorID: detector, detectorVersion: "1.0.0", parameters: ["a": "1"],
            seed: 7, preprocessing: .identity, threshold: threshold, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 100,
            metrics: ["auroc": 0.9], parent: nil, createdMilliseconds: 1, jobID: nil)
    }

    static func payload(score: Double = -0.5) throws -> [UInt8] {
        ConstantModel(score: score, columns: try PreprocessingPlan(.identity).columnCount).encode()
    }

    @discardableResult
    func publish(_ tenant: Tenant, score: Double = -0.5, detector: String = "constant") throws
        -> ArtifactHeader
    {
        try store.publish(
            Self.header(tenant, detector: detector), payload: try Self.payload(score: score))
    }

    /// Every object there is.
    func contents() throws -> [String: [UInt8]] {
        var contents: [String: [UInt8]] = [:]
        for summary in try objects.listAll(prefix: "models/") {
            contents[summary.key] = try objects.get(summary.key)?.bytes
        }
        return contents
    }
}

extension Catalogue {
    /// Makes versions active, without artifacts.
    @discardableResult
    func activate(_ versions: [Tenant: Int], by: String = "t", reason: String = "r") throws -> [ModelChange] {
        try activate(
            versions.map { Activation($0, version: $1) }, by: by, reason: reason, timeMilliseconds: 5)
    }
}

extension ModelCache {
    func store(_ bytes: [UInt8], _ tenant: Tenant, version: Int, signer: Data = Data()) {
        let bytes = ArtifactBytes(copying: bytes)
        store([
            Checked(
                bytes: bytes, sha256: ArtifactHash(of: bytes.bytes), signer: signer, tenant: tenant,
                version: version)
        ])
    }

    func bytes(_ tenant: Tenant, version: Int, signer: Data = Data()) -> [UInt8]? {
        artifact(tenant, version: version, signers: [signer]).map { Array($0.bytes.bytes) }
    }
}

extension ModelRouter {
    func route(_ user: String) throws -> Route {
        var user = user
        let hash = ModelKey(.user(user), version: 0).user
        return try user.withUTF8 { try model(for: $0, hash: hash, in: snapshot()) }
    }

    /// `user v2`, `global v1 no-user-model`, `none`.
    func description(_ user: String) throws -> String { Self.description(try route(user)) }

    /// The same of a batch.
    func descriptions(_ users: [String]) throws -> [String] {
        let bytes = users.flatMap { Array($0.utf8) }
        return try bytes.withUnsafeBufferPointer { bytes in
            var end = 0
            let keys = users.map { user -> (id: UnsafeBufferPointer<UInt8>, hash: UInt64) in
                let start = end
                end += user.utf8.count
                return (
                    UnsafeBufferPointer(rebasing: bytes[start..<end]), ModelKey(.user(user), version: 0).user
                )
            }
            return try models(for: keys, in: snapshot()).map(Self.description)
        }
    }

    private static func description(_ route: Route) -> String {
        switch route {
        case .user(let model): "user v\(model.version)"
        case .global(let model, let fallback): "global v\(model.version) \(fallback.rawValue)"
        case .none: "none"
        }
    }
}

/// Runs something on threads of their own at once, as blocking calls want it, and gives what each gave.
func onThreads<Value: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
    let results = Mutex<[Int: Result<Value, any Error>]>([:])
    let ended = DispatchSemaphore(value: 0)
    for index in 0..<count {
        Thread {
            let result = Result { try body(index) }
            results.withLock { $0[index] = result }
            ended.signal()
        }.start()
    }
    for _ in 0..<count { ended.wait() }
    return try results.withLock { results in try (0..<count).compactMap { try results[$0]?.get() } }
}
