import Features

/// Stage 2: each transaction with the features of its user's window before it, and the windows to write.
public struct WindowedBatch: Sendable {
    public let consumed: ConsumedBatch
    /// `count x UserWindow.featureCount` numeric features of the schema, row-major.
    public internal(set) var features: [Float]
    /// One for each transaction.
    public let marks: [TransactionMarks]
    /// One for each transaction, of its user's window before it.
    let memories: [WindowMemory]
    /// One for each transaction: which of `users`.
    public let slots: [Int32]
    public let users: UserKeys
    public let userHashes: [UInt64]
    public let writes: WindowWrites
    /// What was found wrong with stored windows, to be counted and logged once the batch is delivered.
    public let notices: [WindowNotice]
    /// What the reference features are from; nil: there is no table, or no model looks at them.
    public internal(set) var references: BatchReferences?

    public var count: Int { consumed.count }
}

/// What a reader of a verdict should know about the window it was made from.
public struct TransactionMarks: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Older than the longest window reaches: scored, counted in no bucket.
    public static let late = TransactionMarks(rawValue: 1)
    /// The user's window came from another partition: the stream is not keyed by user, or its partitions changed.
    public static let windowMoved = TransactionMarks(rawValue: 2)
    /// The window already holds this record, because offsets were set back: scored, not counted again.
    public static let windowAhead = TransactionMarks(rawValue: 4)
    /// Dated further ahead than the clocks allow: scored, counted nowhere, and moves no window.
    public static let future = TransactionMarks(rawValue: 8)
    /// The stored window was damaged and has been moved aside: it began anew within the last 30 days.
    public static let windowDamaged = TransactionMarks(rawValue: 16)
    /// The store has forgotten windows, and this may be one of them.
    public static let windowsLost = TransactionMarks(rawValue: 32)
    /// Offsets were set forward past records that the window may lack.
    public static let windowBehind = TransactionMarks(rawValue: 64)
    /// The user's window holds less history than configured.
    public static let cold = TransactionMarks(rawValue: 128)

    public static let names: [(TransactionMarks, StaticString)] = [
        (.late, "late"), (.windowMoved, "window-moved"), (.windowAhead, "window-ahead"), (.future, "future"),
        (.windowDamaged, "window-damaged"), (.windowsLost, "windows-lost"), (.windowBehind, "window-behind"),
        (.cold, "cold"),
    ]
}
