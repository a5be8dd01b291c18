import Exact
import Foundation
import ObjectStore

/// A table of numbers, whole in memory: what a detector is evaluated on.
public struct NumericTable: Sendable, Hashable {
    /// The numeric columns in the order of the file, label and time apart.
    public let columns: [String]
    /// Row-major, `count` rows of `columns.count` values; NaN: missing. Of a column with an offset, what is left of the
    /// numbers without it.
    public let values: [Float]
    /// One for each column, 0 for most. A column whose numbers lie far from zero and close together, such as times, is
    /// moved before it becomes 32-bit floats, which would make many of its numbers one; detectors do not care where
    /// zero is.
    public let offsets: [Double]
    /// Whether each row is an anomaly; nil when no label column was asked for.
    public let labels: [Bool]?
    /// When each row was, for sorting: numbers as they are, times as milliseconds since 1970 UTC; nil when no time
    /// column was asked for.
    public let times: [Double]?
    /// Columns that hold something else than numbers, and were left out.
    public let skippedColumns: [String]
    public let count: Int

    /// - Parameter numbers: one array a column, all of the same length.
    init(
        columns: [String], numbers: [[Double]], labels: [Bool]?, times: [Double]?, skippedColumns: [String],
        count: Int
    ) {
        self.columns = columns
        self.labels = labels
        self.times = times
        self.skippedColumns = skippedColumns
        self.count = count
        let width = columns.count
        let offsets = numbers.map(Self.offset)
        self.offsets = offsets
        values = [Float](unsafeUninitializedCapacity: count * width) { buffer, initialized in
            for (column, numbers) in numbers.enumerated() {
                for row in 0..<count { buffer[row * width + column] = Float(numbers[row] - offsets[column]) }
            }
            initialized = count * width
        }
    }

    /// Half way between the ends of a column that lies further from zero than 256 times its width: there a Float has
    /// fewer than 16 of its 24 bits left to tell numbers apart.
    private static func offset(_ numbers: [Double]) -> Double {
        var (least, greatest) = (Double.infinity, -Double.infinity)
        for number in numbers where number.isFinite {
            least = min(least, number)
            greatest = max(greatest, number)
        }
        let width = greatest - least
        guard width > 0, width.isFinite, max(least.magnitude, greatest.magnitude) > 256 * width else {
            return 0
        }
        return (least + width / 2).rounded()
    }
}

/// Reads a local table, Parquet or CSV by the ending of its name: all numeric columns, and one that labels anomalies.
///
/// - Parameters:
///   - labelColumn: its value is not 0, or `true`, for an anomaly; it may not be missing in any row.
///   - timeColumn: numbers, timestamps or text (`ValueText.time`; midnight where there is only a day); it may not be
///     missing in any row, and is no feature.
///   - zone: of times that do not say theirs; nil: UTC.
/// - Throws: `LakeError`: what is wrong, and in a CSV file on which line.
public func readTable(
    path: String, labelColumn: String?, timeColumn: String? = nil, zone: PlaceZone? = nil
) throws(LakeError) -> NumericTable {
    let kind = URL(fileURLWithPath: path).pathExtension.lowercased()
    guard kind == "parquet" || kind == "csv" else {
        throw .unreadable(file: path, reason: "a table's name ends with .parquet or .csv")
    }
    let bytes: [UInt8]
    do {
        bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe))
    } catch {
        let isThere = FileManager.default.fileExists(atPath: path)
        throw .unreadable(file: path, reason: isThere ? error.localizedDescription : "there is no such file")
    }
    return kind == "csv"
        ? try readCSVTable(
            bytes, name: path, labelColumn: labelColumn, timeColumn: timeColumn, zone: zone)
        : try readParquetTable(
            bytes, name: path, labelColumn: labelColumn, timeColumn: timeColumn, zone: zone)
}

/// The same from the bytes of a Parquet file.
public func readParquetTable(
    _ bytes: [UInt8], name: String, labelColumn: String?, timeColumn: String? = nil, zone: PlaceZone? = nil
) throws(LakeError) -> NumericTable {
    do {
        return try parquetTable(
            ParquetSource(name: name, bytes: bytes), labelColumn: labelColumn, timeColumn: timeColumn,
            zone: zone ?? .utc)
    } catch let error as LakeError {
        throw error
    } catch {
        throw .unreadable(file: name, reason: "\(error)")
    }
}

private func parquetTable(
    _ source: ParquetSource, labelColumn: String?, timeColumn: String?, zone: PlaceZone
) throws -> NumericTable {
    let file = try ParquetFile(source)
    let special = [labelColumn, timeColumn].compactMap(\.self)
    if let stranger = special.first(where: { name in !file.columns.contains { $0.name == name } }) {
        throw LakeError.missingColumn(
            file: source.name, column: stranger, existing: file.columns.map(\.name))
    }
    let features = file.columns.filter { !special.contains($0.name) }
    // Texts may be numbers too, which shows when they are read.
    let names = features.filter { $0.isNumeric || $0.isText }.map(\.name)
    let wanted = try (names + special).map { try file.requiredColumn($0) }
    var numbers: [[Double]?] = Array(repeating: [], count: names.count)
    var areBooleans = [Bool?](repeating: nil, count: names.count)
    var labels: [Bool] = []
    var times: [Double] = []
    for rowGroup in 0..<file.rowGroupCount where !wanted.isEmpty {
        try file.readRowGroup(rowGroup, columns: wanted, batchRows: 65_536) { batch in
            let batch = RecordBatch(batch, missing: [], zone: zone)
            for (index, name) in names.enumerated() where numbers[index] != nil {
                if let found = try batch.numbers(name, areBooleans: &areBooleans[index]) {
                    numbers[index]? += found
                } else {
                    numbers[index] = nil
                }
            }
            if let timeColumn {
                let isNumeric = file.columns.contains { $0.name == timeColumn && $0.isNumeric }
                times += try isNumeric ? batch.numericTimes(timeColumn) : batch.writtenTimes(timeColumn, zone)
            }
            guard let labelColumn else { return }
            for (row, label) in try batch.labels(labelColumn).enumerated() {
                guard let label else {
                    throw LakeError.badValue(
                        file: source.name, column: labelColumn, row: batch.fileRow(row),
                        reason: "there is no label")
                }
                labels.append(label)
            }
        }
    }
    let kept = names.indices.filter { numbers[$0] != nil }
    let columns = kept.map { names[$0] }
    return NumericTable(
        columns: columns, numbers: kept.compactMap { numbers[$0] },
        labels: labelColumn == nil ? nil : labels, times: timeColumn == nil ? nil : times,
        skippedColumns: features.map(\.name).filter { !columns.contains($0) }, count: file.rowCount)
}

extension RecordBatch {
    /// Numbers, or texts that are all `true`, `false` or missing as 1 and 0; nil: neither.
    ///
    /// - Parameter areBooleans: What earlier batches of the column were.
    fileprivate func numbers(_ column: String, areBooleans: inout Bool?) throws(LakeError) -> [Double]? {
        guard isText(column) else { return try reals(column) }
        if areBooleans != true {
            let read = try readReals(column)
            if !(0..<count).contains(where: { read.refusal($0) != nil }) {
                if (0..<count).contains(where: { read.hasValue($0) }) { areBooleans = false }
                return read.values
            }
            if areBooleans == false { return nil }
        }
        areBooleans = true
        let read = try readLabels(column)
        // `1` is a boolean too, but beside `true` it is a number.
        let found = try texts(column)
        for row in 0..<count
        where read.refusal(row) != nil
            || found.withBytes(row, { $0.map { ValueText.number($0).value != nil } ?? false })
        { return nil }
        return read.values.map { $0 < 0 ? .nan : Double($0) }
    }

    fileprivate func numericTimes(_ column: String) throws(LakeError) -> [Double] {
        let times = try reals(column)
        if let row = times.firstIndex(where: \.isNaN) {
            throw .badValue(file: file, column: column, row: fileRow(row), reason: "there is no time")
        }
        return times
    }

    /// Timestamps, dates, and text as `TimeText.sortable` reads it.
    fileprivate func writtenTimes(_ column: String, _ zone: PlaceZone) throws(LakeError) -> [Double] {
        guard isText(column) else { return try timestamps(column).map(Double.init) }
        let texts = try texts(column)
        var times: [Double] = []
        for row in 0..<count {
            guard let time = texts.withBytes(row, { $0.flatMap { TimeText.sortable($0, zone: zone) } }) else {
                throw .badValue(
                    file: file, column: column, row: fileRow(row),
                    reason: texts[row].map { "'\($0)' is no time" } ?? "there is no time")
            }
            times.append(time)
        }
        return times
    }
}
