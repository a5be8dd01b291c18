import Exact
import Glibc
import Kafka
import Retrying
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Transactions from a file or standard input, one JSON object a line; verdicts and dead letters to files.
///
/// It is partition 0 of the topic `transactions`; a record's offset is its line, from 0. Verdicts are appended
/// and the place reached is written beside them, so that a killed run goes on where it stopped: what was
/// written after the last checkpoint is cut off and written again, the same bytes.
public final class FileTransactionStream: TransactionStream {
    public struct Settings: Sendable {
        /// A path, or `-` for standard input.
        public var input: String
        /// A path, or `-` for standard output.
        public var verdicts: String
        /// A path; nil: dead letters are counted and logged only.
        public var deadLetters: String?
        /// Where this stream keeps its own checkpoint; nil when the window store's snapshot carries it.
        public var checkpointPath: String?
        /// Records a second at most; nil: as fast as they can be scored.
        public var recordsPerSecond: Double?
        public var topic = "transactions"
        /// How far an event may be dated ahead; see `LinesAhead`.
        public var skewMilliseconds: Int64 = 86_400_000
        /// Of times that do not say theirs; nil: they are refused.
        public var zone: PlaceZone?
        /// Whether what the outputs hold goes where there is no checkpoint, as of a command that is repeated; else it is kept.
        public var isOverwriting = false
        /// Whether the input is still written: a last line that is not whole is left for the next start.
        public var isGrowing = false
        /// Whether lines may be held back until the ones after them have come; not where somebody types them.
        public var looksAhead = true

        public init(
            input: String, verdicts: String, deadLetters: String? = nil, checkpointPath: String? = nil,
            recordsPerSecond: Double? = nil
        ) {
            self.input = input
            self.verdicts = verdicts
            self.deadLetters = deadLetters
            self.checkpointPath = checkpointPath
            self.recordsPerSecond = recordsPerSecond
        }
    }

    /// How far a stream has been read, and how long its outputs were then.
    struct Checkpoint: Codable, Sendable {
        /// Of another input it is of no use.
        var input = ""
        var offset: Int64 = 0
        var inputByte: UInt64 = 0
        var verdictsSize: UInt64 = 0
        var deadLettersSize: UInt64 = 0
        /// What had been read of the input and written to each output then; nil in checkpoints of before there were any.
        var read: FileMark?
        var written: FileMark?
        var refused: FileMark?
        /// The time that the lines had come to, as `EventClock` encodes it.
        var clock: [UInt8]?
    }

    /// Where a batch ends in the input.
    private struct BatchEnd {
        /// The byte after its last line.
        let byte: UInt64
        let clock: EventClock
    }

    private struct State: ~Copyable {
        var lines: LinesAhead
        var offset: Int64
        var isFinished = false
        var isUnsaved: Bool
        /// For each batch that is handed out and not delivered yet, by the offset after it.
        var ends: [Int64: BatchEnd] = [:]
        var checkpoint: Checkpoint
        /// The delivery under way.
        var open: Delivery?
        var started: ContinuousClock.Instant?
        var handedOut = 0
    }

    private let settings: Settings
    private let state: Mutex<State>
    private let verdicts: AppendedFile
    private let deadLetters: AppendedFile?

    public var location: String { settings.input == "-" ? "standard input" : settings.input }

    /// That a file is not the one of the checkpoint, in sentences for the log.
    public let notices: [String]
    /// Whether the outputs are others than those of the last checkpoint: to be written down at once, as a start after a crash
    /// would take what stands in them for what was there before.
    public var isUnsaved: Bool { state.withLock { $0.isUnsaved } }

    /// Opens the files, continuing at a checkpoint.
    ///
    /// - Parameter checkpoint: What `checkpoint` gave in an earlier run; nil: the file at `checkpointPath`, or
    ///   else the beginning.
    /// An input that is not the one of the checkpoint is read from its beginning, and what is written goes behind what an
    /// output holds; neither is cut. `notices` says so.
    ///
    /// - Throws: `StreamFileError` naming the file that cannot be opened.
    public init(_ settings: Settings, checkpoint bytes: [UInt8]? = nil) throws {
        self.settings = settings
        let saved = try Self.savedCheckpoint(bytes, settings)
        let (checkpoint, notices) = Self.continued(saved, settings)
        self.notices = notices
        let isUnsaved = saved == nil || !notices.isEmpty
        let clock = checkpoint.clock.flatMap { bytes in
            bytes.count == EventClock.encodedSize
                ? bytes.withUnsafeBytes { EventClock($0, at: 0) } : nil
        }
        let lines = LinesAhead(
            try LineReader(path: settings.input, at: checkpoint.inputByte, isGrowing: settings.isGrowing),
            clock: clock ?? EventClock(),
            skewMilliseconds: settings.skewMilliseconds, looksAhead: settings.looksAhead, zone: settings.zone)
        for output in [settings.verdicts, settings.deadLetters ?? "-"]
        where FileMark.isOneFile(settings.input, output) {
            throw StreamFileError(path: output, action: "write", code: EINVAL, isInput: true)
        }
        verdicts = try AppendedFile(path: settings.verdicts, size: checkpoint.verdictsSize)
        deadLetters = try settings.deadLetters.map {
            try AppendedFile(path: $0, size: checkpoint.deadLettersSize)
        }
        state = Mutex(
            State(lines: lines, offset: checkpoint.offset, isUnsaved: isUnsaved, checkpoint: checkpoint))
        if isUnsaved { try keep(checkpoint) }
    }

    /// Where to go on, which is where the checkpoint says if the files are still those of it.
    private static func continued(_ saved: Checkpoint?, _ settings: Settings) -> (Checkpoint, [String]) {
        guard var saved else { return fresh(settings) }
        var notices: [String] = []
        let isSame = saved.input == settings.input && saved.read?.isStill(settings.input) ?? true
        if settings.input != "-", !isSame {
            notices.append(
                saved.input == settings.input
                    ? "\(settings.input) is another file than the one that was read before: it is read from its beginning"
                    : "\(saved.input) was read before: \(settings.input) is read from its beginning")
            let verdicts = (saved.verdictsSize, saved.written)
            let refused = (saved.deadLettersSize, saved.refused)
            saved = Checkpoint(input: settings.input)
            (saved.verdictsSize, saved.written) = verdicts
            (saved.deadLettersSize, saved.refused) = refused
        }
        func size(_ path: String, _ size: UInt64, _ mark: FileMark?) -> UInt64 {
            guard path != "-", mark?.isStill(path) == false else { return size }
            let now = FileMark.size(path)
            if now > 0 || size > 0 {
                notices.append("\(path) is not what was written before: what it holds now is kept")
            }
            return now
        }
        saved.verdictsSize = size(settings.verdicts, saved.verdictsSize, saved.written)
        if let path = settings.deadLetters {
            saved.deadLettersSize = size(path, saved.deadLettersSize, saved.refused)
        }
        return (saved, notices)
    }

    /// Behind what the outputs hold, unless they are written anew.
    private static func fresh(_ settings: Settings) -> (Checkpoint, [String]) {
        var fresh = Checkpoint(input: settings.input)
        guard !settings.isOverwriting else { return (fresh, []) }
        fresh.verdictsSize = FileMark.size(settings.verdicts)
        fresh.deadLettersSize = settings.deadLetters.map(FileMark.size) ?? 0
        let held = [
            (settings.verdicts, fresh.verdictsSize), (settings.deadLetters ?? "-", fresh.deadLettersSize),
        ].filter { $0.1 > 0 }
        return (fresh, held.map { "\($0.0) was there before: what it holds is kept" })
    }

    private static func savedCheckpoint(_ bytes: [UInt8]?, _ settings: Settings) throws -> Checkpoint? {
        var saved: Checkpoint?
        if let bytes {
            saved = bytes.isEmpty ? nil : try JSONDecoder().decode(Checkpoint.self, from: Data(bytes))
        } else if let path = settings.checkpointPath, FileManager.default.fileExists(atPath: path) {
            saved = try JSONDecoder().decode(Checkpoint.self, from: Data(contentsOf: URL(filePath: path)))
        }
        return saved
    }

    /// - Throws: `StreamFileError` when there is nothing to read at the path.
    public static func checkReadable(_ input: String) throws {
        guard input == "-" || access(input, R_OK) == 0 else {
            throw StreamFileError(path: input, action: "read", code: errno)
        }
    }

    /// Whether these bytes are what `checkpoint` gives; they may be of another kind of stream.
    public static func isCheckpoint(_ bytes: [UInt8]) -> Bool {
        (try? JSONDecoder().decode(Checkpoint.self, from: Data(bytes))) != nil
    }

    /// Whether a checkpoint is of this input, so that the windows' offsets are those of its lines.
    public static func canResume(_ checkpoint: [UInt8], input: String) -> Bool {
        let saved = try? JSONDecoder().decode(Checkpoint.self, from: Data(checkpoint))
        return input != "-" && saved?.input == input && saved?.read?.isStill(input) ?? true
    }

    public var isFinished: Bool { state.withLock { $0.isFinished } }

    public var trouble: String? { nil }

    /// The place reached, for `init`.
    public var checkpoint: [UInt8] {
        get throws { [UInt8](try JSONEncoder().encode(marked(state.withLock { $0.checkpoint }))) }
    }

    /// The checkpoint has been written down.
    public func noteSaved() { state.withLock { $0.isUnsaved = false } }

    /// With what stands before the places reached, which does not change any more.
    private func marked(_ checkpoint: Checkpoint) -> Checkpoint {
        var marked = checkpoint
        let descriptor = state.withLock { $0.lines.descriptor }
        marked.read = settings.input == "-" ? nil : FileMark(descriptor, size: checkpoint.inputByte)
        marked.written = verdicts.mark(at: checkpoint.verdictsSize)
        marked.refused = deadLetters?.mark(at: checkpoint.deadLettersSize)
        return marked
    }

    private func keep(_ checkpoint: Checkpoint) throws {
        guard let path = settings.checkpointPath else { return }
        try JSONEncoder().encode(marked(checkpoint)).write(to: URL(filePath: path), options: .atomic)
    }

    public func next(_ limits: BatchLimits) throws -> RawRecords? {
        let allowed = try allowedRecords(limits)
        guard allowed > 0 else { return nil }
        return try state.withLock { state in
            guard let read = try state.lines.next(maximumCount: allowed, maximumSize: limits.sizeBytes)
            else {
                state.isFinished = true
                return nil
            }
            let chunk = read.chunk
            let start = state.offset
            state.offset += Int64(chunk.lineCount)
            state.handedOut += chunk.lineCount
            state.ends[state.offset] = BatchEnd(byte: read.endByte, clock: state.lines.clock)
            let slice = PartitionSlice(
                source: TopicPartition(topic: settings.topic, partition: 0), start: start, end: state.offset)
            return RawRecords(
                payloads: chunk.lines, offsets: chunk.numbers.map { start + Int64($0) },
                sliceIndex: [Int32](repeating: 0, count: chunk.lines.count), slices: [slice], assignment: 0,
                recordMilliseconds: read.recordMilliseconds, parsed: read.parsed, owner: chunk.owner)
        }
    }

    /// How many records the pace allows now; waits a little when none.
    private func allowedRecords(_ limits: BatchLimits) throws -> Int {
        guard let pace = settings.recordsPerSecond else { return limits.records }
        let due = state.withLock { state in
            let now = ContinuousClock.now
            let started = state.started ?? now
            state.started = started
            return Int((started.duration(to: now) / .seconds(1)) * pace) + 1 - state.handedOut
        }
        if due <= 0 { usleep(20_000) }
        return min(limits.records, due)
    }

    public func heartbeat() {}

    public func isCurrent(_ assignment: UInt64) -> Bool { true }

    /// What a delivery that failed has written is taken back; a device or a pipe keeps it.
    public var canTakeBack: Bool { verdicts.hasSize }

    /// Lines whose verdicts were written whole.
    public var deliveredLines: Int64 { state.withLock { $0.checkpoint.offset } }

    public func committedOffsets(of partitions: [Int32]) -> [Int32: Int64] {
        partitions.contains(0) ? [0: state.withLock { $0.checkpoint.offset }] : [:]
    }

    /// Writes nothing: what stands in a file is seen at once.
    public func prepare(_ delivery: Delivery) { state.withLock { $0.open = delivery } }

    /// A failure that passes is followed by an abort, and the batch comes again.
    public func commit() throws {
        guard let delivery = state.withLock({ $0.open }) else {
            preconditionFailure("a delivery is committed that was not prepared")
        }
        do {
            try write(delivery)
        } catch {
            throw error.isPassing ? DeliveryError.mustAbort(error) : error
        }
        state.withLock { $0.open = nil }
    }

    private func write(_ delivery: Delivery) throws {
        var isElsewhere = try verdicts.append { file in
            delivery.verdicts.visit { _, _, payload in file.append(line: payload) }
        }
        if let deadLetters, !delivery.deadLetters.isEmpty {
            let isMoved = try deadLetters.append { file in
                for letter in delivery.deadLetters { file.append(line: letter.jsonLine) }
            }
            isElsewhere = isElsewhere || isMoved
        }
        guard let offset = delivery.slices.last?.end else { return }
        guard let end = state.withLock({ $0.ends[offset] }) else {
            preconditionFailure("a batch is delivered once, after it was handed out")
        }
        var clock: [UInt8] = []
        end.clock.append(to: &clock)
        let checkpoint = Checkpoint(
            input: settings.input, offset: offset, inputByte: end.byte, verdictsSize: verdicts.size,
            deadLettersSize: deadLetters?.size ?? 0, clock: clock)
        try keep(checkpoint)
        verdicts.settle()
        deadLetters?.settle()
        state.withLock { state in
            state.checkpoint = checkpoint
            state.isUnsaved = state.isUnsaved || isElsewhere
            state.ends[offset] = nil
        }
    }

    /// Takes back what a failed commit has written.
    public func abort() throws {
        state.withLock { $0.open = nil }
        try verdicts.takeBack()
        try deadLetters?.takeBack()
    }

    public func abandon() { state.withLock { $0.open = nil } }

    public func close() {
        verdicts.close()
        deadLetters?.close()
    }
}
