import Retrying

/// A stream that can go on no more. A passing one is followed by a new session, which begins at the committed offsets.
public struct SessionEnded: Retryable, CustomStringConvertible {
    public let reason: any Error
    public let isRetryable: Bool

    public init(_ reason: any Error, isRetryable: Bool) {
        self.reason = reason
        self.isRetryable = isRetryable
    }

    public var description: String { "\(reason)" }
}

/// A delivery of which nothing has happened: the same batch may be delivered again by the same stream.
public struct DeliveryAborted: Retryable, CustomStringConvertible {
    public let reason: any Error
    public var isRetryable: Bool { true }

    public init(_ reason: any Error) { self.reason = reason }

    public var description: String { "\(reason)" }
}
