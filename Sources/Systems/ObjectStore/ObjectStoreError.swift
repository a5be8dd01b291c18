import Retrying

/// What a store refuses, and whether trying again can help.
public enum ObjectStoreError: Retryable, Sendable, Hashable, CustomStringConvertible {
    /// A conditional write found another object than it was told.
    case preconditionFailed(key: String)
    case notFound(key: String)
    /// Wrong or missing credentials, or a forbidden action.
    case denied(location: String, reason: String)
    /// The store does not answer, or answers that it is too busy.
    case unavailable(location: String, reason: String)
    /// An object has more bytes than whoever reads it can use. nil: how many is not known.
    case tooLarge(key: String, sizeBytes: Int?, maximumSize: Int)
    case invalidKey(String)
    case invalidLocation(String)
    /// Any other answer.
    case failed(location: String, reason: String)

    public var isRetryable: Bool {
        if case .unavailable = self { true } else { false }
    }

    public var description: String {
        switch self {
        case .preconditionFailed(let key): "\(key) has been changed by somebody else"
        case .notFound(let key): "there is no object \(key)"
        case .denied(let location, let reason): "\(location) denies access: \(reason); check the credentials"
        case .unavailable(let location, let reason): "\(location) does not answer: \(reason)"
        case .tooLarge(let key, let size, let maximum):
            "\(key) has \(size.map { "\($0) bytes" } ?? "more bytes"), and at most \(maximum) are read: is it ours?"
        case .invalidKey(let key): "'\(key)' is no object key"
        case .invalidLocation(let reason): reason
        case .failed(let location, let reason): "\(location): \(reason)"
        }
    }
}
