import DetectorAPI
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
        if let cached = cache.artifact(tenant, version: version, signers: store.keys.signers) {
            return try counted { try named(tenant, version, ReadyModel(cached, registry: registry)) }
        }
        return try fetch(tenant, version: version, isPromoted: true).model
    }

    /// A model, and where its artifact lies.
    struct Fetched {
        let model: ReadyModel
        let place: PackPlace?
    }

    /// The version as the object store has it, whatever the cache has.
    ///
    /// - Parameter isPromoted: It has to be what the active table means.
    func fetch(_ tenant: Tenant, version: Int, isPromoted: Bool) throws -> Fetched {
        try counted {
            let active = isPromoted ? ((try? cache.active(tenant)) ?? nil) : nil
            let meant = active?.version == version ? active : nil
            guard let found = try store.find(tenant, version: version, at: meant?.place) else {
                throw ModelLoadError.notFound(tenant: tenant.description, version: version)
            }
            let (artifact, signer) = try store.open(found.bytes)
            let model = try named(
                tenant, version, ReadyModel(opened: artifact, file: found.bytes, registry: registry))
            if let promoted = meant?.sha256, promoted != model.hash {
                throw ModelLoadError.notAsPromoted(expected: "\(promoted)", found: model.sha256)
            }
            cache.store([
                ModelCache.Checked(
                    bytes: found.bytes, sha256: model.hash, signer: signer, tenant: tenant,
                    version: version)
            ])
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
        for (tenant, version, place) in versions {
            let model = try counted {
                guard place.pack == key, place.range.upperBound <= pack.bytes.count else {
                    throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                }
                let bytes = pack.slice(place.range)
                let (artifact, signer) = try store.open(bytes)
                let model = try named(
                    tenant, version, ReadyModel(opened: artifact, file: bytes, registry: registry))
                checked.append(
                    ModelCache.Checked(
                        bytes: bytes, sha256: model.hash, signer: signer, tenant: tenant,
                        version: version))
                return model
            }
            try body(model, place)
        }
        cache.store(checked)
    }

    private func named(_ tenant: Tenant, _ version: Int, _ model: ReadyModel) throws -> ReadyModel {
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
