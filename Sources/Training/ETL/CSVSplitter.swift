import Exact
import Lake
import Transactions

/// Records of a CSV file whose header names the columns as a transaction's JSON does, turned into that JSON, so that
/// one parser decides what a transaction is. Columns of other names are ignored; an empty field is missing.
struct CSVSplitter: RecordSplitter {
    private enum Kind { case text, number, time }

    private struct Column {
        let index: Int
        let kind: Kind
        let name: String
    }

    private var parser = CSVParser()
    private var fieldCount: Int?
    private var columns: [Column] = []
    /// A header that cannot be used: the rest of the file says nothing.
    private var isUnusable = false
    private var json = JSONWriter()

    private static let kinds: [String: Kind] =
        Dictionary(
            uniqueKeysWithValues: TextField.allCases.map { ($0.key, Kind.text) } + [
                (TransactionColumns.amount, .number), (TransactionColumns.latitude, .number),
                (TransactionColumns.longitude, .number), (TransactionColumns.timestamp, .time),
                (TransactionColumns.label, .text),
            ])

    mutating func split(_ piece: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void) throws {
        var parser = self.parser
        defer { self.parser = parser }
        try parser.parse(piece) { try take($0, body) }
    }

    mutating func finish(_ body: (RawRecord) throws -> Void) throws {
        var parser = self.parser
        defer { self.parser = parser }
        try parser.finish { try take($0, body) }
    }

    private mutating func take(
        _ record: CSVParser.Record, _ body: (RawRecord) throws -> Void
    ) throws {
        if isUnusable { return }
        if let problem = record.problem {
            return try reject(record, "\(problem)", body)
        }
        guard let fieldCount else { return try takeHeader(record, body) }
        guard record.count == fieldCount else {
            return try reject(
                record, "it has \(record.count) fields where the header has \(fieldCount)", body)
        }
        writeJSON(record)
        try json.bytes.withUnsafeBufferPointer {
            try body(RawRecord(line: record.line, bytes: $0, problem: nil))
        }
    }

    private mutating func takeHeader(
        _ record: CSVParser.Record, _ body: (RawRecord) throws -> Void
    ) throws {
        let names = record.fields
        fieldCount = names.count
        for (index, name) in names.enumerated() {
            guard let kind = Self.kinds[name] else { continue }
            columns.append(Column(index: index, kind: kind, name: name))
        }
        let missing = TransactionColumns.required.filter { !names.contains($0) }
        guard missing.isEmpty else {
            isUnusable = true
            return try reject(record, "the header lacks \(missing.joined(separator: ", "))", body)
        }
        guard Set(names).count == names.count else {
            isUnusable = true
            return try reject(record, "the header names a column twice", body)
        }
    }

    private func reject(
        _ record: CSVParser.Record, _ problem: String, _ body: (RawRecord) throws -> Void
    ) throws {
        let kept = UnsafeBufferPointer(rebasing: record.raw.prefix(RecordSplitting.maximumBytes))
        try body(RawRecord(line: record.line, bytes: kept, problem: problem))
    }

    private mutating func writeJSON(_ record: CSVParser.Record) {
        var bytes = json.take()
        bytes.removeAll(keepingCapacity: true)
        json = JSONWriter(reusing: bytes)
        json.beginObject()
        for column in columns {
            let field = record.bytes(column.index)
            if field.isEmpty { continue }
            json.key(column.name)
            // As JSON spells it; what is no number stays a text, which the parser refuses by the field's name.
            if column.kind == .number, let number = Double(record[column.index]), number.isFinite {
                json.append(number)
            } else if column.kind == .time, let milliseconds = Int64(record[column.index]) {
                json.append(milliseconds)
            } else {
                json.append(utf8: field)
            }
        }
        json.endObject()
    }
}
