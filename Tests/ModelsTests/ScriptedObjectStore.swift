import ObjectStore
import Synchronization

/// A store that can be away, and tells what it was asked for.
final class ScriptedObjectStore: ObjectStore {
    private struct State {
        var isAway: @Sendable (String) -> Bool = { _ in false }
        var beforeGet: @Sendable (String) -> Void = { _ in }
        var isDeadAfterPut: @Sendable (String) -> Bool = { _ in false }
        var isDead = false
        var gets: [String] = []
        var ranges: [Range<Int>] = []
    }

    private let objects: any ObjectStore
    private let state = Mutex(State())

    init(_ objects: any ObjectStore) { self.objects = objects }

    var location: String { objects.location }

    /// Keys that have been read, in order.
    var gets: [String] { state.withLock { $0.gets } }
    /// That have been asked for, in order.
    var ranges: [Range<Int>] { state.withLock { $0.ranges } }

    /// - Parameter isAway: By key, or prefix for listings.
    func setAway(_ isAway: @escaping @Sendable (String) -> Bool) { state.withLock { $0.isAway = isAway } }
    func setAway(_ isAway: Bool) { setAway { _ in isAway } }
    func beforeGet(_ body: @escaping @Sendable (String) -> Void) { state.withLock { $0.beforeGet = body } }

    /// Whoever writes such a key dies: it is written, and nothing that comes after it happens until `revive`.
    func die(afterPut isLast: @escaping @Sendable (String) -> Bool) {
        state.withLock { $0.isDeadAfterPut = isLast }
    }
    var isDead: Bool { state.withLock { $0.isDead } }
    func revive() {
        state.withLock {
            $0.isDead = false
            $0.isDeadAfterPut = { _ in false }
        }
    }

    private func check(_ key: String) throws(ObjectStoreError) {
        if isDead { throw .unavailable(location: location, reason: "the process is dead") }
        if state.withLock({ $0.isAway })(key) {
            throw .unavailable(location: location, reason: "nobody listens")
        }
    }

    func get(_ key: String) throws(ObjectStoreError) -> StoredObject? {
        let beforeGet = state.withLock { state in
            state.gets.append(key)
            return state.beforeGet
        }
        beforeGet(key)
        try check(key)
        return try objects.get(key)
    }

    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        state.withLock { $0.ranges.append(range) }
        try check(key)
        return try objects.get(key, range: range)
    }

    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? {
        try check(key)
        return try objects.head(key)
    }

    @discardableResult
    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag
    {
        try check(key)
        let tag = try objects.put(key, bytes, if: condition)
        if state.withLock({ $0.isDeadAfterPut })(key) {
            state.withLock { $0.isDead = true }
            throw .unavailable(location: location, reason: "the process is dead")
        }
        return tag
    }

    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary] {
        try check(prefix)
        return try objects.list(prefix: prefix, after: after, limit: limit)
    }

    func delete(_ key: String) throws(ObjectStoreError) {
        try check(key)
        try objects.delete(key)
    }
}
