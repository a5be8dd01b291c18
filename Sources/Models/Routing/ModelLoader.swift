import DetectorAPI
import Foundation
import Logging
import Metrics
import ObjectStore
import Plugins

/// Makes ready models of artifacts, from this machine's cache or else the object store. Thread-safe; calls block.
final class ModelLoader: Sendable {
    private let store: ModelStore
    private let cache: ModelCache
    private let registry: DetectorRegistry
    private let loads = Counter(label: "ml_model_loads_total")
    private let failures = Counter(label: "ml_model_load_failures_total")

    init(store: ModelStore, cache: ModelCache, registry: DetectorRegistry) {
        self.store = store
        self.cache = cache
        self.registry = registry
    }

    /// The version as it was promoted.
    ///
    /// - Throws: `ObjectStoreError` when the store is away; anything else says that the version cannot serve.
    func load(_ tenant: Tenant, version: Int) throws -> ReadyModel {
        try load([(tenant, version)])[0].get()
    }

    /// Versions as they were promoted, in their order: from this machine's disk by one use of it, the rest from the object
    /// store. Those are written to the disk behind the answer; nothing depends on it.
    ///
    /// - Returns: Failures as `load(_:version:)` throws them, each its model's own.
    func load(_ wanted: [(tenant: Tenant, version: Int)]) -> [Result<ReadyModel, any Error>] {
        let cached = cache.artifacts(wanted, signers: store.keys.signers)
        var absent: [Int] = []
        var models = zip(wanted.indices, cached).map { place, artifact -> Result<ReadyModel, any Error>? in
            guard let artifact else {
                absent.append(place)
                return nil
            }
            let (tenant, version) = wanted[place]
            return Result {
                try counted {
                    try ready(tenant, version, sizeBytes: artifact.bytes.bytes.count) {
                        try ReadyModel(artifact, registry: registry)
                    }
                }
            }
        }
        let fetched = fetchPromoted(absent.map { wanted[$0] })
        for (place, model) in zip(absent, fetched) { models[place] = model }
        return models.compactMap { $0 }
    }

    private func fetchPromoted(
        _ wanted: [(tenant: Tenant, version: Int)]
    ) -> [Result<ReadyModel, any Error>] {
        guard !wanted.isEmpty else { return [] }
        let active = (try? cache.active(wanted.map(\.tenant))) ?? wanted.map { _ in nil }
        let meant = zip(wanted, active).map { $1?.version == $0.version ? $1 : nil }
        let packed = store.bytes(at: meant.map { $0?.place })
        var checked: [ModelCache.Checked] = []
        var away: ObjectStoreError?
        let models = wanted.indices.map { place -> Result<ReadyModel, any Error> in
            let (tenant, version) = wanted[place]
            return Result {
                try counted {
                    var bytes = try packed[place]?.get()
                    if bytes == nil {
                        // Not asked again for each of many.
                        if let away { throw away }
                        do {
                            bytes = try store.find(tenant, version: version)?.bytes
                        } catch let error as ObjectStoreError where error.isRetryable {
                            away = error
                            throw error
                        }
                    }
                    guard let bytes else {
                        throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                    }
                    let promoted = meant[place]?.sha256
                    let (model, file) = try opened(tenant, version, bytes, promoted: promoted)
                    if let promoted, promoted != model.hash {
                        throw ModelLoadError.notAsPromoted(expected: "\(promoted)", found: model.sha256)
                    }
                    checked.append(file)
                    return model
                }
            }
        }
        // The table says that the global model is active only when it can be loaded without the store.
        cache.store(checked.filter { $0.tenant == .global })
        cache.storeBehind(checked.filter { $0.tenant != .global })
        return models
    }

    /// A model, and where its artifact lies.
    struct Fetched {
        let model: ReadyModel
        let place: PackPlace?
    }

    /// The version as the object store has it, whatever the cache has, and whether it is active or not.
    func fetch(_ tenant: Tenant, version: Int) throws -> Fetched {
        try counted {
            guard let found = try store.find(tenant, version: version) else {
                throw ModelLoadError.notFound(tenant: tenant.description, version: version)
            }
            let (model, file) = try opened(tenant, version, found.bytes)
            cache.store([file])
            return Fetched(model: model, place: found.place)
        }
    }

    /// Versions of one pack, by one read of it.
    ///
    /// - Parameter body: Told each model.
    func fetch(
        pack key: String, _ versions: [(tenant: Tenant, version: Int, place: PackPlace)],
        _ body: (ReadyModel, PackPlace) throws -> Void
    ) throws {
        guard let pack = try store.pack(key) else { throw ModelLoadError.noPack(key) }
        var checked: [ModelCache.Checked] = []
        var size = 0
        for (tenant, version, place) in versions {
            let model = try counted {
                guard place.pack == key, place.range.upperBound <= pack.bytes.count else {
                    throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                }
                // A model that is scored from its bytes would keep the whole pack.
                let bytes = ArtifactBytes(copying: pack.bytes[place.range])
                let (model, file) = try opened(tenant, version, bytes)
                checked.append(file)
                return model
            }
            try body(model, place)
            size += checked.last?.sizeBytes ?? 0
            guard size >= Self.storedTogether else { continue }
            cache.store(checked)
            (checked, size) = ([], 0)
        }
        cache.store(checked)
    }

    /// Bytes of artifacts of a pack that go to the cache by one transaction: as many are there twice.
    private static let storedTogether = 8 << 20

    /// Makes a model of an artifact's bytes from the store, and what the cache is to keep of them.
    ///
    /// - Parameter promoted: The hash of what was promoted, whose checksums were looked at then.
    private func opened(
        _ tenant: Tenant, _ version: Int, _ bytes: ArtifactBytes, promoted: ArtifactHash? = nil
    ) throws -> (model: ReadyModel, file: ModelCache.Checked) {
        var signer = Data()
        let model = try ready(tenant, version, sizeBytes: bytes.bytes.count) {
            let hash = ArtifactHash(of: bytes.bytes)
            let opened = try store.open(bytes, isPromoted: promoted == hash)
            signer = opened.signer
            return try ReadyModel(opened: opened.artifact, file: bytes, hash: hash, registry: registry)
        }
        let file = ModelCache.Checked(
            bytes: bytes, sha256: model.hash, signer: signer, tenant: tenant, version: version,
            brief: BriefHeader.encode(model.brief))
        return (model, file)
    }

    /// Where every model passes: its size is looked at before it is made, which takes a multiple of it, and whose it is
    /// afterwards.
    private func ready(
        _ tenant: Tenant, _ version: Int, sizeBytes: Int, _ make: () throws -> ReadyModel
    ) throws -> ReadyModel {
        try store.limits.checkLoaded(tenant, sizeBytes: sizeBytes)
        let model = try make()
        guard model.tenant == tenant, model.version == version else {
            throw ModelLoadError.wrongTenant(
                expected: "\(tenant) v\(version)", found: "\(model.tenant) v\(model.version)")
        }
        return model
    }

    private func counted<Loaded>(_ load: () throws -> Loaded) throws -> Loaded {
        loads.increment()
        do {
            return try load()
        } catch let error as ObjectStoreError {
            throw error  // the model is not to blame
        } catch {
            failures.increment()
            throw error
        }
    }

    /// Whether a detector that a model failed for is there now.
    func has(detector id: String) -> Bool { registry.detector(id: id) != nil }
}
