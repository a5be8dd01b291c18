import DetectorAPI
import Logging
import Metrics
import ObjectStore
import Plugins
import Synchronization
import Transactions

/// What serving asks: the model for a user, now. Thread-safe.
///
/// Above SQLite it keeps ready models in memory, limited in bytes; the global model is never let go of.
public final class ModelRouter: Sendable {
    struct State {
        var table = RoutingTable()
        var models: ReadyModels
        var flights: [ModelKey: ModelFlight] = [:]
        var quarantine: [ModelKey: Quarantined] = [:]
        var hitCount = 0
        var globalDamage: CatalogueError?
    }

    struct Quarantined {
        let model: QuarantinedModel
        /// The detector it failed for: when that is loaded the model is tried again.
        let missingDetector: String?
    }

    /// A model, or why there is none.
    enum Found {
        case model(ReadyModel)
        case unusable(FallbackReason)
    }

    let loader: ModelLoader
    let state: Mutex<State>
    package let logger: Logger

    private let hits = Counter(label: "ml_model_cache_hits_total", dimensions: [("cache", "memory")])
    let misses = Counter(label: "ml_model_cache_misses_total", dimensions: [("cache", "memory")])
    private let evictions = Counter(
        label: "ml_model_cache_evictions_total", dimensions: [("cache", "memory")])
    private let fallbacks = Counter(label: "ml_detector_away_total")
    private let quarantined = Gauge(label: "ml_models_quarantined")

    /// - Parameter maximumSize: Bytes of users' ready models in memory.
    public init(
        store: ModelStore, cache: ModelCache, registry: DetectorRegistry, maximumSize: Int, logger: Logger
    ) {
        loader = ModelLoader(store: store, cache: cache, registry: registry)
        state = Mutex(State(models: ReadyModels(maximumSize: maximumSize)))
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
        try models(for: [(user, hash)], in: table)[0]
    }

    /// A stored version, active or not, which serves nobody by that.
    ///
    /// - Throws: As loading does; `ObjectStoreError` when the store is away.
    public func model(of tenant: Tenant, version: Int) throws -> ReadyModel {
        try loader.fetch(tenant, version: version).model
    }

    /// - Throws: `ObjectStoreError` when it has to be fetched and the store is away.
    public func globalModel() throws -> ReadyModel? { try globalModel(in: snapshot()) }

    /// The active one; while that cannot be loaded here, the one that served before.
    func globalModel(in table: RoutingTable) throws -> ReadyModel? {
        guard let version = table.global else { return nil }
        switch try find(ModelKey(user: 0, version: version), { .global }) {
        case .model(let model): return model
        case .unusable: return state.withLock { $0.models.lastGlobal }
        }
    }

    // MARK: Loading

    /// A ready model; threads that want the same one load it once.
    func find(_ key: ModelKey, _ tenant: () -> Tenant) throws -> Found {
        try find([key]) { _ in tenant() }[0]
    }

    func lookUp(_ key: ModelKey, in state: inout State) -> Found? {
        if !state.quarantine.isEmpty, let entry = state.quarantine[key] {
            guard let detector = entry.missingDetector, loader.has(detector: detector) else {
                return .unusable(entry.model.fallback)
            }
            state.quarantine[key] = nil
            quarantined.record(state.quarantine.count)
        }
        guard let model = state.models.find(key) else { return nil }
        // Told in bundles: a counter is dearer than the look-up.
        state.hitCount += 1
        if state.hitCount == 1_024 {
            hits.increment(by: state.hitCount)
            state.hitCount = 0
        }
        return .model(model)
    }

    /// - Returns: Models that nobody needs any more, see `ReadyModels.insert`.
    @discardableResult
    func keep(_ model: ReadyModel, _ key: ModelKey, in state: inout State) -> [ReadyModel] {
        let evicted = state.models.insert(model, key)
        if !evicted.isEmpty { evictions.increment(by: evicted.count) }
        return evicted
    }

    /// - Throws: `ObjectStoreError`: the store is to blame, not the model.
    func load(_ key: ModelKey, _ tenant: Tenant) throws -> Found {
        try settle(key, tenant, loader.load([(tenant, key.version)])[0])
    }

    /// Takes a model that cannot be loaded out of service.
    func settle(_ key: ModelKey, _ tenant: Tenant, _ loaded: Result<ReadyModel, any Error>) throws -> Found {
        do {
            return .model(try loaded.get())
        } catch let error as ObjectStoreError {
            throw error
        } catch is DetectorAway {
            return .unusable(.detectorAway)
        } catch {
            var missing: String?
            if case ModelLoadError.unknownDetector(let id, _) = error { missing = id }
            put(
                key,
                Quarantined(
                    model: QuarantinedModel(
                        tenant: tenant, version: key.version, fallback: .loadFailed, reason: "\(error)"),
                    missingDetector: missing))
            return .unusable(.loadFailed)
        }
    }

    /// Bytes of users' ready models in memory.
    public var sizeBytes: Int { state.withLock { $0.models.sizeBytes } }

    // MARK: Quarantine

    /// Takes a version out of service: its transactions are scored by the fallback from now on.
    public func quarantine(_ tenant: Tenant, version: Int, reason: String) {
        put(
            ModelKey(tenant, version: version),
            Quarantined(
                model: QuarantinedModel(
                    tenant: tenant, version: version, fallback: .quarantined, reason: reason),
                missingDetector: nil))
    }

    /// Notes that a model failed while it scored: it goes into quarantine, unless the process that its detector runs in
    /// is to blame; then this batch alone does without it.
    ///
    /// - Parameter cause: What it threw, if it threw.
    /// - Returns: Why the fallback scores.
    public func noteFailure(of model: ReadyModel, _ cause: (any Error)?, reason: String) -> FallbackReason {
        guard let away = cause as? DetectorAway else {
            quarantine(model.tenant, version: model.version, reason: reason)
            return .quarantined
        }
        fallbacks.increment()
        if away.hasJustEnded {
            logger.error(
                "a detector's process has ended",
                metadata: [
                    "detector": "\(model.brief.detectorID)", "tenant": "\(model.tenant)",
                    "version": "\(model.version)", "reason": "\(away)",
                ])
        }
        return .detectorAway
    }

    /// The versions that do not serve here although they are, or were, active.
    public var quarantinedModels: [QuarantinedModel] {
        state.withLock { $0.quarantine.values.map(\.model) }.sorted {
            ($0.tenant, $0.version) < ($1.tenant, $1.version)
        }
    }

    /// Lets a version serve again.
    func release(_ tenant: Tenant, version: Int) {
        state.withLock { state in
            let key = ModelKey(tenant, version: version)
            guard state.quarantine.removeValue(forKey: key) != nil else { return }
            quarantined.record(state.quarantine.count)
        }
    }

    /// Lets go of everything that names a tenant.
    func forget(_ tenant: Tenant) {
        state.withLock { state in
            state.models.removeUsers { $0.tenant == tenant }
            state.quarantine = state.quarantine.filter { $0.value.model.tenant != tenant }
            quarantined.record(state.quarantine.count)
        }
    }

    private func put(_ key: ModelKey, _ entry: Quarantined) {
        let isNew = state.withLock { state in
            state.models.remove(key)
            let isNew = state.quarantine.updateValue(entry, forKey: key) == nil
            quarantined.record(state.quarantine.count)
            return isNew
        }
        guard isNew else { return }
        logger.error(
            "a model is out of service",
            metadata: [
                "tenant": "\(entry.model.tenant)", "version": "\(key.version)",
                "fallback": "\(entry.model.fallback.rawValue)", "reason": "\(entry.model.reason)",
            ])
    }
}

extension ModelKey {
    init(_ tenant: Tenant, version: Int) {
        self.init(user: tenant.userID.map { TextHash.hash($0) } ?? 0, version: version)
    }
}
