import DetectorAPI
import Logging
import Metrics
import ObjectStore
import Plugins
import Synchronization

/// What serving asks: the model for a user, now. Thread-safe.
///
/// Above SQLite it keeps ready models in memory, limited in bytes; the global model is never let go of.
public final class ModelRouter: Sendable {
    private struct ModelKey: Hashable {
        /// nil: global.
        let user: UInt64?
        let version: Int
    }

    private struct Entry {
        let model: ReadyModel
        var lastUse: UInt64
    }

    private struct State {
        var table = RoutingTable()
        var models: [ModelKey: Entry] = [:]
        var sizeBytes = 0
        var clock: UInt64 = 0
        var quarantine: [ModelKey: (reason: FallbackReason, detail: String)] = [:]
    }

    private let store: ModelStore
    private let cache: ModelCache
    private let registry: DetectorRegistry
    private let maximumSize: Int
    private let logger: Logger
    private let state = Mutex(State())
    /// One load at a time: threads that want the same model find it when their turn comes.
    private let loading = Mutex(())

    private let loads = Counter(label: "ml_model_loads_total")
    private let failures = Counter(label: "ml_model_load_failures_total")
    private let evictions = Counter(label: "ml_model_evictions_total")
    private let quarantined = Counter(label: "ml_models_quarantined_total")

    /// - Parameter maximumSize: Bytes of users' ready models in memory.
    public init(
        store: ModelStore, cache: ModelCache, registry: DetectorRegistry, maximumSize: Int, logger: Logger
    ) {
        self.store = store
        self.cache = cache
        self.registry = registry
        self.maximumSize = maximumSize
        self.logger = logger
    }

    // MARK: Routing

    /// The table of this moment; take one a batch.
    public func snapshot() -> RoutingTable { state.withLock { $0.table } }

    /// The model for a user. Without a model of the user's own it costs one look-up in the table.
    ///
    /// - Parameters:
    ///   - user: The id in UTF-8.
    ///   - hash: `TextHash` of the id.
    /// - Throws: `ObjectStoreError` when a model has to be fetched and the store is away: try again.
    public func model(
        for user: UnsafeBufferPointer<UInt8>, hash: UInt64, in table: RoutingTable
    ) throws -> Route {
        var fallback = FallbackReason.noUserModel
        if let version = table.users[hash].map(Int.init) {
            let key = ModelKey(user: hash, version: version)
            switch try find(key, { .user(String(decoding: user, as: UTF8.self)) }) {
            case .success(let model):
                // Another user's id may have the same hash.
                if let id = model.tenant.userID, id.utf8.elementsEqual(user) { return .user(model) }
            case .failure(let reason): fallback = reason.reason
            }
        }
        guard let global = try globalModel(in: table) else { return .none }
        return .global(global, fallback: fallback)
    }

    public func globalModel() throws -> ReadyModel? { try globalModel(in: snapshot()) }

    private func globalModel(in table: RoutingTable) throws -> ReadyModel? {
        guard let version = table.global else { return nil }
        switch try find(ModelKey(user: nil, version: version), { .global }) {
        case .success(let model): return model
        case .failure: return nil
        }
    }

    private struct Unusable: Error { let reason: FallbackReason }

    private func find(_ key: ModelKey, _ tenant: () -> Tenant) throws -> Result<ReadyModel, Unusable> {
        if let found = lookUp(key) { return found }
        return try loading.withLock { _ in
            if let found = lookUp(key) { return found }
            let tenant = tenant()
            do {
                let model = try load(tenant, version: key.version)
                keep(model, key)
                return .success(model)
            } catch let error as ObjectStoreError where error.isRetryable {
                throw error
            } catch {
                failures.increment()
                put(key, tenant, .loadFailed, "\(error)")
                return .failure(Unusable(reason: .loadFailed))
            }
        }
    }

    private func lookUp(_ key: ModelKey) -> Result<ReadyModel, Unusable>? {
        state.withLock { state in
            if !state.quarantine.isEmpty, let entry = state.quarantine[key] {
                return .failure(Unusable(reason: entry.reason))
            }
            guard let entry = state.models[key] else { return nil }
            state.clock += 1
            state.models[key]?.lastUse = state.clock
            return .success(entry.model)
        }
    }

    /// Reads, checks and opens a model, from this machine's cache or else the object store.
    public func load(_ tenant: Tenant, version: Int) throws -> ReadyModel {
        loads.increment()
        if let bytes = try cache.artifact(tenant, version: version),
            let model = try? ready(bytes, tenant, version)
        {
            return model
        }
        guard let bytes = try store.bytes(of: tenant, version: version) else {
            throw ModelLoadError.notFound(tenant: tenant.description, version: version)
        }
        let model = try ready(bytes, tenant, version)
        try cache.store(bytes, tenant, version: version)
        return model
    }

    private func ready(_ bytes: ArtifactBytes, _ tenant: Tenant, _ version: Int) throws -> ReadyModel {
        let model = try ReadyModel(bytes, key: store.key, registry: registry)
        guard model.tenant == tenant, model.version == version else {
            throw ModelLoadError.wrongTenant(
                expected: "\(tenant) v\(version)", found: "\(model.tenant) v\(model.version)")
        }
        return model
    }

    private func keep(_ model: ReadyModel, _ key: ModelKey) {
        state.withLock { state in
            state.clock += 1
            state.models[key] = Entry(model: model, lastUse: state.clock)
            guard key.user != nil else { return }
            state.sizeBytes += model.sizeBytes
            guard state.sizeBytes > maximumSize else { return }
            // An eighth at once, so that a full cache is not sorted for every model.
            for (old, entry) in state.models.filter({ $0.key.user != nil }).sorted(by: {
                $0.value.lastUse < $1.value.lastUse
            }) {
                guard state.sizeBytes > maximumSize / 8 * 7, old != key else { break }
                state.models[old] = nil
                state.sizeBytes -= entry.model.sizeBytes
                evictions.increment()
            }
        }
    }

    /// Of users' ready models in memory.
    public var sizeBytes: Int { state.withLock { $0.sizeBytes } }

    // MARK: Quarantine

    /// Takes a version out of service: its transactions are scored by the fallback from now on.
    public func quarantine(_ tenant: Tenant, version: Int, reason: String) {
        put(
            ModelKey(user: tenant.userID.map(RoutingTable.hash), version: version), tenant, .quarantined,
            reason)
    }

    private func put(_ key: ModelKey, _ tenant: Tenant, _ reason: FallbackReason, _ detail: String) {
        let isNew = state.withLock { state in
            if let entry = state.models.removeValue(forKey: key), key.user != nil {
                state.sizeBytes -= entry.model.sizeBytes
            }
            return state.quarantine.updateValue((reason, detail), forKey: key) == nil
        }
        guard isNew else { return }
        quarantined.increment()
        logger.error(
            "a model is out of service",
            metadata: [
                "tenant": "\(tenant)", "version": "\(key.version)", "fallback": "\(reason.rawValue)",
                "reason": "\(detail)",
            ])
    }

    // MARK: Changes

    /// Replaces the whole table.
    public func replace(_ active: [Tenant: Int]) {
        let table = RoutingTable(active)
        state.withLock { $0.table = table }
    }

    /// Applies changes at once, for the next batch. A version that is promoted again leaves quarantine.
    public func apply(_ changes: [ModelChange]) {
        guard !changes.isEmpty else { return }
        state.withLock { state in
            state.table = state.table.applying(changes)
            for change in changes {
                let user = change.userID.map(RoutingTable.hash)
                if let version = change.to { state.quarantine[ModelKey(user: user, version: version)] = nil }
                let old = ModelKey(user: user, version: change.from ?? -1)
                if let entry = state.models.removeValue(forKey: old), user != nil {
                    state.sizeBytes -= entry.model.sizeBytes
                }
            }
        }
    }
}
