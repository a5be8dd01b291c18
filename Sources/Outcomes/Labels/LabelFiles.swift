import Crypto
import Exact
import Lake
import ObjectStore
import Transactions

/// Labels in the lake: `labels/yyyy/mm/dd/<name>.parquet` by the day on which they became known.
///
/// What is in two files counts once (`LabelIndex`), so a delivery may be repeated.
public struct LabelFiles: Sendable {
    private let lake: any ObjectStore

    private static let transactionID = "transaction_id"
    private static let label = "label"
    private static let knownAt = "known_at"
    private static let source = "source"

    private let badFiles: BadFiles

    /// - Parameter badFiles: What becomes of reading when a file cannot be read.
    public init(lake: any ObjectStore, badFiles: BadFiles = .fail) {
        self.lake = lake
        self.badFiles = badFiles
    }

    private var reader: LakeReader { LakeReader(store: lake, prefix: "labels").onBadFile(badFiles) }

    /// Writes labels, a file for each day on which some became known.
    ///
    /// - Parameters:
    ///   - name: Of the files, without a suffix.
    ///   - isReplacing: A file of that name is replaced; else other labels have another name: a digest follows it.
    /// - Returns: The keys of the files that hold them.
    @discardableResult
    public func write(_ labels: [Label], name: String, isReplacing: Bool = false) throws -> [String] {
        var keys: [String] = []
        for (day, ofDay) in Dictionary(
            grouping: labels, by: { LakeDay(epochMilliseconds: $0.knownMilliseconds) })
        {
            let bytes = try Self.parquet(ofDay)
            let suffix = isReplacing ? "" : "-" + Hex.text(SHA256.hash(data: bytes).prefix(8))
            let key = "labels/\(day.path)/\(name)\(suffix).parquet"
            keys.append(key)
            if let summary = try lake.head(key), summary.sizeBytes == bytes.count,
                try lake.get(key)?.bytes == bytes
            {
                continue
            }
            try lake.put(key, bytes, if: .always)
        }
        return keys
    }

    private static func parquet(_ labels: [Label]) throws -> [UInt8] {
        let sorted = labels.sorted { a, b in
            if a.transactionID != b.transactionID { return a.transactionID < b.transactionID }
            if a.knownMilliseconds != b.knownMilliseconds { return a.knownMilliseconds < b.knownMilliseconds }
            return (a.isFraud ? 1 : 0, a.source) < (b.isFraud ? 1 : 0, b.source)
        }
        let writer = try ParquetWriter(columns: [
            ParquetColumn(transactionID, .text, isSearched: true), ParquetColumn(label, .text),
            ParquetColumn(knownAt, .timestampMilliseconds), ParquetColumn(source, .text),
        ])
        try writer.append([
            .text(TextColumn(sorted.map(\.transactionID))),
            .text(TextColumn(sorted.map { $0.isFraud ? Label.fraud : Label.genuine })),
            .timestampMilliseconds(sorted.map(\.knownMilliseconds)),
            .text(TextColumn(sorted.map(\.source))),
        ])
        return try writer.finish()
    }

    /// The files of labels that became known on these days.
    public func files(in days: ClosedRange<LakeDay>) throws -> [LakeFile] { try reader.files(in: days) }

    /// Every day that can have files.
    public static let allDays = LakeDay(dayNumber: 0)...LakeDay(dayNumber: 84_006)  // 1970 to 2199

    /// A row of a file.
    public struct Row: Sendable, BitwiseCopyable {
        /// `TextHash` of the transaction's id.
        public var transaction: UInt64
        public var knownAt: Int64
        public var isFraud: Bool

        public init(transaction: UInt64, knownAt: Int64, isFraud: Bool) {
            self.transaction = transaction
            self.knownAt = knownAt
            self.isFraud = isFraud
        }
    }

    /// - Returns: What was read, and which files were left out.
    /// - Throws: `LakeError` for a file that lacks a column or is damaged, unless such are left out; the store's own errors.
    @discardableResult
    public func read(
        _ files: [LakeFile], isCancelled: () -> Bool = { false }, _ body: (Row) throws -> Void
    ) throws -> ScanStatistics {
        try scan(files, isCancelled: isCancelled) { batch in try eachRow(batch) { try body($1) } }
    }

    /// The same, each row with who said so; nil where the file does not tell.
    func readSources(
        _ files: [LakeFile], _ body: (Row, UnsafeBufferPointer<UInt8>?) throws -> Void
    ) throws -> ScanStatistics {
        try scan(files, optionalColumns: [Self.source]) { batch in
            let sources = try batch.texts(Self.source)
            try eachRow(batch) { number, row in try sources.withBytes(number) { try body(row, $0) } }
        }
    }

    @discardableResult
    private func scan(
        _ files: [LakeFile], optionalColumns: [String] = [], isCancelled: () -> Bool = { false },
        _ body: (RecordBatch) throws -> Void
    ) throws -> ScanStatistics {
        try reader.scan(
            files: files, columns: [Self.transactionID, Self.label, Self.knownAt],
            optionalColumns: optionalColumns, isCancelled: isCancelled, body)
    }

    /// Rows that say neither `fraud` nor `genuine`, or of what transaction, are passed over.
    private func eachRow(_ batch: RecordBatch, _ body: (Int, Row) throws -> Void) throws {
        let ids = try batch.texts(Self.transactionID)
        let labels = try batch.texts(Self.label)
        let times = try batch.timestamps(Self.knownAt)
        for row in 0..<batch.count {
            let transaction = ids.withBytes(row) { id in
                id.map { TextHash.hash(UnsafeRawBufferPointer($0)) } ?? 0
            }
            let isFraud = labels.withBytes(row) { text -> Bool? in
                guard let text else { return nil }
                if text.elementsEqual(Label.fraud.utf8) { return true }
                return text.elementsEqual(Label.genuine.utf8) ? false : nil
            }
            guard let isFraud, transaction != 0 else { continue }
            try body(row, Row(transaction: transaction, knownAt: times[row], isFraud: isFraud))
        }
    }
}
