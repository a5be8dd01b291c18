import Crypto
import Exact
import Foundation
import Lake
import ObjectStore
import Transactions

/// Brings `raw/` CSV, JSON and JSONL, as they are or compressed by gzip or zstd, to `processed/yyyy/mm/dd/`: a file for each
/// source and day, sorted by user and time.
///
/// May be run again: what it writes depends on the sources alone. Of rows with one id on one day the first counts,
/// sources in the order of their keys; files of the day that come from elsewhere go first. The same transaction once more
/// is left out; another one goes to `rejected/`, as does what is no transaction, with source, line and reason.
///
/// Two passes: the sources are parsed piece by piece and their rows put aside by day, in memory up to a budget and in
/// temporary files beyond; then day by day. Memory does not grow with the sources, however many they are, in whatever order
/// their rows come, and however many are of one day (but for two bits a row of it).
public struct ETL: Sendable {
    private let raw: any ObjectStore
    private let lake: any ObjectStore
    private let limits: Limits
    /// How long after a transaction its `is_fraud` became known; nil: with it, and it stays in its row. Milliseconds.
    private let labelDelay: Int64?
    private let now: @Sendable () -> Int64

    public struct Limits: Sendable {
        /// Of a source are fetched at a time.
        public var pieceBytes = 8 << 20
        /// That a compressed source may become, however small it is.
        public var inflatedBytes = Inflater.freeBytes
        /// Rows kept in memory before they go to temporary files.
        public var memoryBytes = 256 << 20
        /// Rows of one written file, and bytes of their texts.
        public var fileRows = 1_000_000
        public var fileTextBytes = 256 << 20
        /// Ids of one day's transactions that are told apart in memory, of 35 bytes each; of a day with more they go to
        /// temporary files.
        public var dayIDs = 3 << 20
        /// Of the rejected rows of one source that are kept.
        public var rejectedBytes = 64 << 20
        /// What becomes of the run when a source, or a file of the lake, cannot be read.
        public var badFiles = BadFiles.fail
        /// Of times that do not say theirs; nil: they are refused.
        public var zone: PlaceZone?
        /// Where temporary files go.
        public var scratchFolder = FileManager.default.temporaryDirectory.path

        public init() {}
    }

    /// - Parameter now: Epoch milliseconds: labels cannot have become known later.
    public init(
        raw: any ObjectStore, lake: any ObjectStore, limits: Limits = Limits(), labelDelay: Int64? = nil,
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) {
        self.labelDelay = labelDelay
        self.now = now
        self.raw = raw
        self.lake = lake
        self.limits = limits
    }

    public struct Result: Sendable, Hashable {
        /// Sources that were read.
        public var sources = 0
        public var transactions = 0
        /// Transactions that the day had already.
        public var duplicates = 0
        /// Rows that are no transactions or no labels, and those of `conflicting`.
        public var rejected = 0
        /// Transactions whose id is another transaction's of their day.
        public var conflicting = 0
        /// Where the first of them is.
        public var firstConflicting: String?
        /// Keys below `raw/` that are no data by their names.
        public var passedOver: [String] = []
        /// Sources that gave neither a transaction nor a label, with the first reason.
        public var refused: [String] = []
        /// Files that could not be read and were left out, with the reasons (`BadFiles.skip`).
        public var skipped: [String] = []
        /// Files of the lake that earlier runs wrote, that this one would not, and that stay as their source has rows
        /// that cannot be read any more, or none at all.
        public var kept: [String] = []
        /// Labels of `raw/labels/`, and of transactions where they became known later.
        public var labels = 0

        public init(
            sources: Int = 0, transactions: Int = 0, duplicates: Int = 0, rejected: Int = 0, labels: Int = 0
        ) {
            self.labels = labels
            self.sources = sources
            self.transactions = transactions
            self.duplicates = duplicates
            self.rejected = rejected
        }
    }

    /// - Parameter progress: Told what it does, and the finished part of it, 0 to 1.
    /// - Throws: `TrainingError.invalidRequest` for a source of another kind, `.noData` when there are sources and none gives
    ///   anything, `.cancelled`, `.scratch`; `LakeError.changed` when a source was
    ///   replaced while it was read, other `LakeError`s for damaged files of the lake; the stores' own errors.
    public func run(
        isCancelled: () -> Bool = { false }, progress: (String, Double) -> Void
    ) throws -> Result {
        var result = Result()
        var aside = RowsByDay(scratch: limits.scratchFolder, memoryBytes: limits.memoryBytes)
        let all = try sources(&result)
        let earlier = try EarlierLabels(lake: lake)
        let labelled = try LabelLoading(
            raw: raw, lake: lake, earlier: earlier, limits: limits, now: now()
        ).run(
            all.filter { $0.key.hasPrefix(LabelLoading.prefix) }, isCancelled: isCancelled, progress: progress
        )
        result.sources = labelled.sources
        result.labels = labelled.labels
        result.rejected = labelled.rejected
        result.skipped += labelled.skipped
        result.refused = labelled.refused
        let summaries = all.filter { !$0.key.hasPrefix(LabelLoading.prefix) }
        var sources = summaries.map { Source(key: $0.key) }
        let sizeBytes = max(1, summaries.reduce(0) { $0 + $1.sizeBytes })
        var readBytes = 0
        let pieces = SourcePieces(raw: raw, limits: limits)
        for (index, source) in summaries.enumerated() {
            if let problem = try pieces.problem(of: source, isCancelled: isCancelled) {
                result.skipped.append(problem)
                sources[index].isDamaged = true
                sources[index].isRefused = true
                continue
            }
            let rejections = RejectedRows(
                store: lake, name: sources[index].name, limitBytes: limits.rejectedBytes)
            var reading = SourceReading(
                key: source.key, index: index, rejections: rejections, zone: limits.zone)
            try pieces.read(
                source, isCancelled: isCancelled,
                progress: {
                    readBytes += $0
                    progress(source.key, Double(readBytes) / Double(sizeBytes))
                },
                body: { try reading.read($0, into: &aside) })
            try reading.finish(into: &aside)
            result.rejected += reading.rejections.count
            result.sources += 1
            sources[index].isDamaged = reading.rejections.count > 0 || reading.accepted == 0
            if reading.accepted == 0 {
                sources[index].isRefused = true
                result.refused.append("\(source.key), \(reading.rejections.first ?? Self.emptySource)")
            }
        }
        let isLabelled = sources.isEmpty && labelled.labels > 0
        if let first = result.refused.first ?? result.skipped.first, aside.days.isEmpty, !isLabelled {
            throw TrainingError.noData(
                "no file gives a \(sources.isEmpty ? "label" : "transaction"); the first: \(first). Rows that are "
                    + "refused are in rejected/ with their reasons; the lake's days are as they were")
        }
        try aside.finish()
        var writing = DayWriting(
            lake: lake, sources: sources, earlier: earlier, labelDelay: labelDelay, limits: limits)
        try writing.begin()
        let days = aside.days
        for (index, day) in days.enumerated() {
            if isCancelled() { throw TrainingError.cancelled }
            try writing.write(day, &aside)
            progress("\(day)", Double(index + 1) / Double(days.count))
        }
        try writing.finish()
        result.kept = try writing.removeStale() + labelled.kept
        result.skipped += writing.skipped
        result.labels += writing.labels
        result.conflicting = writing.conflicts.count
        result.firstConflicting = writing.firstConflict
        result.rejected += writing.conflicts.count
        result.transactions = writing.transactions
        result.duplicates = writing.duplicates
        return result
    }

    /// What is below `raw/`, but for what is no data by its name: files and folders that start with `_` or `.`, such as
    /// `_SUCCESS`, `_temporary/` and `.ipynb_checkpoints/`, which may hold half-written files; markers of folders; and
    /// empty files of other kinds.
    private func sources(_ result: inout Result) throws -> [ObjectSummary] {
        var sources: [ObjectSummary] = []
        for source in try raw.listAll(prefix: "raw/") {
            let isHidden = source.key.split(separator: "/").contains {
                $0.hasPrefix("_") || $0.hasPrefix(".")
            }
            let isEmpty = source.sizeBytes == 0 && RecordSplitting.splitter(for: source.key) == nil
            if isHidden || isEmpty || source.key.hasSuffix("_$folder$") || source.key.hasSuffix("/") {
                result.passedOver.append(source.key)
            } else {
                sources.append(source)
            }
        }
        // Before anything is written: nobody should believe that such a file is in the lake.
        for source in sources where RecordSplitting.splitter(for: source.key) == nil {
            let reason =
                "raw files are .csv, .json, .jsonl or .ndjson, and these with .gz or .zst; move it away"
            guard limits.badFiles == .skip else {
                throw TrainingError.invalidRequest(field: source.key, reason: reason)
            }
            result.skipped.append("\(source.key): \(reason)")
        }
        return sources.filter { RecordSplitting.splitter(for: $0.key) != nil }
    }

    /// A source of transactions.
    struct Source {
        let key: String
        /// Of its files in the lake.
        let name: String
        /// It has rows that cannot be read, or none: what it gave earlier and does not give now may be among those.
        var isDamaged = false
        /// It gave no transaction. Its files in the lake are then like those of others: they stay, and their transactions
        /// go before ours.
        var isRefused = false

        init(key: String) {
            self.key = key
            name = ETL.name(ofSource: key)
        }
    }

    /// What is wrong with a source without a row.
    static let emptySource = "it holds no row; write it again, or move it away"

    static let nameLength = 16

    /// Depends on the source's key alone, so that a source replaces its own files.
    static func name(ofSource key: String) -> String {
        Hex.text(SHA256.hash(data: Array(key.utf8)).prefix(nameLength / 2))
    }
}

/// Rows of all sources, put aside by day, in the order in which they were read.
struct RowsByDay {
    private let spill: SpillFiles
    private var keys: [LakeDay: Int] = [:]
    /// Rows of each key.
    private var counts: [Int] = []
    private var record: [UInt8] = []

    init(scratch: String, memoryBytes: Int) {
        spill = SpillFiles(keys: 0, scratch: scratch, budgetBytes: memoryBytes)
    }

    /// Ascending.
    var days: [LakeDay] { keys.keys.sorted() }

    mutating func add(
        _ batch: TransactionBatch, _ row: Int, source: Int, line: Int, label: Int8
    ) throws {
        let day = LakeDay(epochMilliseconds: batch.timestampMilliseconds[row])
        let key: Int
        if let known = keys[day] {
            key = known
        } else {
            key = spill.addKey()
            keys[day] = key
            counts.append(0)
        }
        counts[key] += 1
        SpilledTransaction.encode(batch, row, source: source, line: line, label: label, into: &record)
        try record.withUnsafeBytes { try spill.append($0, to: key) }
    }

    /// Nothing is added any more.
    func finish() throws { try spill.finish() }

    func count(_ day: LakeDay) -> Int { keys[day].map { counts[$0] } ?? 0 }

    /// The rows of a day, which are then gone.
    mutating func take(_ day: LakeDay, _ body: (SpilledTransaction.Record) throws -> Void) throws {
        guard let key = keys[day] else { return }
        var reader = SpilledTransaction.Reader()
        try spill.take(key) { piece in
            try reader.read(piece) { try body(SpilledTransaction.Record($0)) }
        }
    }

    /// The rows of a day, which stay.
    func visit(_ day: LakeDay, _ body: (SpilledTransaction.Record) throws -> Void) throws {
        guard let key = keys[day] else { return }
        var reader = SpilledTransaction.Reader()
        try spill.visit(key) { piece in
            try reader.read(piece) { try body(SpilledTransaction.Record($0)) }
        }
    }
}
