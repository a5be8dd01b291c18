import Features

/// What is missing from a window, and until when that matters: every window is whole again once nothing of that time is in
/// its reach.
struct MissingHistory: Sendable, Hashable {
    /// Why it is missing: the marks that verdicts made from the window carry.
    private(set) var marks: TransactionMarks
    /// Minutes since 1970 UTC, of event time.
    private(set) var untilMinute: UInt32

    static let none = MissingHistory(marks: [], untilMinute: 0)

    init(marks: TransactionMarks, untilMinute: UInt32) {
        self.marks = marks
        self.untilMinute = untilMinute
    }

    /// Everything before a moment may be missing.
    ///
    /// - Parameter milliseconds: Event time, since 1970 UTC.
    init(_ marks: TransactionMarks, before milliseconds: Int64) {
        self.marks = marks
        let minute = (min(max(milliseconds, 0), 1 << 46) + UserWindow.reachMilliseconds) / 60_000 + 1
        untilMinute = UInt32(clamping: minute)
    }

    /// The marks that concern an event.
    func marks(at milliseconds: Int64) -> TransactionMarks {
        milliseconds < Int64(untilMinute) * 60_000 ? marks.subtracting(.adopting) : []
    }

    /// Windows of an older version are still being taken over.
    var isAdopting: Bool { marks.contains(.adopting) }

    /// The part that concerns a user.
    var ofUsers: MissingHistory {
        let marks = marks.subtracting(.adopting)
        return marks.isEmpty ? .none : MissingHistory(marks: marks, untilMinute: untilMinute)
    }

    mutating func add(_ other: MissingHistory) {
        marks.formUnion(other.marks)
        untilMinute = max(untilMinute, other.untilMinute)
    }

    // MARK: - Bytes

    static let encodedSize = 6

    func append(to bytes: inout [UInt8]) {
        bytes.appendWord(marks.rawValue)
        bytes.appendWord(untilMinute)
    }

    /// Reads `encodedSize` bytes.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        marks = TransactionMarks(rawValue: loadWord(bytes, offset, as: UInt16.self))
        untilMinute = loadWord(bytes, offset + 2, as: UInt32.self)
    }
}

extension TransactionMarks {
    /// Of a partition's record alone: users may still have windows of an older version.
    static let adopting = TransactionMarks(rawValue: 1 << 15)
}
