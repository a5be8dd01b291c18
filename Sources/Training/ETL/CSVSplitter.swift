import Lake
import Transactions

/// Records of a CSV file whose header names the columns as a transaction's JSON does, turned into that JSON, so that
/// one parser decides what a transaction is. Columns of other names are ignored; an empty field is missing.
struct CSVSplitter: RecordSplitter {
    private enum Kind { case text, number, time }

    private struct Column {
        let index: Int
        let kind: Kind
        /// `"amount":`
        let key: [UInt8]
    }

    private var parser = CSVParser()
    private var fieldCount: Int?
    private var columns: [Column] = []
    /// A header that cannot be used: the rest of the file says nothing.
    private var isUnusable = false
    private var json: [UInt8] = []

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
        try json.withUnsafeBufferPointer {
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
            columns.append(Column(index: index, kind: kind, key: Array("\"\(name)\":".utf8)))
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
        json.removeAll(keepingCapacity: true)
        json.append(UInt8(ascii: "{"))
        for column in columns {
            let field = record.bytes(column.index)
            if field.isEmpty { continue }
            if json.count > 1 { json.append(UInt8(ascii: ",")) }
            json.append(contentsOf: column.key)
            switch column.kind {
            case .number:
                // As JSON spells it; what is no number stays a text, which the parser refuses by the field's name.
                if let number = Double(String(decoding: field, as: UTF8.self)), number.isFinite {
                    json.append(contentsOf: number.description.utf8)
                } else {
                    appendText(field)
                }
            case .time:
                if let milliseconds = Int64(String(decoding: field, as: UTF8.self)) {
                    json.append(contentsOf: milliseconds.description.utf8)
                } else {
                    appendText(field)
                }
            case .text: appendText(field)
            }
        }
        json.append(UInt8(ascii: "}"))
    }

    private mutating func appendText(_ text: UnsafeBufferPointer<UInt8>) {
        json.append(UInt8(ascii: "\""))
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                json.append(UInt8(ascii: "\\"))
                json.append(byte)
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                json.append(
                    contentsOf: Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            default: json.append(byte)
            }
        }
        json.append(UInt8(ascii: "\""))
    }
}
