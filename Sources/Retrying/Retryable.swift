/// An error that knows whether the same work may succeed later.
///
/// Said once, by the error, and not in tables at its callers: who meets one tries again, or takes another way (a
/// dead letter, a fallback, the end with an exit code). An error that can never succeed and is tried again is a loop.
public protocol Retryable: Error {
    /// True: passing. Something outside is away, busy or on the move, and comes back by itself or by somebody's hand.
    /// False: lasting. The same work fails in the same way each time.
    var isRetryable: Bool { get }
}

extension Error {
    /// Whether the error says that it is passing.
    public var isPassing: Bool { (self as? any Retryable)?.isRetryable ?? false }

    /// Whether the error says that it is lasting. Errors of others say neither.
    public var isLasting: Bool { (self as? any Retryable).map { !$0.isRetryable } ?? false }
}
