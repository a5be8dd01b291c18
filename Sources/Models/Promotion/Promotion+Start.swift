import Foundation
import Logging
import Metrics
import ObjectStore
import Synchronization

/// What a process knows of the catalogue when it starts, and finds in it later.
extension Promotion {
    /// Reads the catalogue, as far as it has changed, into the cache and the router; when the store is away, what the
    /// cache knew serves, and where a manifest is damaged, what the cache knew of its tenants. Also tells others what they
    /// could not be told before.
    ///
    /// - Returns: false when the store was away.
    /// - Throws: `ObjectStoreError` for anything but absence, where the cache knows nothing either.
    public func start(logger: Logger) throws -> Bool {
        announcePending()
        do {
            try applying.withLock { _ in try reload(logger: logger) }
            isCatalogueRead.withLock { $0 = true }
            return true
        } catch let error as ObjectStoreError where error.isRetryable && isInformed {
            // What serves is at least as new as what the cache knows, which a full disk may have kept from learning.
            logger.warning(
                "the catalogue cannot be read; serving what this process knows",
                metadata: ["reason": "\(error)"])
            return false
        } catch let error as ObjectStoreError {
            let table = try cachedTable()
            // A store that refuses may get over it, too; but there has to be something to serve meanwhile.
            guard error.isRetryable || table.global != nil || table.userCount > 0 else { throw error }
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
        let loaded = try catalogue.load(except: known)
        note(loaded.damaged, logger)
        // Before the cache says that it is active, so that a start without the store finds one that can be loaded.
        let global = loaded.changed.lazy.compactMap { $0.active[.global] }.first
        if let global { try router.prepareGlobal(global.version) }
        var table: RoutingTable?
        var untold: [ModelChange] = []
        inCache {
            // Whoever wrote the catalogue may have died before it told anybody, this process in an earlier life for one.
            for shard in loaded.changed where known[shard.key] != nil {
                untold += differences(of: shard, before: try cache.active(inShard: shard.key))
            }
            try cache.replace(loaded.changed, keys: loaded.keys)
            table = try cachedTable()
        }
        try router.replace(with: try table ?? RoutingTable(catalogue.all()))
        // No event names somebody who was erased.
        let told = untold.filter { $0.to != nil }
        if !told.isEmpty { announce(told) }
    }

    /// What a manifest says that the cache did not know.
    private func differences(of shard: Catalogue.Shard, before: [Data: ActiveModel]) -> [ModelChange] {
        let gone = before.keys.map { $0.isEmpty ? Tenant.global : .user(String(decoding: $0, as: UTF8.self)) }
        return Set(shard.active.keys).union(gone).compactMap { tenant in
            let known = before[tenant.cacheKey].map { (version: $0.version, sequence: $0.sequence) }
            return difference(tenant, known, shard.active[tenant])
        }
    }

    /// Looks whether the catalogue has changed without a word: an event may be lost, or come from somebody who tells none.
    ///
    /// - Returns: What has changed here.
    /// - Throws: `ObjectStoreError` when the store is away.
    public func poll(logger: Logger) throws -> [ModelChange] {
        announcePending()
        return try applying.withLock { _ in
            let known = try cache.shardTags()
            let loaded = try catalogue.load(except: known)
            note(loaded.damaged, logger)
            var changes: [ModelChange] = []
            for shard in loaded.changed {
                var before = try cache.active(inShard: shard.key)
                var here: [ModelChange] = []
                for (tenant, model) in shard.active {
                    before[tenant.cacheKey] = nil
                    let entry = router.snapshot().entry(of: tenant)
                    if let change = difference(tenant, entry, model) { here.append(change) }
                }
                // Those who are left are not in it any more.
                for user in before.keys {
                    let tenant = user.isEmpty ? Tenant.global : .user(String(decoding: user, as: UTF8.self))
                    let entry = router.snapshot().entry(of: tenant)
                    if let change = difference(tenant, entry, nil) { here.append(change) }
                }
                try settle(here)
                changes += here
            }
            if !loaded.changed.isEmpty || loaded.keys != Set(known.keys) {
                // If it cannot be written, the next poll reads these manifests once more.
                inCache { try cache.replace(loaded.changed, keys: loaded.keys) }
            }
            isCatalogueRead.withLock { $0 = true }
            return changes
        }
    }

    private func note(_ damaged: [CatalogueError], _ logger: Logger) {
        self.damaged.record(damaged.count)
        router.noteGlobalDamage(damaged.first { $0.key == Tenant.globalManifestKey })
        for error in damaged {
            logger.error(
                "a part of the catalogue is damaged; what this machine knew of it serves",
                metadata: ["reason": "\(error)"])
        }
    }

    private func cachedTable() throws -> RoutingTable {
        var builder = RoutingTable.Builder()
        try cache.forEachActive { builder.insert($0, $1) }
        return RoutingTable(builder)
    }
}
