import CParquet

/// Rows of one column that wait for their row group to be full.
struct PendingColumn {
    private let column: ParquetColumn
    private var texts = TextColumn()
    private var reals: [Double] = []
    /// Integers and times.
    private var integers: [Int64] = []
    private var booleans: [Bool] = []
    /// A flag a row, for all types but text, whose column keeps its own.
    private var isValid: [Bool] = []
    private var hasNulls = false

    init(_ column: ParquetColumn) {
        self.column = column
    }

    var textBytes: Int { texts.bytes.count }

    /// - Precondition: the values are of the column's type.
    mutating func append(_ values: ColumnValues, rows: Range<Int>) {
        switch values {
        case .text(let texts):
            self.texts.append(texts, rows: rows)
        case .real(let reals):
            self.reals.append(contentsOf: reals[rows])
            if column.isNullable { append(validity: reals[rows].map { !$0.isNaN }) }
        case .integer(let integers):
            self.integers.append(contentsOf: integers.values[rows])
            append(integers.isValid, rows: rows)
        case .timestampMilliseconds(let times):
            integers.append(contentsOf: times[rows])
        case .boolean(let booleans):
            self.booleans.append(contentsOf: booleans.values[rows])
            append(booleans.isValid, rows: rows)
        }
    }

    private mutating func append(_ flags: [Bool]?, rows: Range<Int>) {
        guard column.isNullable else { return }
        append(validity: flags.map { Array($0[rows]) } ?? Array(repeating: true, count: rows.count))
    }

    private mutating func append(validity: [Bool]) {
        isValid.append(contentsOf: validity)
        hasNulls = hasNulls || validity.contains(false)
    }

    mutating func removeAll() {
        texts.removeAll()
        reals.removeAll(keepingCapacity: true)
        integers.removeAll(keepingCapacity: true)
        booleans.removeAll(keepingCapacity: true)
        isValid.removeAll(keepingCapacity: true)
        hasNulls = false
    }

    /// Calls `body` with the C forms of these columns, valid during the call.
    static func withPointers<R>(
        _ columns: ArraySlice<PendingColumn>, _ collected: [pq_column_values] = [],
        _ body: ([pq_column_values]) -> R
    ) -> R {
        guard let first = columns.first else { return body(collected) }
        return first.withPointer { withPointers(columns.dropFirst(), collected + [$0], body) }
    }

    private func withPointer<R>(_ body: (pq_column_values) -> R) -> R {
        switch column.type {
        case .text:
            texts.bytes.withUnsafeBufferPointer { bytes in
                // `ParquetWriter` ends a row group before its texts pass 32 bits.
                texts.offsets.map { Int32($0) }.withUnsafeBufferPointer { offsets in
                    withFlags(texts.isValid ?? []) {
                        body(
                            pq_column_values(
                                values: nil, valid: $0, offsets: offsets.baseAddress, bytes: bytes.baseAddress
                            ))
                    }
                }
            }
        case .real: withValues(reals, body)
        case .integer, .timestampMilliseconds: withValues(integers, body)
        case .boolean: withValues(booleans, body)
        }
    }

    private func withValues<Value, R>(_ values: [Value], _ body: (pq_column_values) -> R) -> R {
        values.withUnsafeBytes { values in
            withFlags(hasNulls ? isValid : []) {
                body(pq_column_values(values: values.baseAddress, valid: $0, offsets: nil, bytes: nil))
            }
        }
    }

    /// No flags: no nulls.
    private func withFlags<R>(_ flags: [Bool], _ body: (UnsafePointer<UInt8>?) -> R) -> R {
        flags.withUnsafeBytes { body(flags.isEmpty ? nil : $0.bindMemory(to: UInt8.self).baseAddress) }
    }
}
