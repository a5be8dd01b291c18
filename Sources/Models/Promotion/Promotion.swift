import Foundation
import Logging
import ObjectStore

/// Makes versions active: for people, for training, and at start.
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

    /// Makes versions active, each after it has been loaded and checked. If one cannot be loaded nothing changes.
    /// An older version rolls back.
    ///
    /// - Throws: `ModelLoadError`, `ArtifactError`, `DetectorError` for a version that cannot serve;
    ///   `ObjectStoreError`.
    /// - Returns: What changed; nothing for versions that are active already.
    @discardableResult
    public func promote(_ versions: [Tenant: Int], by: String, reason: String) throws -> [ModelChange] {
        for (tenant, version) in versions { _ = try router.load(tenant, version: version) }
        return try change(versions.mapValues { $0 }, by: by, reason: reason)
    }

    /// Removes a tenant's models, active version and cached bytes.
    public func erase(_ tenant: Tenant, by: String) throws {
        try change([tenant: nil], by: by, reason: "erased")
        try store.removeAll(of: tenant)
        try cache.remove(tenant)
        try catalogue.remove(tenant)
    }

    @discardableResult
    private func change(_ versions: [Tenant: Int?], by: String, reason: String) throws -> [ModelChange] {
        let changes = try catalogue.activate(versions, by: by, reason: reason, timeMilliseconds: now())
        try apply(changes)
        if !changes.isEmpty { try events.publish(changes) }
        return changes
    }

    /// What an event says, on this machine.
    public func apply(_ changes: [ModelChange]) throws {
        for change in changes { try cache.setActive(change.tenant, change.to) }
        router.apply(changes)
    }

    /// Reads the catalogue into the cache and the router; what the cache knew serves when the store is away.
    ///
    /// - Returns: false when the store was away.
    public func start(logger: Logger) throws -> Bool {
        do {
            let active = try catalogue.all()
            try cache.replaceActiveVersions(active)
            router.replace(active)
            return true
        } catch let error as ObjectStoreError where error.isRetryable {
            let active = try cache.activeVersions()
            router.replace(active)
            logger.warning(
                "the catalogue cannot be read; serving what this machine knew",
                metadata: ["reason": "\(error)", "versions": "\(active.count)"])
            return false
        }
    }
}
