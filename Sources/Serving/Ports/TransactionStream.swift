import Kafka
import Transactions

/// Where transactions come from and verdicts go: one port, because reading, writing and remembering how far
/// one has read are one atomic step where the stream can make them one.
///
/// `next` and `heartbeat` are called by the reading thread; `committedOffsets`, `prepare`, `commit`, `abort` and `abandon` by
/// the scoring thread; `close` by either after both have stopped. All block, each for a bounded time.
///
/// A delivery is open from `prepare`, whether it succeeds or not, to the `commit`, `abort` or `abandon` that does. As long as
/// it is open its partitions are not given up. `BatchProtocol` says what follows what.
public protocol TransactionStream: AnyObject, Sendable {
    /// For people: `kafka://broker:9092/transactions`, a file's path.
    var location: String { get }

    /// The next records, of one or several partitions, each in offset order.
    ///
    /// - Returns: nil when none came for a moment; `isFinished` tells whether more can come.
    func next(_ limits: BatchLimits) throws -> RawRecords?

    /// Whether the stream has ended: a file that is not followed has been read to its end.
    var isFinished: Bool { get }

    /// What keeps the stream from being read now; nil while it is well.
    var trouble: String? { get }

    /// Keeps the stream's membership while the reader may not read on.
    func heartbeat() throws

    /// Whether records read under this assignment may still be delivered. `prepare` asks again.
    func isCurrent(_ assignment: UInt64) -> Bool

    /// The committed offsets of other partitions of the stream, for users that moved from there. Those without one are
    /// absent.
    func committedOffsets(of partitions: [Int32]) throws -> [Int32: Int64]

    /// Opens a delivery: outputs and offsets are ready to be committed, and nobody has been given the partitions since the
    /// records were read.
    ///
    /// - Throws: `DeliveryError.mustAbort`, `DeliveryError.assignmentEnded`, `SessionEnded`.
    func prepare(_ delivery: Delivery) throws

    /// Makes what was prepared final. Called once the windows are written.
    ///
    /// - Throws: `DeliveryError.unanswered`: to be called again, `DeliveryError.mustAbort`, `SessionEnded`.
    func commit() throws

    /// Drops what was prepared. Does nothing where nothing was.
    ///
    /// - Throws: `DeliveryError.unanswered`: to be called again, `SessionEnded`.
    func abort() throws

    /// Leaves the open delivery, if there is one, as it is: the session ends.
    func abandon()

    /// Nothing more is going to be asked for: a delivery under way ends within a few seconds, done or not. Called from any
    /// thread.
    func stop()

    /// Leaves cleanly. Nothing is committed by it.
    func close()
}

extension TransactionStream {
    public func stop() {}
}

/// How large a batch may become before it is worked on: so large only when the service is behind.
///
/// A user of a batch has one read and one write of the window, however many of the records are the user's, and a batch
/// has one transaction: the larger it is the cheaper each record.
public struct BatchLimits: Sendable {
    public var records: Int
    public var sizeBytes: Int
    /// How long a batch is kept open after its first record. While one batch is worked on the next one fills, so a
    /// longer wait makes verdicts later and batches hardly larger.
    public var waitMilliseconds: Int

    public init(records: Int = 16_000, sizeBytes: Int = 4 << 20, waitMilliseconds: Int = 2) {
        self.records = records
        self.sizeBytes = sizeBytes
        self.waitMilliseconds = waitMilliseconds
    }
}

/// The part of a batch that comes from one partition: the records in `[start, end)`.
public struct PartitionSlice: Sendable, Hashable {
    public let source: TopicPartition
    /// Everything below it is committed.
    public let start: Int64
    /// The offset to commit once the batch is delivered.
    public let end: Int64
    /// Nothing of the partition has ever been committed, so that there are no windows of records below `start`.
    public let isAtBeginning: Bool

    /// - Parameter isAtBeginning: nil: when `start` is 0.
    public init(source: TopicPartition, start: Int64, end: Int64, isAtBeginning: Bool? = nil) {
        self.source = source
        self.start = start
        self.end = end
        self.isAtBeginning = isAtBeginning ?? (start == 0)
    }
}

/// Records as they came: bytes that live as long as `owner`.
public struct RawRecords {
    public let payloads: [UnsafeRawBufferPointer]
    /// One for each payload.
    public let offsets: [Int64]
    /// One for each payload: which of `slices` it belongs to.
    public let sliceIndex: [Int32]
    public let slices: [PartitionSlice]
    /// Which assignment of partitions they were read under.
    public let assignment: UInt64
    /// One for each payload, in a stream that is to be keyed by user; nil: the stream has no keys.
    public let keys: [UnsafeRawBufferPointer]?
    /// A record's own headers, copied; nil: the stream has none.
    public let headers: ((Int) -> [KafkaHeader])?
    /// Which trace a record belongs to; nil: the stream's records belong to none.
    let trace: ((Int) -> TraceContext?)?
    /// What lies between the records and could not be read.
    public let unreadable: [DeadLetter]
    /// One for each payload: when the stream took the record in, milliseconds since 1970 UTC; `.min`: unknown.
    /// nil: the stream knows of none.
    public let recordMilliseconds: [Int64]?
    /// The payloads, parsed, where the stream has looked into them already.
    let parsed: ParsedRecords?
    let owner: AnyObject

    public init(
        payloads: [UnsafeRawBufferPointer], offsets: [Int64], sliceIndex: [Int32], slices: [PartitionSlice],
        assignment: UInt64, keys: [UnsafeRawBufferPointer]? = nil, recordMilliseconds: [Int64]? = nil,
        parsed: ParsedRecords? = nil, headers: ((Int) -> [KafkaHeader])? = nil,
        trace: ((Int) -> TraceContext?)? = nil, unreadable: [DeadLetter] = [], owner: AnyObject
    ) {
        self.trace = trace
        self.recordMilliseconds = recordMilliseconds
        self.parsed = parsed
        self.headers = headers
        self.unreadable = unreadable
        self.payloads = payloads
        self.offsets = offsets
        self.sliceIndex = sliceIndex
        self.slices = slices
        self.assignment = assignment
        self.keys = keys
        self.owner = owner
    }
}

/// What a parser made of a batch's payloads.
public struct ParsedRecords: Sendable {
    let transactions: TransactionBatch
    let rejections: [Rejection]
}

/// What a batch gives to the outside: verdicts, dead letters and how far the stream has been read.
public struct Delivery: Sendable {
    public var verdicts: OutputRecords
    public var deadLetters: [DeadLetter]
    public let slices: [PartitionSlice]
    /// Which assignment of partitions the records were read under.
    public let assignment: UInt64

    public init(
        verdicts: OutputRecords, deadLetters: [DeadLetter], slices: [PartitionSlice], assignment: UInt64
    ) {
        self.verdicts = verdicts
        self.deadLetters = deadLetters
        self.slices = slices
        self.assignment = assignment
    }
}

/// A verdict as an event among others: the same transaction scored by the same model is the same event.
public struct EventIdentity: Sendable, Hashable {
    public let id: String
    public let isAnomaly: Bool
    /// Of the transaction, milliseconds since 1970 UTC.
    public let timeMilliseconds: Int64
    /// Which alerts of the user it belongs to; nil: it is no alert.
    public let group: String?
}

/// Keys and payloads in one stretch of bytes.
public struct OutputRecords: Sendable {
    public private(set) var bytes: [UInt8] = []
    private var ends: [(key: Int, payload: Int)] = []
    /// Where the record of each came from: which of the batch's slices, and its offset there.
    private var places: [(slice: Int32, offset: Int64)] = []
    /// One for each record, or none at all.
    private var identities: [EventIdentity] = []
    /// Of the records that belong to one.
    private var traces: [Int: TraceContext] = [:]

    public init() {}

    public var count: Int { ends.count }

    /// Adds one record whose payload `write` appends to the bytes.
    ///
    /// - Parameters:
    ///   - slice: Which of the batch's slices the transaction came from.
    ///   - offset: Its offset there.
    ///   - identity: What names it among all events; nil: nobody asks, and it is nil for all records.
    ///   - trace: Which one it belongs to; nil: none.
    public mutating func append(
        key: UnsafeBufferPointer<UInt8>, slice: Int32, offset: Int64, identity: EventIdentity? = nil,
        trace: TraceContext? = nil, _ write: (inout [UInt8]) -> Void
    ) {
        if let identity { identities.append(identity) }
        if let trace { traces[count] = trace }
        bytes.append(contentsOf: key)
        let keyEnd = bytes.count
        write(&bytes)
        ends.append((keyEnd, bytes.count))
        places.append((slice, offset))
    }

    /// Which of the batch's slices a record's transaction came from, and its offset there.
    public func place(_ index: Int) -> (slice: Int32, offset: Int64) { places[index] }

    func trace(_ index: Int) -> TraceContext? { traces.isEmpty ? nil : traces[index] }

    public func identity(_ index: Int) -> EventIdentity? {
        identities.indices.contains(index) ? identities[index] : nil
    }

    /// Visits each record's number, key and payload, borrowed for the call.
    public func visit(
        _ body: (_ index: Int, _ key: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer) throws ->
            Void
    ) rethrows {
        try bytes.withUnsafeBytes { all in
            var start = 0
            for (index, end) in ends.enumerated() {
                try body(
                    index, UnsafeRawBufferPointer(rebasing: all[start..<end.key]),
                    UnsafeRawBufferPointer(rebasing: all[end.key..<end.payload]))
                start = end.payload
            }
        }
    }
}
