import Foundation
import Logging
import Metrics
import ObjectStore
import Synchronization

/// Makes versions active: for people, for training, and at start. Thread-safe; calls block.
public final class Promotion: Sendable {
    let store: ModelStore
    let catalogue: Catalogue
    let cache: ModelCache
    let router: ModelRouter
    private let events: any ModelEvents
    let now: @Sendable () -> Int64
    /// Held from reading the catalogue to applying what it said, so that what was read first is applied first.
    let applying = Mutex(())
    let damaged = Gauge(label: "ml_catalogue_objects_damaged")
    let isCatalogueRead = Mutex(false)

    /// - Parameter now: Epoch milliseconds, for the history.
    public init(
        store: ModelStore, catalogue: Catalogue, cache: ModelCache, router: ModelRouter,
        events: any ModelEvents,
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) {
        self.store = store
        self.catalogue = catalogue
        self.cache = cache
        self.router = router
        self.events = events
        self.now = now
    }

    /// Whether transactions can be scored: those of users without a model of their own need the global one.
    public var hasGlobalModel: Bool { router.snapshot().global != nil }

    /// Why they cannot; nil: they can.
    public var globalTrouble: GlobalModelTrouble? { router.globalTrouble }

    /// Whether the catalogue, or what this machine has kept of it, has been read: false on a new machine while the store is away.
    public var isInformed: Bool { isCatalogueRead.withLock { $0 } || hasGlobalModel }

    /// The versions that do not serve in this process although they are, or were, active.
    public var quarantinedModels: [QuarantinedModel] { router.quarantinedModels }

    /// Whose model scores a user's transactions in this process now.
    ///
    /// - Returns: No version where there is no global model; why the user's own one does not serve.
    public func serving(userID: String) -> (tenant: Tenant, version: Int?, reason: String?) {
        let table = router.snapshot()
        let user = Tenant.user(userID)
        guard let own = table.version(of: user) else {
            return (.global, table.global, "the user has no model of their own")
        }
        if let quarantined = router.quarantinedModels.first(where: { $0.tenant == user && $0.version == own })
        {
            return (.global, table.global, "v\(own) is out of service: \(quarantined.reason)")
        }
        return (user, own, nil)
    }

    // MARK: Use cases

    /// Makes versions active, each after it has been fetched, opened and tried. If one cannot serve nothing changes.
    /// An older version rolls back.
    ///
    /// Active is what the catalogue says. When that is written the promotion has happened; if others cannot be told
    /// then, they are told later.
    ///
    /// - Parameters:
    ///   - places: Of versions that lie in packs, as far as they are known: each pack is read once.
    ///   - expected: Of one tenant, what the caller saw active; nil: what is active now.
    ///   - overtakes: Even of one tenant the version becomes active whatever somebody else has promoted meanwhile: it is
    ///     one of many, whom nobody has looked at one by one.
    ///   - reason: For the history; nil: the job that each version was made by.
    /// - Throws: `ModelLoadError`, `ArtifactError`, `PreprocessingError`, `DetectorError` for a version that cannot
    ///   serve; `ObjectStoreError`; `CatalogueError`, of one tenant also when somebody else has promoted another version
    ///   meanwhile. With tenants of several shards those of the shards before the
    ///   failure are promoted.
    /// - Returns: What changed; nothing for versions that are active already.
    @discardableResult
    public func promote(
        _ versions: [Tenant: Int], places: [Tenant: PackPlace] = [:], expected: ActiveModel?? = nil,
        overtakes: Bool = false, by: String, reason: String?
    ) throws -> [ModelChange] {
        var activations: [Activation] = []
        var ready: [Tenant: ReadyModel] = [:]
        let table = router.snapshot()
        // Whoever promotes one version has looked at what is active. Of many, some may have changed.
        let before: ActiveModel?? =
            if let tenant = versions.keys.first, versions.count == 1, !overtakes {
                .some(try expected ?? catalogue.active([tenant])[tenant])
            } else { nil }
        func add(_ model: ReadyModel, _ place: PackPlace?) {
            let (tenant, version) = (model.tenant, model.version)
            let job = model.brief.jobID.map { "job \($0)" }
            var activation = Activation(
                tenant, version: version, sha256: model.hash, place: place, reason: reason ?? job)
            activation.gate = model.header.gate
            activation.before = before.map { $0.map { .version($0.version) } ?? .nothing }
            activations.append(activation)
            // What batches use now they will want at once. Of a million users all would be too many.
            if tenant == .global || router.isWarm(tenant, version: table.version(of: tenant)) {
                ready[tenant] = model
            }
        }
        for (pack, tenants) in Dictionary(grouping: versions.keys, by: { places[$0]?.pack }) {
            if let pack {
                try router.loader.fetch(
                    pack: pack,
                    tenants.compactMap { tenant in
                        guard let version = versions[tenant], let place = places[tenant] else { return nil }
                        return (tenant, version, place)
                    }, add)
            } else {
                for tenant in tenants {
                    guard let version = versions[tenant] else { continue }
                    let fetched = try router.loader.fetch(tenant, version: version)
                    add(fetched.model, fetched.place)
                }
            }
        }
        let changes = try change(activations, ready: ready, by: by, reason: reason ?? "")
        // The catalogue may have had them active while this process did not know: whoever wrote that, this process a
        // moment ago for one, may have had no answer, and told nobody. Told twice does no harm.
        let lagging = versions.filter { router.snapshot().version(of: $0.key) != $0.value }.map(\.key)
        if !lagging.isEmpty {
            let found = try refresh(Set(lagging), ready: ready)
            announce(
                found.map { change in
                    var told = change
                    (told.by, told.reason) = (by, reason ?? "")
                    return told
                })
        }
        // They work, so those that are active already may serve again if they were taken out of service.
        for (tenant, version) in versions { router.release(tenant, version: version) }
        return changes
    }

    /// Takes users' own versions out of serving: the global model judges their transactions from then on. The versions stay
    /// stored, and can be promoted again. One that is not active any more is left alone.
    ///
    /// - Parameter reasons: For the history, by tenant.
    /// - Returns: What changed.
    @discardableResult
    public func retire(
        _ versions: [Tenant: Int], by: String, reasons: [Tenant: String]
    ) throws -> [ModelChange] {
        let activations = versions.map { tenant, version in
            var activation = Activation(tenant, version: nil, reason: reasons[tenant])
            activation.before = .version(version)
            return activation
        }
        return try change(activations, ready: [:], by: by, reason: "")
    }

    /// What `erase` removed.
    public struct Erased: Sendable, Hashable {
        /// Whether the catalogue knew the tenant.
        public var wasKnown = false
        public var history = 0
        public var versions = 0
        /// Artifacts in this machine's cache.
        public var cached = 0
        public var events = 0
        /// Events that name the tenant could not be removed: erase again. Nothing else is missing.
        public var eventsFailure: String?
    }

    /// Removes a tenant's models, active version, history, cached bytes and events. Other processes are told to read the
    /// catalogue, and forget what they find is gone; one that cannot be told finds out when it looks.
    ///
    /// Done again after a failure it goes on where it was.
    public func erase(_ tenant: Tenant) throws -> Erased {
        var erased = Erased()
        // First, so that nobody serves it any more.
        (erased.wasKnown, erased.history) = try catalogue.remove(tenant)
        try PendingPromotions(objects: store.objects).remove(tenant)
        erased.versions = try store.removeAll(of: tenant)
        try applying.withLock { _ in
            let from = router.snapshot().version(of: tenant)
            let change = ModelChange(
                userID: tenant.userID, sequence: 0, from: from, by: "", reason: "", timeMilliseconds: now())
            try router.apply([change], isDecided: true)
            router.forget(tenant)
            erased.cached = try cache.remove(tenant)
        }
        do {
            erased.events = try events.erase(tenant)
        } catch {
            erased.eventsFailure = "\(error)"
        }
        return erased
    }

    /// Stores a version that differs from another by a lower threshold alone.
    ///
    /// - Returns: Its number; nil when the other is not there, or its threshold is as low already.
    func publishCapped(_ tenant: Tenant, _ version: Int, threshold: Double) throws -> Int? {
        guard let bytes = try store.bytes(of: tenant, version: version) else { return nil }
        let artifact = try store.open(bytes).artifact
        var header = artifact.header
        guard threshold < header.threshold else { return nil }
        header.uncappedThreshold = header.uncappedThreshold ?? header.threshold
        header.threshold = threshold
        header.parent = version
        header.jobID = nil
        header.gate = []
        header.createdMilliseconds = now()
        return try store.publish(header, payload: Array(artifact.payload.bytes)).version
    }

    private func change(
        _ activations: [Activation], ready: [Tenant: ReadyModel], by: String, reason: String
    ) throws -> [ModelChange] {
        try catalogue.activate(activations, by: by, reason: reason, timeMilliseconds: now()) { changes in
            try applying.withLock { _ in try router.apply(changes, ready: ready) }
            announce(changes)
            if let change = changes.first, changes.count == 1 {
                router.logger.notice(
                    change.to == nil ? "a tenant has no model any more" : "a model was promoted",
                    metadata: [
                        "tenant": "\(change.tenant)", "version": "\(change.to.map(String.init) ?? "none")",
                        "by": "\(by)",
                    ])
            } else {
                router.logger.notice("models were promoted", metadata: ["count": "\(changes.count)"])
            }
        }
    }

    // MARK: Events

    /// What this process does when it hears of changes. An event is a hint, which may be old, doubled or forged: what is
    /// active the catalogue says, in the manifests of the tenants that the event names.
    ///
    /// - Returns: What has changed here.
    /// - Throws: `ObjectStoreError` when the store is away; `CatalogueError` for a damaged manifest.
    @discardableResult
    public func apply(_ hints: [ModelChange]) throws -> [ModelChange] {
        try refresh(Set(hints.map(\.tenant)))
    }

    /// Reads what is active for some tenants, and has this process serve it.
    @discardableResult
    private func refresh(
        _ tenants: Set<Tenant>, ready: [Tenant: ReadyModel] = [:]
    ) throws -> [ModelChange] {
        try applying.withLock { _ in
            let active = try catalogue.active(tenants)
            let table = router.snapshot()
            let changes = tenants.compactMap { tenant in
                difference(tenant, table.entry(of: tenant), active[tenant])
            }
            // Whoever has no model may have been erased: nothing of theirs may be found here, even if none was active.
            for tenant in tenants where active[tenant] == nil {
                inCache { if try cache.holds(tenant) { try cache.remove(tenant) } }
            }
            try settle(changes, ready: ready)
            return changes
        }
    }

    /// - Returns: nil when both are the same.
    func difference(
        _ tenant: Tenant, _ known: (version: Int, sequence: Int)?, _ active: ActiveModel?
    ) -> ModelChange? {
        guard known?.version != active?.version || known?.sequence != active?.sequence else { return nil }
        return ModelChange(
            userID: tenant.userID, sequence: active?.sequence ?? 0, from: known?.version, to: active?.version,
            sha256: active?.sha256?.description, place: active?.place, by: "catalogue", reason: "",
            timeMilliseconds: now())
    }

    /// Has the router and the cache know what the catalogue says.
    func settle(_ changes: [ModelChange], ready: [Tenant: ReadyModel] = [:]) throws {
        // Erased, or another artifact under the same number: nothing of it may be found here.
        for change in changes where change.to == change.from || change.to == nil {
            inCache { try cache.remove(change.tenant) }
        }
        // Before the router, which asks it which artifact is meant; a user's only, so that a start without the store
        // finds a global model that can be loaded.
        let users = changes.filter { $0.userID != nil }
        inCache { try cache.apply(users, announcing: false, isDecided: true) }
        try router.apply(changes, ready: ready, isDecided: true)
        inCache { try cache.apply(changes, announcing: false, isDecided: true) }
    }

    /// Notes changes in the cache, together with having to tell others of them, and tells.
    func announce(_ changes: [ModelChange]) {
        if inCache({ try cache.apply(changes, announcing: true) }) {
            announcePending()
        } else {
            do {
                try events.publish(changes)
            } catch {
                router.logger.error(
                    "a promotion is known to this machine and the catalogue alone",
                    metadata: ["reason": "\(error)"])
            }
        }
    }

    /// Tells others what they have not been told yet.
    func announcePending() {
        do {
            while true {
                let (changes, lastRow) = try cache.announcements(limit: 10_000)
                guard !changes.isEmpty else { return }
                try events.publish(changes)
                try cache.forgetAnnouncements(through: lastRow)
            }
        } catch {
            router.logger.warning(
                "others hear of a promotion later: at the next one, or when this service finds the events again",
                metadata: ["reason": "\(error)"])
        }
    }

    /// - Returns: false when the cache failed, which is logged: promotions go on without it.
    @discardableResult
    func inCache(_ body: () throws -> Void) -> Bool {
        do {
            try body()
            return true
        } catch {
            router.logger.error("the model cache cannot be written", metadata: ["reason": "\(error)"])
            return false
        }
    }
}
