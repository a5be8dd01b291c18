import ObjectStore

/// What a batch asks: the models of all its users at once.
extension ModelRouter {
    /// Models that are read together: what is read but not ready yet is bounded by it.
    private static let chunk = 64

    /// The models for different users, in their order. What is not in memory is read together.
    ///
    /// - Parameter users: Ids in UTF-8 with their `TextHash`.
    /// - Throws: `ObjectStoreError` when a model has to be fetched and the store is away: try again.
    public func models(
        for users: [(id: UnsafeBufferPointer<UInt8>, hash: UInt64)], in table: RoutingTable
    ) throws -> [Route] {
        let tenant = { Tenant.user(String(decoding: users[$0].id, as: UTF8.self)) }
        let wanted = users.indices.compactMap { place in
            table.version(of: users[place].id, hash: users[place].hash).map {
                (place: place, key: ModelKey(user: users[place].hash, version: $0))
            }
        }
        var found = [(key: ModelKey, model: Found)?](repeating: nil, count: users.count)
        for (want, model) in zip(wanted, try find(wanted.map(\.key)) { tenant(wanted[$0].place) }) {
            found[want.place] = (want.key, model)
        }
        var global: ReadyModel??
        return try users.indices.map { place in
            var fallback = FallbackReason.noUserModel
            if case (let key, var own)? = found[place] {
                if case .model(let model) = own, !model.serves(users[place].id) {
                    // Another user's id has the same hash. So rare that the model need not be kept.
                    own = try load(key, tenant(place))
                }
                switch own {
                case .model(let model): return .user(model)
                case .unusable(let reason): fallback = reason
                }
            }
            let model = try global ?? globalModel(in: table)
            global = .some(model)
            return model.map { .global($0, fallback: fallback) } ?? .none
        }
    }

    private struct Load {
        let place: Int
        let key: ModelKey
        let flight: ModelFlight
    }

    /// Ready models, in the keys' order; threads that want the same one load it once.
    ///
    /// - Parameter tenant: Whose model a key means, by its place among them.
    func find(_ keys: [ModelKey], _ tenant: (Int) -> Tenant) throws -> [Found] {
        var found = [Found?](repeating: nil, count: keys.count)
        var (loads, waits): ([Load], [(place: Int, flight: ModelFlight)]) = ([], [])
        state.withLock { state in
            for (place, key) in keys.enumerated() {
                if let known = lookUp(key, in: &state) {
                    found[place] = known
                } else if let flight = state.flights[key] {
                    waits.append((place, flight))
                } else {
                    let flight = ModelFlight()
                    state.flights[key] = flight
                    loads.append(Load(place: place, key: key, flight: flight))
                }
            }
        }
        misses.increment(by: loads.count)
        var failure: (any Error)?
        for start in stride(from: 0, to: loads.count, by: Self.chunk) {
            let chunk = loads[start..<min(start + Self.chunk, loads.count)]
            let tenants = chunk.map { tenant($0.place) }
            // A store that is away is not asked again for the rest.
            let loaded: [Result<ReadyModel, any Error>] =
                if let failure { chunk.map { _ in .failure(failure) } } else {
                    loader.load(zip(tenants, chunk).map { ($0, $1.key.version) })
                }
            let outcomes = zip(chunk, zip(tenants, loaded)).map { load, model in
                Result { try settle(load.key, model.0, model.1) }
            }
            let evicted = state.withLock { state in
                var evicted: [ReadyModel] = []
                for (load, outcome) in zip(chunk, outcomes) {
                    if case .success(.model(let model)) = outcome {
                        evicted += keep(model, load.key, in: &state)
                    }
                    state.flights[load.key] = nil
                }
                return evicted
            }
            withExtendedLifetime(evicted) {}
            for (load, outcome) in zip(chunk, outcomes) {
                load.flight.finish(outcome)
                switch outcome {
                case .success(let model): found[load.place] = model
                case .failure(let error): failure = error
                }
            }
        }
        // Only now, when nobody waits for this thread: two may each have what the other wants.
        for wait in waits {
            do { found[wait.place] = try wait.flight.wait() } catch { failure = error }
        }
        if let failure { throw failure }
        return found.compactMap { $0 }
    }
}
