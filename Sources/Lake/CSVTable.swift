import Exact

/// Reads a CSV table whose first record names the columns. A column is numeric when each of its fields is a number or
/// missing, as `ValueText.number` has it. Columns without a name are left out; of two with one name, neither of which
/// is asked for by name, the second is called `name.1`.
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
        let extra = header.count..<max(record.count, header.count)
        guard record.count >= header.count, extra.allSatisfy({ record.bytes($0).isEmpty }) else {
            throw .badLine(
                file: name, line: record.line,
                reason: "\(record.count) fields, but the header has \(header.count)")
        }
        for index in header.indices {
            if index == labelIndex {
                guard let label = ValueText.boolean(record.bytes(index)).value else {
                    throw .badLine(
                        file: name, line: record.line,
                        reason:
                            "column '\(header[index])': '\(record[index])' is no label: neither a number nor "
                            + "yes or no")
                }
                labels.append(label)
            } else if index == timeIndex {
                guard let time = TimeText.sortable(record.bytes(index)) else {
                    throw .badLine(
                        file: name, line: record.line,
                        reason: "column '\(header[index])': '\(record[index])' is no time or number")
                }
                times.append(time)
            } else if numbers[index] != nil {
                switch ValueText.number(record.bytes(index)) {
                case .value(let number): numbers[index]?.append(number)
                case .missing: numbers[index]?.append(.nan)
                case .refused: numbers[index] = nil
                }
            }
        }
        count += 1
    }

    private mutating func takeHeader(_ record: CSVParser.Record) throws(LakeError) {
        var names = record.fields
        while names.last == "" { names.removeLast() }
        var counts: [String: Int] = [:]
        for (index, column) in names.enumerated() where !column.isEmpty {
            let earlier = counts[column, default: 0]
            counts[column] = earlier + 1
            guard earlier > 0 else { continue }
            guard column != labelColumn, column != timeColumn else {
                throw .badLine(file: name, line: record.line, reason: "two columns are called '\(column)'")
            }
            names[index] = "\(column).\(earlier)"
        }
        header = names
        numbers = names.map { $0.isEmpty ? nil : [] }
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

    func finished() throws(LakeError) -> NumericTable {
        guard let header else { throw .badLine(file: name, line: 1, reason: "there is no header") }
        let features = header.indices.filter {
            $0 != labelIndex && $0 != timeIndex && !header[$0].isEmpty
        }
        let numeric = features.filter { numbers[$0] != nil }
        return NumericTable(
            columns: numeric.map { header[$0] }, numbers: numeric.compactMap { numbers[$0] },
            labels: labelColumn == nil ? nil : labels, times: timeColumn == nil ? nil : times,
            skippedColumns: features.filter { numbers[$0] == nil }.map { header[$0] }, count: count)
    }
}
