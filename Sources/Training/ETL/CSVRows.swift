import Lake

/// Rows of a CSV file whose header names the columns, each with what is wrong with it. Columns of other names, and without
/// one, are passed over. Used by one thread at a time.
public struct CSVRows {
    /// A column that is read.
    public struct Column: Sendable, Hashable {
        /// Its place in the file.
        public let index: Int
        /// Its place among the names that were asked for.
        public let number: Int
        public let name: String
    }

    /// Valid during the call that receives it.
    public struct Row {
        public let record: CSVParser.Record
        /// Those that the header names; none before there is a header.
        public let columns: [Column]
        /// Why nothing can be read of it. After a header that cannot be used no row comes.
        public let problem: String?
    }

    private let names: [String]
    private let required: [String]
    private var parser = CSVParser()
    /// Named or not, but for those without a name at the header's end.
    private var fieldCount: Int?
    private var columns: [Column] = []
    /// The rest of the file says nothing.
    private var isUnusable = false

    /// - Parameters:
    ///   - names: Columns that are read.
    ///   - required: Those of them that the header must name.
    public init(columns names: [String], required: [String]) {
        self.names = names
        self.required = required
    }

    /// Whether a header came that can be used.
    public var hasHeader: Bool { fieldCount != nil && !isUnusable }

    /// Reads the next piece of the file, cut anywhere.
    public mutating func read(
        _ piece: UnsafeBufferPointer<UInt8>, _ body: (Row) throws -> Void
    ) throws {
        var parser = self.parser
        defer { self.parser = parser }
        try parser.parse(piece) { try take($0, body) }
    }

    /// Ends the file.
    public mutating func finish(_ body: (Row) throws -> Void) throws {
        var parser = self.parser
        defer { self.parser = parser }
        try parser.finish { try take($0, body) }
    }

    private mutating func take(_ record: CSVParser.Record, _ body: (Row) throws -> Void) throws {
        if isUnusable { return }
        func refuse(_ problem: String) throws {
            try body(Row(record: record, columns: columns, problem: problem))
        }
        if fieldCount == nil, let problem = RecordSplitting.encodingProblem(record.raw) {
            isUnusable = true
            return try refuse(problem)
        }
        if let problem = record.problem { return try refuse("\(problem)") }
        guard let fieldCount else {
            guard let problem = takeHeader(record) else { return }
            isUnusable = true
            return try refuse(problem)
        }
        let hasAll = record.count >= fieldCount
        guard hasAll, (fieldCount..<record.count).allSatisfy({ record.bytes($0).isEmpty }) else {
            return try refuse("it has \(record.count) fields where the header has \(fieldCount)")
        }
        try body(Row(record: record, columns: columns, problem: nil))
    }

    /// - Returns: What is wrong with the header.
    private mutating func takeHeader(_ record: CSVParser.Record) -> String? {
        var header = record.fields.map {
            String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        while header.count > 1, header.last == "" { header.removeLast() }
        fieldCount = header.count
        for (index, name) in header.enumerated() {
            guard let number = names.firstIndex(of: name) else { continue }
            columns.append(Column(index: index, number: number, name: name))
        }
        let missing = required.filter { !header.contains($0) }
        guard missing.isEmpty else {
            let separator = [";", "\t", "|"].first { header.count == 1 && header[0].contains($0) }
            return "the header lacks \(missing.joined(separator: ", "))"
                + (separator.map { "; fields are separated by commas here, not by '\($0)'" } ?? "")
        }
        let twice = columns.first { column in
            columns.contains { $0.name == column.name && $0.index > column.index }
        }
        return twice.map { "the header names the column \($0.name) twice" }
    }
}

/// Ids as they stand in a file of CSV.
public enum CSVIdentifier {
    /// Beyond it floating point does not tell whole numbers apart.
    private static let largestWhole = 1 << 53

    /// - Returns: nil for bytes that are no UTF-8, and for a number with a point that may be several ids'.
    public static func text(_ field: UnsafeBufferPointer<UInt8>) -> String? {
        guard isWholeNumberWithPoint(field) else { return String(validating: field, as: UTF8.self) }
        let digits = field.prefix { $0 != UInt8(ascii: ".") }
        return Int(String(decoding: digits, as: UTF8.self)).flatMap { $0 <= largestWhole ? "\($0)" : nil }
    }

    /// What is wrong with an id that has no text.
    public static let problem =
        "it is no UTF-8, or a number with a point that is too large to tell ids apart; write the id's own digits"

    /// `42.0`: what tools that keep ids as floating point make of 42. CSV does not say what is a number; this is one, so
    /// that the id is the same as in JSON and Parquet.
    static func isWholeNumberWithPoint(_ field: UnsafeBufferPointer<UInt8>) -> Bool {
        let zero = UInt8(ascii: "0")
        guard field.count <= 24, let point = field.firstIndex(of: UInt8(ascii: ".")), point > 0, point <= 17,
            point + 1 < field.count, field[(point + 1)...].allSatisfy({ $0 == zero }),
            field[..<point].allSatisfy({ $0 >= zero && $0 <= UInt8(ascii: "9") })
        else { return false }
        return point == 1 || field[0] != zero
    }
}
