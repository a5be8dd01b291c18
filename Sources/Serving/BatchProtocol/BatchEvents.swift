/// A batch as the protocol sees it.
public struct BatchSpan: Sendable, Equatable {
    /// Which assignment of partitions it was read under.
    public let assignment: UInt64
    public let slices: [SliceSpan]

    public init(assignment: UInt64, slices: [SliceSpan]) {
        self.assignment = assignment
        self.slices = slices
    }

    /// The partitions that users come from, by their blobs, and that are not in the batch.
    public func asked(of places: some Sequence<BlobPlace>) -> [Int32] {
        var asked: Set<Int32> = []
        for place in places where !slices.contains(where: { $0.partition == place.partition }) {
            asked.insert(place.partition)
        }
        return asked.sorted()
    }
}

/// The records `[start, end)` of one partition.
public struct SliceSpan: Sendable, Equatable {
    public let partition: Int32
    /// The committed offset: everything below it has its verdict.
    public let start: Int64
    /// The offset to commit.
    public let end: Int64
    /// Whether the group has never committed an offset here, so that windows of records below `start` are not missed.
    public let isBeginning: Bool

    public init(partition: Int32, start: Int64, end: Int64, isBeginning: Bool) {
        self.partition = partition
        self.start = start
        self.end = end
        self.isBeginning = isBeginning
    }
}

extension BatchProtocol {
    /// What happened.
    public enum Event: Sendable, Equatable {
        /// A batch is in hand.
        case batch(BatchSpan)
        /// The blobs and watermarks are here; `BatchSpan.asked` says of which partitions committed offsets are needed.
        case windowsRead(asking: [Int32])
        case offsetsAnswered
        /// Folded, routed, scored, written as verdicts.
        case evaluated
        case prepared
        case windowsWritten
        /// Nothing was written: a blob or a watermark is no longer the one that was read.
        case conflict
        case committed
        case aborted
        case waited
        case stop
        case failed(Failure)
    }

    /// What to do next.
    public enum Action: Sendable, Equatable {
        case readWindows
        /// Stable: while a transaction is open on one of the partitions, there is no answer.
        case askCommittedOffsets([Int32])
        /// Fold, route, score, write verdicts. An attempt after the first keeps the models of the first.
        case evaluate
        /// Begin, produce, add offsets. At least once: commit the offsets at which the batch starts, which changes
        /// nothing but is refused from a member of an older generation; then produce and flush.
        case prepare
        case writeWindows
        /// At least once: commit the offsets.
        case commit
        /// Nothing where no transaction is open.
        case abort
        case wait
        case finish(Outcome)
        case end(Ending)
        /// What is under way goes on.
        case carryOn
    }

    /// What a call may end with, as far as the protocol minds.
    public enum Failure: Error, Equatable {
        /// Something outside did not answer: the call may or may not have had its effect.
        case away
        /// The transaction can only be aborted.
        case transactionLost
        /// The partitions belong to somebody else.
        case assignmentLost
        /// Another process goes by this worker's name.
        case fenced
        /// No attempt of this session is going to succeed. What is open can still be aborted.
        case hopeless(String)
        /// This client can do nothing more, or must not: what became of the transaction is for the next one to find out.
        case fatal(String)
    }

    public enum Outcome: Sendable, Equatable {
        case delivered
        /// The partitions were given to somebody else; the new owner reads the records again.
        case abandoned
    }

    /// Why a session ended. The next one opens the stream anew.
    public enum Ending: Sendable, Equatable {
        case stopped
        case fenced
        case conflicts(Int)
        /// Commit or abort did not answer: whether it took place is known once the stream is opened again.
        case outcomeUnknown
        case failed(String)
    }
}
