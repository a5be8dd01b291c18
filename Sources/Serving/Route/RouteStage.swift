import Models

/// Stage 3: each transaction with the model that will score it.
public struct RoutedBatch: Sendable {
    public internal(set) var windowed: WindowedBatch
    /// Every transaction is in exactly one group.
    public let groups: [RouteGroup]
}

/// The transactions of a batch that one model scores.
public struct RouteGroup: Sendable {
    public let model: ReadyModel
    /// Why the users' own models did not serve; nil when this is the user's own.
    public let fallback: FallbackReason?
    public internal(set) var rows: [Int32]
}

/// Chooses models for a batch: its users' own, or the global one. One lookup a user, none a transaction.
///
/// - Throws: `ServingError.noGlobalModel` when a user has no model and there is no global one; what the router
///   throws when a model's store is away.
public func route(_ windowed: WindowedBatch, with router: ModelRouter) throws -> RoutedBatch {
    struct Choice: Hashable {
        let model: ObjectIdentifier
        let fallback: FallbackReason?
    }
    let table = router.snapshot()
    var groups: [RouteGroup] = []
    var groupOf: [Choice: Int32] = [:]
    let groupOfSlot = try (0..<windowed.users.count).map { slot -> Int32 in
        let (model, fallback) = try chooseModel(windowed, slot: slot, table: table, router: router)
        let choice = Choice(model: ObjectIdentifier(model), fallback: fallback)
        if let group = groupOf[choice] { return group }
        let group = Int32(groups.count)
        groupOf[choice] = group
        groups.append(RouteGroup(model: model, fallback: fallback, rows: []))
        return group
    }
    for row in 0..<windowed.count {
        groups[Int(groupOfSlot[Int(windowed.slots[row])])].rows.append(Int32(row))
    }
    return RoutedBatch(windowed: windowed, groups: groups)
}

private func chooseModel(
    _ windowed: WindowedBatch, slot: Int, table: RoutingTable, router: ModelRouter
) throws -> (ReadyModel, FallbackReason?) {
    let route = try windowed.users.bytes.withUnsafeBufferPointer { bytes in
        try router.model(
            for: UnsafeBufferPointer(rebasing: bytes[windowed.users.range(slot)]),
            hash: windowed.userHashes[slot], in: table)
    }
    switch route {
    case .user(let model): return (model, nil)
    case .global(let model, let fallback): return (model, fallback)
    case .none: throw ServingError.noGlobalModel
    }
}
