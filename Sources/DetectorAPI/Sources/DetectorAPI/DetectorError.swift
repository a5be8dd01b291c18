/// What a detector throws.
public enum DetectorError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Rows or labels that this detector cannot fit or score.
    case invalidInput(String)
    case invalidParameter(name: String, reason: String)
    /// Bytes that are no artifact of this detector, or a damaged one.
    case invalidArtifact(String)
    /// What fitting needs is not installed here. Models that were fitted elsewhere can be decoded and scored.
    case unavailable(String)
    case cancelled

    public var description: String {
        switch self {
        case .invalidInput(let reason): "the rows cannot be used: \(reason)"
        case .invalidParameter(let name, let reason): "parameter \(name): \(reason)"
        case .invalidArtifact(let reason): "the artifact is damaged: \(reason)"
        case .unavailable(let reason): reason
        case .cancelled: "cancelled"
        }
    }
}
