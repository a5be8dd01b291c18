import Foundation
import ObjectStore

/// A table of numbers, whole in memory: what a detector is evaluated on.
public struct NumericTable: Sendable, Hashable {
    /// The numeric columns in the order of the file, the label apart.
    public let columns: [String]
    /// Row-major, `count` rows of `columns.count` values; NaN: missing.
    public let values: [Float]
    /// Whether each row is an anomaly; nil when no label column was asked for.
    public let labels: [Bool]?
    /// Columns that hold something else than numbers, and were left out.
    public let skippedColumns: [String]
    public let count: Int

    /// - Parameter numbers: one array a column, all of the same length.
    init(columns: [String], numbers: [[Double]], labels: [Bool]?, skippedColumns: [String], count: Int) {
        self.columns = columns
        self.labels = labels
        self.skippedColumns = skippedColumns
        self.count = count
        let width = columns.count
        values = [Float](unsafeUninitializedCapacity: count * width) { buffer, initialized in
            for (column, numbers) in numbers.enumerated() {
                for row in 0..<count { buffer[row * width + column] = Float(numbers[row]) }
            }
            initialized = count * width
        }
    }
}

/// Reads a local table, Parquet or CSV by the ending of its name: all numeric columns, and one that labels anomalies.
///
/// - Parameter labelColumn: its value is not 0, or `true`, for an anomaly; it may not be missing in any row.
/// - Throws: `LakeError`: what is wrong, and in a CSV file on which line.
public func readTable(path: String, labelColumn: String?) throws(LakeError) -> NumericTable {
    let bytes: [UInt8]
    do {
        bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe))
    } catch {
        throw .unreadable(file: path, reason: error.localizedDescription)
    }
    switch URL(fileURLWithPath: path).pathExtension.lowercased() {
    case "parquet": return try readParquetTable(bytes, name: path, labelColumn: labelColumn)
    case "csv": return try readCSVTable(bytes, name: path, labelColumn: labelColumn)
    default: throw .unreadable(file: path, reason: "a table's name ends with .parquet or .csv")
    }
}

/// The same from the bytes of a Parquet file.
public func readParquetTable(_ bytes: [UInt8], name: String, labelColumn: String?) throws(LakeError)
    -> NumericTable
{
    do {
        return try parquetTable(ParquetSource(name: name, bytes: bytes), labelColumn: labelColumn)
    } catch let error as LakeError {
        throw error
    } catch {
        throw .unreadable(file: name, reason: "\(error)")
    }
}

private func parquetTable(_ source: ParquetSource, labelColumn: String?) throws -> NumericTable {
    let file = try ParquetFile(source)
    let all = file.columns
    let names = all.filter { $0.isNumeric && $0.name != labelColumn }.map(\.name)
    var wanted = try names.map { try file.requiredColumn($0) }
    if let labelColumn { wanted.append(try file.requiredColumn(labelColumn)) }
    var numbers: [[Double]] = Array(repeating: [], count: names.count)
    var labels: [Bool] = []
    for rowGroup in 0..<file.rowGroupCount where !wanted.isEmpty {
        try file.readRowGroup(rowGroup, columns: wanted, batchRows: 65_536) { batch in
            let batch = RecordBatch(batch, missing: [])
            for (index, name) in names.enumerated() { numbers[index] += try batch.reals(name) }
            guard let labelColumn else { return }
            for (row, label) in try batch.reals(labelColumn).enumerated() {
                if label.isNaN {
                    throw LakeError.badValue(
                        file: source.name, column: labelColumn, row: batch.fileRow(row),
                        reason: "there is no label")
                }
                labels.append(label != 0)
            }
        }
    }
    return NumericTable(
        columns: names, numbers: numbers, labels: labelColumn == nil ? nil : labels,
        skippedColumns: all.filter { !$0.isNumeric && $0.name != labelColumn }.map(\.name),
        count: file.rowCount)
}
