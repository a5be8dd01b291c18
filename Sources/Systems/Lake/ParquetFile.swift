import CParquet
import ObjectStore

/// One open Parquet file. Used by one thread at a time.
final class ParquetFile {
    let source: ParquetSource
    private let pointer: OpaquePointer

    /// - Parameter coded: Columns of texts that are read by number, see `RecordBatch.codedTexts`.
    /// - Throws: `LakeError` for bytes that are no sound Parquet file, the store's own error when it fails.
    init(_ source: ParquetSource, settings: ReadSettings = ReadSettings(), coded: [String] = []) throws {
        self.source = source
        var options = pq_read_options(
            whole_bytes: Int64(settings.wholeFileBytes), tail_bytes: Int64(settings.footerBytes),
            gap_bytes: Int64(settings.gapBytes), request_bytes: Int64(settings.requestBytes),
            memory_bytes: Int64(settings.memoryBytes), coded: nil, coded_count: Int32(coded.count))
        var error = pq_error()
        let names = coded.flatMap { Array($0.utf8CString) }
        let opened = names.withUnsafeBufferPointer { names in
            options.coded = names.baseAddress
            return source.withPointer { pq_open($0, &options, &error) }
        }
        guard let pointer = opened else { throw error.asError(source: source) }
        self.pointer = pointer
    }

    deinit {
        pq_close(pointer)
    }

    var rowCount: Int { Int(pq_row_count(pointer)) }
    var rowGroupCount: Int { Int(pq_group_count(pointer)) }

    /// The names of the columns at the top of the schema, and whether each holds numbers or booleans, or texts.
    var columns: [(name: String, isNumeric: Bool, isText: Bool)] {
        (0..<pq_column_count(pointer)).map {
            (
                String(cString: pq_column_name(pointer, $0)), pq_column_is_numeric(pointer, $0),
                pq_column_is_text(pointer, $0)
            )
        }
    }

    /// The number of a column, nil when there is none of this name.
    func column(_ name: String) throws(LakeError) -> Int32? {
        let found = pq_find_column(pointer, name)
        switch Int(found) {
        case PQ_NO_COLUMN: return nil
        case PQ_COLUMN_TWICE:
            throw .wrongType(file: source.name, column: name, reason: "is there more than once")
        case PQ_COLUMN_NESTED: throw .wrongType(file: source.name, column: name, reason: "is nested")
        default: return found
        }
    }

    func requiredColumn(_ name: String) throws(LakeError) -> Int32 {
        guard let column = try column(name) else { throw .missingColumn(file: source.name, column: name) }
        return column
    }

    // MARK: Row groups that may hold one of some texts

    func statisticsAllow(_ texts: WantedTexts, column: Int32, rowGroup: Int) -> Bool {
        texts.withPointer { pq_statistics_allow(pointer, Int32(rowGroup), column, $0) }
    }

    /// Those of the row groups whose Bloom filter allows one of the texts, or that have none.
    func filtersAllow(_ texts: WantedTexts, column: Int32, rowGroups: [Int]) throws -> [Int] {
        let filtered = rowGroups.filter { pq_has_filter(pointer, Int32($0), column) }.map { Int32($0) }
        if filtered.isEmpty { return rowGroups }
        var error = pq_error()
        guard pq_fetch_filters(pointer, filtered, Int32(filtered.count), column, &error) else {
            throw error.asError(source: source)
        }
        return try rowGroups.filter { rowGroup in
            let allowed = texts.withPointer {
                pq_filter_allows(pointer, Int32(rowGroup), column, $0, &error)
            }
            guard allowed >= 0 else { throw error.asError(source: source) }
            return allowed == 1
        }
    }

    // MARK: Rows

    /// Makes the requests of a row group ahead of its reading.
    func fetchAhead(_ rowGroup: Int, columns: [Int32], by readAhead: ReadAhead) {
        var bounds = [Int64](repeating: 0, count: 2 * Self.requestsAhead)
        let count = pq_group_requests(
            pointer, Int32(rowGroup), columns, Int32(columns.count), &bounds, Int32(Self.requestsAhead))
        for request in 0..<Int(count) {
            let offset = Int(bounds[2 * request])
            source.fetchAhead(offset..<offset + Int(bounds[2 * request + 1]), by: readAhead)
        }
    }

    /// Of one row group, at most; the rest is requested when it is read.
    private static let requestsAhead = 16

    /// Calls `body` with each batch of a row group, of at most `batchRows` rows.
    func readRowGroup(
        _ rowGroup: Int, columns: [Int32], batchRows: Int, _ body: (ParquetBatch) throws -> Void
    ) throws {
        var error = pq_error()
        guard
            let rows = pq_read_group(
                pointer, Int32(rowGroup), columns, Int32(columns.count), Int64(batchRows), &error)
        else { throw error.asError(source: source) }
        defer { pq_rows_close(rows) }
        while let batch = pq_next(rows, &error) {
            try body(ParquetBatch(owning: batch, source: source))
        }
        if error.kind != PQ_NONE.rawValue { throw error.asError(source: source) }
    }
}

extension pq_error {
    /// What Swift throws for it.
    func asError(source: ParquetSource, column: String = "") -> any Error {
        if pq_error_kind(UInt32(bitPattern: kind)) == PQ_SOURCE, let failure = source.failure {
            return failure
        }
        return asLakeError(file: source.name, column: column)
    }

    func asLakeError(file: String, column: String) -> LakeError {
        switch pq_error_kind(UInt32(bitPattern: kind)) {
        case PQ_TYPE: .wrongType(file: file, column: column, reason: text)
        case PQ_VALUE: .badValue(file: file, column: column, row: Int(row), reason: text)
        case PQ_MEMORY: .tooLarge(file: file, reason: text)
        default: .damaged(file: file, reason: text)
        }
    }

    var text: String {
        withUnsafeBytes(of: message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
