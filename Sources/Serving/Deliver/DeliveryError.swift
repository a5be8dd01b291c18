import Retrying

/// How a step of a delivery has failed, as far as the batch protocol minds.
public enum DeliveryError: Retryable, CustomStringConvertible {
    /// There was no answer: the step may or may not have had its effect. It is to be called again.
    case unanswered(any Error)
    /// What was prepared can only be aborted. The same batch may then be delivered again by the same stream.
    case mustAbort(any Error)
    /// The partitions have been given up since the batch was read: nothing of it is delivered, and nothing may be. Whoever
    /// owns them reads its records again.
    case assignmentEnded

    public var isRetryable: Bool { true }

    /// What the step threw; nil: it threw nothing.
    var cause: (any Error)? {
        switch self {
        case .unanswered(let reason), .mustAbort(let reason): reason
        case .assignmentEnded: nil
        }
    }

    public var description: String {
        switch self {
        case .unanswered(let reason), .mustAbort(let reason): "\(reason)"
        case .assignmentEnded: "the partitions were given up since the batch was read"
        }
    }
}
