import Foundation
import Logging
import ObjectStore

/// Makes versions active: for people, for training, and at start. Thread-safe; calls block.
public final class Promotion: Sendable {
    private let store: ModelStore
    private let catalogue: Catalogue
    private let cache: ModelCache
    private let router: ModelRouter
    private let events: any ModelEvents
    private let now: @Sendable () -> Int64

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

    // MARK: Use cases

    /// Makes versions active, each after it has been fetched, opened and tried. If one cannot serve nothing changes.
    /// An older version rolls back.
    ///
    /// Active is what the catalogue says. When that is written the promotion has happened; if others cannot be told
    /// then, they are told later.
    ///
    /// - Throws: `ModelLoadError`, `ArtifactError`, `PreprocessingError`, `DetectorError` for a version that cannot
    ///   serve; `ObjectStoreError`; `CatalogueError`. With tenants of several shards those of the shards before the
    ///   failure are promoted.
    /// - Returns: What changed; nothing for versions that are active already.
    @discardableResult
    public func promote(_ versions: [Tenant: Int], by: String, reason: String) throws -> [ModelChange] {
        var activations: [Activation] = []
        var ready: [Tenant: ReadyModel] = [:]
        let table = router.snapshot()
        for (tenant, version) in versions {
            let model = try router.loader.fetch(tenant, version: version, isPromoted: false)
            activations.append(Activation(tenant, version: version, sha256: model.hash))
            // What batches use now they will want at once. Of a million users all would be too many.
            if tenant == .global || router.isWarm(tenant, version: table.version(of: tenant)) {
                ready[tenant] = model
            }
        }
        let changes = try change(activations, ready: ready, by: by, reason: reason)
        // They work, so those that are active already may serve again if they were taken out of service.
        for (tenant, version) in versions { router.release(tenant, version: version) }
        return changes
    }

    /// Removes a tenant's models, active version, history and cached bytes, here and where the event is heard.
    ///
    /// Done again after a failure it goes on where it was.
    public func erase(_ tenant: Tenant, by: String) throws {
        let reason = "erased"
        let changes = try change([Activation(tenant, version: nil)], ready: [:], by: by, reason: reason)
        if changes.isEmpty {
            // Nothing was active, but others may have something in their caches.
            announce([
                ModelChange(
                    userID: tenant.userID, sequence: 0, by: by, reason: reason, timeMilliseconds: now())
            ])
        }
        try store.removeAll(of: tenant)
        try cache.remove(tenant)
        try catalogue.remove(tenant)
    }

    /// Stores a version that differs from another by a lower threshold alone.
    ///
    /// - Returns: Its number; nil when the other is not there, or its threshold is as low already.
    func publishCapped(_ tenant: Tenant, _ version: Int, threshold: Double) throws -> Int? {
        guard let bytes = try store.bytes(of: tenant, version: version) else { return nil }
        let artifact = try Artifact(decoding: bytes, key: store.key)
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
            try router.apply(changes, ready: ready)
            announce(changes)
        }
    }

    // MARK: Events

    /// What an event says, on this machine. Changes that are older than what is known here change nothing.
    ///
    /// - Throws: `ObjectStoreError` when the new global model has to be fetched and the store is away.
    public func apply(_ changes: [ModelChange]) throws {
        // Erased, or another artifact under the same number: nothing of it may be found here.
        for change in changes where change.to == change.from || change.to == nil {
            inCache { try cache.remove(change.tenant) }
        }
        try router.apply(changes)
        inCache { try cache.apply(changes, announcing: false) }
    }

    /// Notes changes in the cache, together with having to tell others of them, and tells.
    private func announce(_ changes: [ModelChange]) {
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
    private func announcePending() {
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
    private func inCache(_ body: () throws -> Void) -> Bool {
        do {
            try body()
            return true
        } catch {
            router.logger.error("the model cache cannot be written", metadata: ["reason": "\(error)"])
            return false
        }
    }

    // MARK: Start

    /// Reads the catalogue, as far as it has changed, into the cache and the router; when the store is away, what the
    /// cache knew serves. Also tells others what they could not be told before.
    ///
    /// - Returns: false when the store was away.
    /// - Throws: `CatalogueError`; `ObjectStoreError` for anything but absence.
    public func start(logger: Logger) throws -> Bool {
        announcePending()
        do {
            try reload(logger: logger)
            return true
        } catch let error as ObjectStoreError where error.isRetryable {
            let table = try cachedTable()
            try router.replace(with: table)
            logger.warning(
                "the catalogue cannot be read; serving what this machine knew",
                metadata: ["reason": "\(error)", "users": "\(table.userCount)"])
            return false
        }
    }

    private func reload(logger: Logger) throws {
        var known: [String: VersionTag] = [:]
        inCache { known = try cache.shardTags() }
        let (changed, keys) = try catalogue.load(except: known)
        // Before the cache says that it is active, so that a start without the store finds one that can be loaded.
        let global = changed.lazy.compactMap { $0.active[.global] }.first
        if let global { try router.prepareGlobal(global.version) }
        var table: RoutingTable?
        inCache {
            try cache.replace(changed, keys: keys)
            table = try cachedTable()
        }
        try router.replace(with: try table ?? RoutingTable(catalogue.all()))
    }

    private func cachedTable() throws -> RoutingTable {
        var builder = RoutingTable.Builder()
        try cache.forEachActive { builder.insert($0, $1) }
        return RoutingTable(builder)
    }
}
