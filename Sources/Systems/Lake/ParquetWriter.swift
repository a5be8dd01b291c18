import CParquet

/// A column of a file to write.
public struct ParquetColumn: Sendable, Hashable {
    public let name: String
    public let type: ColumnType
    /// Whether rows may lack a value; a timestamp column's may not.
    public let isNullable: Bool
    /// Gives the column a Bloom filter, for readers that look for one value.
    public let isSearched: Bool

    public init(_ name: String, _ type: ColumnType, isNullable: Bool = false, isSearched: Bool = false) {
        self.name = name
        self.type = type
        self.isNullable = isNullable
        self.isSearched = isSearched
    }
}

/// Values to write to a column.
public enum ColumnValues: Sendable {
    case text(TextColumn)
    /// In a nullable column NaN is null.
    case real([Double])
    case integer(NullableColumn<Int64>)
    /// Milliseconds since 1970 UTC.
    case timestampMilliseconds([Int64])
    case boolean(NullableColumn<Bool>)

    var count: Int {
        switch self {
        case .text(let texts): texts.count
        case .real(let reals): reals.count
        case .integer(let integers): integers.count
        case .timestampMilliseconds(let times): times.count
        case .boolean(let booleans): booleans.count
        }
    }
}

/// Writes one Parquet file in memory: zstd, statistics, page checksums, Bloom filters, row groups of a fixed number
/// of rows. The same rows in the same order give the same bytes, however they are cut into calls.
///
/// Used by one thread at a time. Rows are written in the order they come: sort them before, by user, so that
/// statistics tell a reader which row groups to skip.
public final class ParquetWriter {
    public let columns: [ParquetColumn]
    private let rowGroupRows: Int
    private let pointer: OpaquePointer
    private var pending: [PendingColumn]
    private var pendingRows = 0

    /// - Parameter rowGroupRows: rows of a row group, at most; a group of less is also ended when its texts pass
    ///   `rowGroupTextBytes`.
    /// - Throws: `.unwritable` when two columns have one name, or a boolean or timestamp column has a property that it
    ///   cannot have.
    public init(columns: [ParquetColumn], rowGroupRows: Int = 65_536) throws(LakeError) {
        precondition(rowGroupRows > 0 && !columns.isEmpty, "a file has columns and its row groups rows")
        guard Set(columns.map(\.name)).count == columns.count else {
            throw .unwritable(reason: "two columns have the same name")
        }
        for column in columns {
            if column.type == .timestampMilliseconds, column.isNullable {
                throw .unwritable(reason: "timestamp column '\(column.name)' cannot be nullable")
            }
            if column.type == .boolean, column.isSearched {
                throw .unwritable(reason: "boolean column '\(column.name)' cannot have a Bloom filter")
            }
        }
        self.columns = columns
        self.rowGroupRows = rowGroupRows
        pending = columns.map(PendingColumn.init)
        var error = pq_error()
        guard let pointer = Self.open(columns, rowGroupRows: rowGroupRows, &error) else {
            throw .unwritable(reason: error.text)
        }
        self.pointer = pointer
    }

    deinit {
        pq_writer_close(pointer)
    }

    /// Texts of one row group never take more bytes together, a single row apart.
    public static let rowGroupTextBytes = 256 << 20

    /// Adds rows: values of each column, in the order of `columns`.
    ///
    /// - Throws: `.unwritable` when types or counts do not fit or a column that is not nullable has a null. Nothing of
    ///   these rows is written then.
    public func append(_ values: [ColumnValues]) throws(LakeError) {
        guard values.count == columns.count else {
            throw .unwritable(reason: "\(values.count) columns instead of \(columns.count)")
        }
        let count = values[0].count
        for (column, values) in zip(columns, values) { try check(values, for: column, count: count) }
        var row = 0
        while row < count {
            let rows = row..<row + fitting(values, from: row, count: count)
            for index in pending.indices { pending[index].append(values[index], rows: rows) }
            pendingRows += rows.count
            row = rows.upperBound
            if row < count || pendingRows == rowGroupRows { try writeRowGroup() }
        }
    }

    /// Ends the file and gives its bytes. The writer takes no more rows.
    public func finish() throws(LakeError) -> [UInt8] {
        if pendingRows > 0 { try writeRowGroup() }
        var error = pq_error()
        var bytes: UnsafePointer<UInt8>?
        var sizeBytes: Int64 = 0
        guard pq_writer_finish(pointer, &bytes, &sizeBytes, &error) else {
            throw .unwritable(reason: error.text)
        }
        return Array(UnsafeBufferPointer(start: bytes, count: Int(sizeBytes)))
    }

    private static func open(
        _ columns: [ParquetColumn], rowGroupRows: Int, _ error: inout pq_error
    ) -> OpaquePointer? {
        // All names in one buffer, each ended by a zero.
        var names: [CChar] = []
        let starts = columns.map { column in
            defer { names.append(contentsOf: column.name.utf8CString) }
            return names.count
        }
        return names.withUnsafeBufferPointer { names in
            let specs = zip(columns, starts).map { column, start in
                pq_column_spec(
                    name: names.baseAddress.map { $0 + start }, type: column.type.code,
                    nullable: column.isNullable, bloom_filter: column.isSearched)
            }
            return pq_writer_open(specs, Int32(specs.count), Int64(rowGroupRows), &error)
        }
    }

    private func check(_ values: ColumnValues, for column: ParquetColumn, count: Int) throws(LakeError) {
        let (type, hasNulls) =
            switch values {
            case .text(let texts): (ColumnType.text, texts.isValid?.contains(false) ?? false)
            case .real: (.real, false)
            case .integer(let integers): (.integer, integers.isValid?.contains(false) ?? false)
            case .timestampMilliseconds: (.timestampMilliseconds, false)
            case .boolean(let booleans): (.boolean, booleans.isValid?.contains(false) ?? false)
            }
        guard type == column.type else {
            throw .unwritable(reason: "column '\(column.name)' is of type \(column.type), not \(type)")
        }
        guard values.count == count else {
            throw .unwritable(reason: "column '\(column.name)' has \(values.count) rows instead of \(count)")
        }
        if case .text(let texts) = values, texts.longestBytes > Int32.max {
            throw .unwritable(reason: "column '\(column.name)' has a text of more than 2 GiB")
        }
        guard !hasNulls || column.isNullable else {
            throw .unwritable(reason: "column '\(column.name)' has a null and is not nullable")
        }
    }

    /// How many of the rows from `row` on still go into the pending row group; at least one goes into an empty one.
    private func fitting(_ values: [ColumnValues], from row: Int, count: Int) -> Int {
        let free = min(count - row, rowGroupRows - pendingRows)
        let texts = values.compactMap { if case .text(let texts) = $0 { texts } else { nil } }
        let written = pending.reduce(0) { $0 + $1.textBytes }
        func bytes(_ rows: Int) -> Int {
            texts.reduce(written) { $0 + Int($1.offsets[row + rows] - $1.offsets[row]) }
        }
        if bytes(free) <= Self.rowGroupTextBytes { return free }
        var fits = 0
        var tooMany = free
        while tooMany - fits > 1 {
            let middle = (fits + tooMany) / 2
            if bytes(middle) <= Self.rowGroupTextBytes { fits = middle } else { tooMany = middle }
        }
        return pendingRows == 0 ? max(1, fits) : fits
    }

    private func writeRowGroup() throws(LakeError) {
        var error = pq_error()
        let written = PendingColumn.withPointers(pending[...]) {
            pq_write_group(pointer, $0, Int64(pendingRows), &error)
        }
        guard written else { throw .unwritable(reason: error.text) }
        for index in pending.indices { pending[index].removeAll() }
        pendingRows = 0
    }
}

extension ColumnType {
    fileprivate var code: pq_type {
        switch self {
        case .text: PQ_TEXT
        case .real: PQ_REAL
        case .integer: PQ_INTEGER
        case .timestampMilliseconds: PQ_TIMESTAMP
        case .boolean: PQ_BOOLEAN
        }
    }
}
