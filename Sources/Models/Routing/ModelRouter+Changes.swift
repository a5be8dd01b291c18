import ObjectStore

extension ModelRouter {
    /// Replaces the whole table, once the global model that it names is ready.
    ///
    /// - Throws: `ObjectStoreError` when that model has to be fetched, the store is away, and another one serves; then
    ///   nothing is replaced. Without one that serves the table is replaced, and batches wait for the model.
    public func replace(_ active: [Tenant: ActiveModel]) throws { try replace(with: RoutingTable(active)) }

    func replace(with table: RoutingTable) throws {
        // What could not be loaded may have been put right: the global model is tried now, others by their next batch.
        state.withLock { state in
            state.quarantine = state.quarantine.filter { $0.value.model.fallback == .quarantined }
        }
        if let version = table.global { try prepareGlobal(version) }
        state.withLock { state in
            state.quarantine = state.quarantine.filter { key, entry in
                table.version(of: entry.model.tenant) == key.version
            }
            state.table = table
            // Nothing of somebody who was erased while nobody listened.
            state.models.removeUsers { table.version(of: $0.tenant) != $0.version }
            settleGlobals(&state)
        }
    }

    /// Loads a version of the global model ahead of being routed to.
    ///
    /// - Throws: `ObjectStoreError` when it has to be fetched and the store is away, unless no other version serves.
    func prepareGlobal(_ version: Int) throws {
        let isServing = state.withLock { $0.models.lastGlobal != nil }
        do {
            _ = try find(ModelKey(user: 0, version: version), { .global })
        } catch  where !isServing {}
    }

    /// Applies changes for the next batch, after loading and checking the models that batches are waiting for: the global
    /// one, and those of users whose models are in memory. A version that is promoted again leaves quarantine.
    ///
    /// - Parameters:
    ///   - ready: Models that are loaded already.
    ///   - isDecided: The changes are what the catalogue says now, see `RoutingTable.applying`.
    /// - Throws: `ObjectStoreError` when the global model has to be fetched and the store is away: nothing is changed then.
    public func apply(
        _ changes: [ModelChange], ready: [Tenant: ReadyModel] = [:], isDecided: Bool = false
    ) throws {
        let table = snapshot()
        let fresh = isDecided ? changes : changes.filter { !table.isKnown($0) }
        guard !fresh.isEmpty else { return }
        for change in fresh {
            guard let version = change.to else { continue }
            release(change.tenant, version: version)
            let key = ModelKey(change.tenant, version: version)
            // The same number with other bytes.
            if change.from == version { _ = state.withLock { $0.models.remove(key) } }
            if let model = ready[change.tenant], model.version == version {
                let evicted = state.withLock { keep(model, key, in: &$0) }
                withExtendedLifetime(evicted) {}
            } else if change.userID == nil {
                _ = try find(key, { .global })
            } else if isWarm(change.tenant, version: change.from) {
                // If the store is away the next batch tries again.
                _ = try? find(key, { change.tenant })
            }
        }
        // The table is made before the lock is taken, which every batch takes; anew if it has changed meanwhile.
        var base = table
        while !replace(base, by: base.applying(fresh, isDecided: isDecided), fresh) { base = snapshot() }
    }

    /// - Returns: false when the table is another one than `base` by now: then nothing is changed.
    private func replace(_ base: RoutingTable, by table: RoutingTable, _ changes: [ModelChange]) -> Bool {
        // Models are let go of after the lock is.
        var gone: [ReadyModel] = []
        defer { withExtendedLifetime(gone) {} }
        return state.withLock { state in
            guard state.table === base else { return false }
            state.table = table
            for change in changes {
                guard let from = change.from, from != change.to else { continue }
                let old = ModelKey(change.tenant, version: from)
                if !state.quarantine.isEmpty { state.quarantine[old] = nil }
                if change.userID != nil, let model = state.models.remove(old) { gone.append(model) }
            }
            settleGlobals(&state)
            return true
        }
    }

    /// Whether batches use that version now.
    func isWarm(_ tenant: Tenant, version: Int?) -> Bool {
        guard let version else { return false }
        return state.withLock { $0.models.contains(ModelKey(tenant, version: version)) }
    }

    private func settleGlobals(_ state: inout State) {
        if let version = state.table.global {
            state.models.keepOnlyGlobal(version)
        } else {
            state.models.removeGlobals()
        }
    }
}
