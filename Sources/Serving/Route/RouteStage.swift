import Models
import Outcomes

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

/// Chooses the models of a batch, and the reference table that they look at. Thread-safe.
public struct RouteStage: Sendable {
    private let router: ModelRouter
    private let current: CurrentReferences?
    private let ageHours: Int

    /// - Parameters:
    ///   - references: nil: models that look at reference tables score without.
    ///   - referenceAgeHours: From what age on verdicts say that the table is old.
    public init(router: ModelRouter, references: CurrentReferences?, referenceAgeHours: Int) {
        self.router = router
        current = references
        ageHours = referenceAgeHours
    }

    /// The users' own models, or the global one. One lookup a user, none a transaction; what is not in memory is read
    /// together.
    ///
    /// - Throws: `ServingError.noGlobalModel` when a user has no model and there is no global one; what the router
    ///   throws when a model's store is away.
    public func run(_ windowed: WindowedBatch) throws -> RoutedBatch {
        struct Choice: Hashable {
            let model: ObjectIdentifier
            let fallback: FallbackReason?
        }
        let table = router.snapshot()
        var groups: [RouteGroup] = []
        var groupOf: [Choice: Int32] = [:]
        let groupOfSlot = try routes(windowed, table).map { route -> Int32 in
            let (model, fallback): (ReadyModel, FallbackReason?)
            switch route {
            case .user(let own): (model, fallback) = (own, nil)
            case .global(let global, let reason): (model, fallback) = (global, reason)
            case .none: throw ServingError(noGlobalModelIn: router)
            }
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
            .referring(to: references, global: try router.globalModel())
    }

    /// The models and the table of an earlier attempt at the same batch, so that it gives the same bytes, whatever has been
    /// promoted in between.
    func run(_ windowed: WindowedBatch, asIn earlier: ScoredBatch) throws -> RoutedBatch {
        RoutedBatch(windowed: windowed, groups: earlier.groups.filter { !$0.rows.isEmpty })
            .referring(to: earlier.windowed.references, global: try router.globalModel())
    }

    /// One model for all.
    func run(_ windowed: WindowedBatch, by model: ReadyModel) throws -> RoutedBatch {
        let group = RouteGroup(
            model: model, fallback: model.tenant == .global ? .noUserModel : nil,
            rows: (0..<windowed.count).map { Int32(truncatingIfNeeded: $0) })
        return RoutedBatch(windowed: windowed, groups: [group])
            .referring(to: references, global: try router.globalModel())
    }

    private var references: BatchReferences? {
        current?.current.map { BatchReferences(ready: $0, ageHours: ageHours) }
    }

    private func routes(_ windowed: WindowedBatch, _ table: RoutingTable) throws -> [Route] {
        try windowed.users.bytes.withUnsafeBufferPointer { bytes in
            try router.models(
                for: (0..<windowed.users.count).map { slot in
                    (
                        UnsafeBufferPointer(rebasing: bytes[windowed.users.range(slot)]),
                        windowed.userHashes[slot]
                    )
                }, in: table)
        }
    }
}
