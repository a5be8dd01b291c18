import Exact
import Lake
import Transactions

/// Records of a CSV file whose header names the columns as a transaction's JSON does, turned into that JSON, so that
/// one parser decides what a transaction is and what its values mean. Columns of other names, and without one, are
/// ignored; an empty field is missing.
struct CSVSplitter: RecordSplitter {
    private struct Column {
        let index: Int
        let isText: Bool
        let name: String
    }

    private var parser = CSVParser()
    /// Named or not, but for those without a name at the header's end.
    private var fieldCount: Int?
    private var columns: [Column] = []
    /// A header that cannot be used: the rest of the file says nothing.
    private var isUnusable = false
    private var json = JSONWriter()

    private static let texts = Set(TextField.allCases.map(\.key))
    private static let others: Set = [
        TransactionColumns.amount, TransactionColumns.latitude, TransactionColumns.longitude,
        TransactionColumns.timestamp, TransactionColumns.label,
    ]

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
        if fieldCount == nil, let problem = RecordSplitting.encodingProblem(record.raw) {
            isUnusable = true
            return try reject(record, problem, body)
        }
        if let problem = record.problem {
            return try reject(record, "\(problem)", body)
        }
        guard let fieldCount else { return try takeHeader(record, body) }
        let hasAll = record.count >= fieldCount
        guard hasAll, (fieldCount..<record.count).allSatisfy({ record.bytes($0).isEmpty }) else {
            return try reject(
                record, "it has \(record.count) fields where the header has \(fieldCount)", body)
        }
        writeJSON(record)
        try json.bytes.withUnsafeBufferPointer {
            try body(RawRecord(line: record.line, bytes: $0, source: record.raw, problem: nil))
        }
    }

    private mutating func takeHeader(
        _ record: CSVParser.Record, _ body: (RawRecord) throws -> Void
    ) throws {
        var names = record.fields.map {
            String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        while names.count > 1, names.last == "" { names.removeLast() }
        fieldCount = names.count
        for (index, name) in names.enumerated() {
            let isText = Self.texts.contains(name)
            guard isText || Self.others.contains(name) else { continue }
            columns.append(Column(index: index, isText: isText, name: name))
        }
        let missing = TransactionColumns.required.filter { !names.contains($0) }
        guard missing.isEmpty else {
            isUnusable = true
            let separator = [";", "\t", "|"].first { names.count == 1 && names[0].contains($0) }
            return try reject(
                record,
                "the header lacks \(missing.joined(separator: ", "))"
                    + (separator.map { "; fields are separated by commas here, not by '\($0)'" } ?? ""), body)
        }
        if let twice = columns.first(where: { column in
            columns.contains { $0.name == column.name && $0.index > column.index }
        }) {
            isUnusable = true
            return try reject(record, "the header names the column \(twice.name) twice", body)
        }
    }

    private func reject(
        _ record: CSVParser.Record, _ problem: String, _ body: (RawRecord) throws -> Void
    ) throws {
        let kept = UnsafeBufferPointer(rebasing: record.raw.prefix(RecordSplitting.maximumBytes))
        try body(RawRecord(line: record.line, bytes: kept, source: kept, problem: problem))
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
            if column.isText, Self.isWholeNumberWithPoint(field) {
                json.append(plain: field)
            } else {
                json.append(utf8: field)
            }
        }
        json.endObject()
    }

    /// `42.0`: what tools that keep ids as floating point make of 42. CSV does not say what is a number; this is one, so
    /// that the id is the same as in JSON and Parquet.
    private static func isWholeNumberWithPoint(_ field: UnsafeBufferPointer<UInt8>) -> Bool {
        let zero = UInt8(ascii: "0")
        guard field.count <= 24, let point = field.firstIndex(of: UInt8(ascii: ".")), point > 0, point <= 17,
            point + 1 < field.count, field[(point + 1)...].allSatisfy({ $0 == zero }),
            field[..<point].allSatisfy({ $0 >= zero && $0 <= UInt8(ascii: "9") })
        else { return false }
        return point == 1 || field[0] != zero
    }
}
