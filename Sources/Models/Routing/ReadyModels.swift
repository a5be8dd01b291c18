/// Ready models in memory: the global one, and users' within a number of bytes, of which the least recently used go
/// first. For one thread at a time.
struct ReadyModels {
    private struct Node {
        let key: ModelKey
        var model: ReadyModel?
        /// More recently used; -1: none is.
        var newer: Int32
        /// Less recently used, or the next free place; -1: none is.
        var older: Int32
    }

    private let maximumSize: Int
    /// Users' models, a list by use.
    private var nodes: [Node] = []
    private var places: [ModelKey: Int32] = [:]
    private var newest: Int32 = -1
    private var oldest: Int32 = -1
    private var free: Int32 = -1
    private var globals: [ReadyModel] = []
    /// Of users' models.
    private(set) var sizeBytes = 0

    /// Versions of the global model: the one that serves, and one that a batch under way was routed by.
    private static let maximumGlobals = 2

    /// - Parameter maximumSize: Bytes of users' models. The global ones do not count, so that they always have room.
    init(maximumSize: Int) { self.maximumSize = maximumSize }

    /// The global model that served last.
    var lastGlobal: ReadyModel? { globals.last }
    var count: Int { places.count }

    /// A model, which is now the most recently used one.
    mutating func find(_ key: ModelKey) -> ReadyModel? {
        if key.isGlobal { return globals.last { $0.version == key.version } }
        guard let place = places[key] else { return nil }
        if place != newest {
            unlink(place)
            link(place)
        }
        return nodes[Int(place)].model
    }

    func contains(_ key: ModelKey) -> Bool { places[key] != nil }

    /// - Returns: The models that had to go: to be let go of where nobody waits, which takes longer than the rest.
    mutating func insert(_ model: ReadyModel, _ key: ModelKey) -> [ReadyModel] {
        if key.isGlobal {
            globals.removeAll { $0.version == key.version }
            globals.append(model)
            if globals.count > Self.maximumGlobals { globals.removeFirst() }
            return []
        }
        remove(key)
        let node = Node(key: key, model: model, newer: -1, older: -1)
        let place: Int32
        if free >= 0 {
            place = free
            free = nodes[Int(place)].older
            nodes[Int(place)] = node
        } else {
            place = Int32(nodes.count)  // fits: two thousand million models do not
            nodes.append(node)
        }
        places[key] = place
        sizeBytes += model.sizeBytes
        link(place)
        var evicted: [ReadyModel] = []
        while sizeBytes > maximumSize, oldest >= 0, oldest != place {
            if let model = remove(nodes[Int(oldest)].key) { evicted.append(model) }
        }
        return evicted
    }

    /// - Returns: The user's model that there was.
    @discardableResult
    mutating func remove(_ key: ModelKey) -> ReadyModel? {
        if key.isGlobal {
            globals.removeAll { $0.version == key.version }
            return nil
        }
        guard let place = places.removeValue(forKey: key) else { return nil }
        let model = nodes[Int(place)].model
        sizeBytes -= model?.sizeBytes ?? 0
        unlink(place)
        nodes[Int(place)].model = nil
        nodes[Int(place)].older = free
        free = place
        return model
    }

    /// Lets go of users' models that fulfil a condition.
    mutating func removeUsers(where isGone: (ReadyModel) -> Bool) {
        let gone = nodes.filter { $0.model.map(isGone) ?? false }.map(\.key)
        for key in gone { remove(key) }
    }

    /// Lets go of global models but this one; while it is not here the last one may still be needed.
    mutating func keepOnlyGlobal(_ version: Int) {
        if globals.contains(where: { $0.version == version }) { globals.removeAll { $0.version != version } }
    }

    mutating func removeGlobals() { globals = [] }

    private mutating func unlink(_ place: Int32) {
        let node = nodes[Int(place)]
        if node.newer >= 0 { nodes[Int(node.newer)].older = node.older } else { newest = node.older }
        if node.older >= 0 { nodes[Int(node.older)].newer = node.newer } else { oldest = node.newer }
    }

    private mutating func link(_ place: Int32) {
        nodes[Int(place)].newer = -1
        nodes[Int(place)].older = newest
        if newest >= 0 { nodes[Int(newest)].newer = place } else { oldest = place }
        newest = place
    }
}

/// A version of a tenant's model. Of two users with the same hash the model's own tenant tells which it is.
struct ModelKey: Hashable {
    /// `TextHash` of the user's id; 0, which no text has: the global model.
    let user: UInt64
    let version: Int

    var isGlobal: Bool { user == 0 }
}
