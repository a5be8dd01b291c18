import Features

/// Stage 2: each transaction with the features of its user's window before it, and the windows to write.
public struct WindowedBatch: Sendable {
    public let consumed: ConsumedBatch
    /// `count x UserWindow.featureCount` numeric features of the schema, row-major.
    public internal(set) var features: [Float]
    /// One for each transaction.
    public let marks: [TransactionMarks]
    /// One for each transaction: which of `users`.
    public let slots: [Int32]
    public let users: UserKeys
    public let userHashes: [UInt64]
    public let writes: WindowWrites
    /// What the reference features are from; nil: there is no table, or no model looks at them.
    public internal(set) var references: BatchReferences?

    public var count: Int { consumed.count }
}

/// What a reader of a verdict should know about the window it was made from.
public struct TransactionMarks: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Older than the longest window reaches: scored, counted in no bucket.
    public static let late = TransactionMarks(rawValue: 1)
    /// The user's window came from another partition: the stream is not keyed by user, or its partitions changed.
    public static let windowMoved = TransactionMarks(rawValue: 2)
    /// The window already holds this record, because offsets were set back: scored, not counted again.
    public static let windowAhead = TransactionMarks(rawValue: 4)

    public static let names: [(TransactionMarks, StaticString)] = [
        (.late, "late"), (.windowMoved, "window-moved"), (.windowAhead, "window-ahead"),
    ]
}
