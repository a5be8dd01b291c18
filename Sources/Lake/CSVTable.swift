import Exact

/// Reads a CSV table whose first record names the columns. A column is numeric when each of its fields is a number or
/// missing: empty, `NA`, `NaN` or `null`.
///
/// - Throws: `.badLine` for a record that breaks the rules, has another number of fields than the header, or no label
///   or time; `.missingColumn` when there is no such column for labels or times.
public func readCSVTable(
    _ bytes: [UInt8], name: String, labelColumn: String?, timeColumn: String? = nil
) throws(LakeError) -> NumericTable {
    var table = CSVTable(name: name, labelColumn: labelColumn, timeColumn: timeColumn)
    var parser = CSVParser()
    do {
        try parser.parse(bytes) { try table.take($0) }
        try parser.finish { try table.take($0) }
    } catch let error as LakeError {
        throw error
    } catch {
        throw .unreadable(file: name, reason: "\(error)")
    }
    return try table.finished()
}

/// A CSV table on the way.
private struct CSVTable {
    let name: String
    let labelColumn: String?
    let timeColumn: String?
    private var header: [String]?
    private var labelIndex: Int?
    private var timeIndex: Int?
    /// A column's numbers, nil once a field of it was none.
    private var numbers: [[Double]?] = []
    private var labels: [Bool] = []
    private var times: [Double] = []
    private var count = 0

    init(name: String, labelColumn: String?, timeColumn: String?) {
        self.name = name
        self.labelColumn = labelColumn
        self.timeColumn = timeColumn
    }

    mutating func take(_ record: CSVParser.Record) throws(LakeError) {
        if let problem = record.problem {
            throw .badLine(file: name, line: record.line, reason: problem.description)
        }
        guard let header else { return try takeHeader(record) }
        guard record.count == header.count else {
            throw .badLine(
                file: name, line: record.line,
                reason: "\(record.count) fields, but the header has \(header.count)")
        }
        for index in header.indices {
            if index == labelIndex {
                labels.append(try label(record[index], line: record.line))
            } else if index == timeIndex {
                guard let time = TimeText.sortable(record.bytes(index)) else {
                    throw .badLine(
                        file: name, line: record.line, reason: "'\(record[index])' is no time or number")
                }
                times.append(time)
            } else if numbers[index] != nil {
                if let number = Self.number(record.bytes(index)) {
                    numbers[index]?.append(number)
                } else {
                    numbers[index] = nil
                }
            }
        }
        count += 1
    }

    private mutating func takeHeader(_ record: CSVParser.Record) throws(LakeError) {
        let names = record.fields
        guard Set(names).count == names.count else {
            throw .badLine(file: name, line: record.line, reason: "two columns have the same name")
        }
        header = names
        numbers = Array(repeating: [], count: names.count)
        labelIndex = try index(of: labelColumn, names)
        timeIndex = try index(of: timeColumn, names)
    }

    private func index(of column: String?, _ names: [String]) throws(LakeError) -> Int? {
        guard let column else { return nil }
        guard let index = names.firstIndex(of: column) else {
            throw .missingColumn(file: name, column: column, existing: names)
        }
        return index
    }

    private func label(_ text: String, line: Int) throws(LakeError) -> Bool {
        switch text.lowercased() {
        case "true": return true
        case "false": return false
        default:
            guard let number = Double(text), !number.isNaN else {
                throw .badLine(
                    file: name, line: line,
                    reason: "the label '\(text)' is neither a number nor true or false")
            }
            return number != 0
        }
    }

    func finished() throws(LakeError) -> NumericTable {
        guard let header else { throw .badLine(file: name, line: 1, reason: "there is no header") }
        let features = header.indices.filter { $0 != labelIndex && $0 != timeIndex }
        let numeric = features.filter { numbers[$0] != nil }
        return NumericTable(
            columns: numeric.map { header[$0] }, numbers: numeric.compactMap { numbers[$0] },
            labels: labelColumn == nil ? nil : labels, times: timeColumn == nil ? nil : times,
            skippedColumns: features.filter { numbers[$0] == nil }.map { header[$0] }, count: count)
    }

    /// NaN for a missing number, nil for what is no number.
    private static func number(_ bytes: UnsafeBufferPointer<UInt8>) -> Double? {
        let text = String(decoding: bytes, as: UTF8.self)
        if let number = Double(text) { return number }
        let space: Character = " "
        let trimmed = text.drop { $0 == space }.reversed().drop { $0 == space }.reversed()
        switch String(trimmed).lowercased() {
        case "", "na", "null": return .nan
        case let text: return Double(text)
        }
    }
}
