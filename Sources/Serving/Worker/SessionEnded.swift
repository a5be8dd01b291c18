import Retrying

/// A stream that can go on no more. A passing one is followed by a new session, which begins at the committed offsets.
public struct SessionEnded: Retryable, CustomStringConvertible {
    /// What is left for the session to do with a delivery that it has open.
    public enum Remainder: Sendable, Hashable {
        /// It can still be aborted.
        case abort
        /// Nothing: the client is of no more use, or whether the delivery was committed is not known. The next session
        /// finds out.
        case nothing
        /// Nothing: another process goes by this worker's name.
        case fenced
    }

    public let reason: any Error
    public let isRetryable: Bool
    public let remainder: Remainder

    public init(_ reason: any Error, isRetryable: Bool, remainder: Remainder = .abort) {
        self.reason = reason
        self.isRetryable = isRetryable
        self.remainder = remainder
    }

    public var description: String { "\(reason)" }
}
