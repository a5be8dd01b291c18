import Features
import Foundation
import Lake

extension TrainingPipeline {
    /// Writes rows as training sees them into one Parquet file, for whoever tries things with other tools: the numeric
    /// features of the schema (NaN as null), `is_fraud` as known at `asOf` (null: unknown), `timestamp`, and `user`, a
    /// number.
    ///
    /// Memory: the file.
    ///
    /// - Returns: Rows written, and what of the days was not read.
    public func writeFeatures(
        from: LakeDay, to: LakeDay, asOf: Int64?, file: String, progress: (Double) -> Void = { _ in }
    ) throws -> (rows: Int, notes: [String]) {
        let names = FeatureSchema.numeric.map(\.name)
        let writer = try ParquetWriter(
            columns: names.map { ParquetColumn($0, .real, isNullable: true) } + [
                ParquetColumn("is_fraud", .boolean, isNullable: true),
                ParquetColumn("timestamp", .timestampMilliseconds), ParquetColumn("user", .integer),
            ])
        var columns = names.map { _ in [Double]() }
        var labels: [Bool?] = []
        var times: [Int64] = []
        var users: [Int64?] = []
        var count = 0
        func flush() throws {
            try writer.append(
                columns.map { .real($0) } + [
                    .boolean(NullableColumn(labels, nullAs: false)), .timestampMilliseconds(times),
                    .integer(NullableColumn(users, nullAs: 0)),
                ])
            count += times.count
            for place in columns.indices { columns[place].removeAll(keepingCapacity: true) }
            labels.removeAll(keepingCapacity: true)
            times.removeAll(keepingCapacity: true)
            users.removeAll(keepingCapacity: true)
        }
        let read = try eachRow(
            from...to, asOf: asOf, usesReferences: true, isCancelled: { false }, progress: progress,
            visit: { row in
                for (place, value) in row.features.enumerated() { columns[place].append(Double(value)) }
                labels.append(row.row.label < 0 ? nil : row.row.label == 1)
                times.append(row.row.timestampMilliseconds)
                users.append(Int64(row.row.user))
                if times.count == 65_536 { try flush() }
            })
        if !times.isEmpty { try flush() }
        try Data(try writer.finish()).write(to: URL(filePath: file))
        return (count, read.notes)
    }
}
