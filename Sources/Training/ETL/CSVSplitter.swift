import Exact
import Lake
import Transactions

/// Records of a CSV file whose header names the columns as a transaction's JSON does, turned into that JSON, so that
/// one parser decides what a transaction is and what its values mean. Columns of other names, and without one, are
/// ignored; an empty field is missing.
struct CSVSplitter: RecordSplitter {
    private static let texts = TextField.allCases.map(\.key)
    private static let others = [
        TransactionColumns.amount, TransactionColumns.latitude, TransactionColumns.longitude,
        TransactionColumns.timestamp, TransactionColumns.label,
    ]

    private var rows = CSVRows(columns: texts + others, required: TransactionColumns.required)
    private var json = JSONWriter()

    mutating func split(_ piece: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void) throws {
        var rows = self.rows
        defer { self.rows = rows }
        try rows.read(piece) { try take($0, body) }
    }

    mutating func finish(_ body: (RawRecord) throws -> Void) throws {
        var rows = self.rows
        defer { self.rows = rows }
        try rows.finish { try take($0, body) }
    }

    private mutating func take(_ row: CSVRows.Row, _ body: (RawRecord) throws -> Void) throws {
        let record = row.record
        if let problem = row.problem {
            let kept = UnsafeBufferPointer(rebasing: record.raw.prefix(RecordSplitting.maximumBytes))
            return try body(RawRecord(line: record.line, bytes: kept, source: kept, problem: problem))
        }
        writeJSON(row)
        try json.bytes.withUnsafeBufferPointer {
            try body(RawRecord(line: record.line, bytes: $0, source: record.raw, problem: nil))
        }
    }

    private mutating func writeJSON(_ row: CSVRows.Row) {
        var bytes = json.take()
        bytes.removeAll(keepingCapacity: true)
        json = JSONWriter(reusing: bytes)
        json.beginObject()
        for column in row.columns {
            let field = row.record.bytes(column.index)
            if field.isEmpty { continue }
            json.key(column.name)
            let isText = column.number < Self.texts.count
            if isText, CSVIdentifier.isWholeNumberWithPoint(field) {
                json.append(plain: field)
            } else {
                json.append(utf8: field)
            }
        }
        json.endObject()
    }
}
