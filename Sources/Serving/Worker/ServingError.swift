import Models
import Retrying

/// Why the stream waits or a worker starts anew.
public enum ServingError: Retryable, Sendable, CustomStringConvertible {
    case noGlobalModel(GlobalModelTrouble)
    /// A machine that is new, and a store that is away.
    case nothingKnown
    case globalModelFails(String)
    /// Somebody else wrote a window of this batch again and again: two workers own one partition.
    case windowConflicts(attempts: Int)
    /// The broker has refused this member's offsets for a while, and no rebalance has come that would say why.
    case assignmentRefused

    /// That a router has no global model, and why.
    package init(noGlobalModelIn router: ModelRouter) {
        self = .noGlobalModel(router.globalTrouble ?? .noneActive)
    }

    /// A model is promoted, another worker ends: all of it passes.
    public var isRetryable: Bool { true }

    public var description: String {
        switch self {
        case .noGlobalModel(let trouble): "\(trouble)"
        case .nothingKnown:
            "the object store has not said yet which models and rules serve: it is away (ml-service doctor says more)"
        case .globalModelFails(let reason):
            "the global model cannot score: \(reason); promote another version"
        case .windowConflicts(let attempts):
            "windows were changed by another worker in \(attempts) attempts: is a second service reading this stream under another group?"
        case .assignmentRefused:
            "the broker refuses the offsets of partitions that this worker holds: it joins the group anew"
        }
    }
}
