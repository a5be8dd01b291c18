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
        if let cached = cache.artifact(tenant, version: version, signer: store.signer) {
            return try counted { try named(tenant, version, ReadyModel(cached, registry: registry)) }
        }
        return try fetch(tenant, version: version, isPromoted: true)
    }

    /// The version as the object store has it, whatever the cache has.
    ///
    /// - Parameter isPromoted: It has to be what the active table means.
    func fetch(_ tenant: Tenant, version: Int, isPromoted: Bool) throws -> ReadyModel {
        try counted {
            guard let bytes = try store.bytes(of: tenant, version: version) else {
                throw ModelLoadError.notFound(tenant: tenant.description, version: version)
            }
            let model = try named(
                tenant, version, ReadyModel(bytes, key: store.key, registry: registry))
            if isPromoted, let active = try? cache.active(tenant), active.version == version,
                let promoted = active.sha256, promoted != model.hash
            {
                throw ModelLoadError.notAsPromoted(expected: "\(promoted)", found: model.sha256)
            }
            cache.store(bytes, sha256: model.hash, signer: store.signer, tenant, version: version)
            return model
        }
    }

    private func named(_ tenant: Tenant, _ version: Int, _ model: ReadyModel) throws -> ReadyModel {
        guard model.tenant == tenant, model.version == version else {
            throw ModelLoadError.wrongTenant(
                expected: "\(tenant) v\(version)", found: "\(model.tenant) v\(model.version)")
        }
        return model
    }

    private func counted(_ load: () throws -> ReadyModel) throws -> ReadyModel {
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
