import Exact

/// Reads a CSV table whose first record names the columns. A column is numeric when each of its fields is a number or
/// missing, as `ValueText.number` has it, or each is `true`, `false` or missing. Columns without a name are left out; of two with one name, neither of which
/// is asked for by name, the second is called `name.1`.
///
/// - Throws: `.badLine` for a record that breaks the rules, has another number of fields than the header, or no label
///   or time; `.missingColumn` when there is no such column for labels or times.
public func readCSVTable(
    _ bytes: [UInt8], name: String, labelColumn: String?, timeColumn: String? = nil, zone: PlaceZone? = nil
) throws(LakeError) -> NumericTable {
    var table = CSVTable(
        name: name, labelColumn: labelColumn, timeColumn: timeColumn, zone: zone ?? .utc)
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
    let zone: PlaceZone
    private var header: [String]?
    private var labelIndex: Int?
    private var timeIndex: Int?
    /// A column's numbers, nil once a field of it was none.
    private var numbers: [[Double]?] = []
    /// What the fields of a column are so far; nil: all are missing.
    private var kinds: [Kind?] = []
    private enum Kind { case number, boolean }
    private var labels: [Bool] = []
    private var times: [Double] = []
    private var count = 0

    init(name: String, labelColumn: String?, timeColumn: String?, zone: PlaceZone) {
        self.zone = zone
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
                guard let time = TimeText.sortable(record.bytes(index), zone: zone) else {
                    throw .badLine(
                        file: name, line: record.line,
                        reason: "column '\(header[index])': '\(record[index])' is no time or number")
                }
                times.append(time)
            } else if numbers[index] != nil {
                takeNumber(record.bytes(index), index)
            }
        }
        count += 1
    }

    /// A column of `true` and `false` is one of 1 and 0, as it is in Parquet.
    private mutating func takeNumber(_ field: UnsafeBufferPointer<UInt8>, _ index: Int) {
        func take(_ number: Double, _ kind: Kind) {
            guard kinds[index] ?? kind == kind else {
                numbers[index] = nil
                return
            }
            kinds[index] = kind
            numbers[index]?.append(number)
        }
        switch ValueText.number(field) {
        case .value(let number): take(number, .number)
        case .missing: numbers[index]?.append(.nan)
        case .refused:
            if let value = ValueText.boolean(field).value {
                take(value ? 1 : 0, .boolean)
            } else {
                numbers[index] = nil
            }
        }
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
        kinds = names.map { _ in nil }
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
