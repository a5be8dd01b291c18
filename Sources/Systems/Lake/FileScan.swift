import Exact

/// Which rows and columns a scan wants.
struct ScanRequest: Sendable {
    let columns: [String]
    let optionalColumns: [String]
    /// nil: everybody's rows.
    let users: WantedTexts?
    let batchRows: Int
    let zone: PlaceZone?
    /// Columns that are read by number, see `RecordBatch.codedTexts`.
    var codedColumns: [String] = []

    static let userColumn = "user_id"
}

/// One file's part of a scan.
struct FileScan {
    let request: ScanRequest
    let source: ParquetSource

    func run(
        settings: ReadSettings, readAhead: ReadAhead?, statistics: inout ScanStatistics,
        isCancelled: () -> Bool,
        _ body: (RecordBatch) throws -> Void
    ) throws {
        let file = try ParquetFile(source, settings: settings, coded: request.codedColumns)
        let (columns, missing) = try wantedColumns(of: file)
        let rowGroups = try wantedRowGroups(of: file, statistics: &statistics)
        for (index, rowGroup) in rowGroups.enumerated() {
            statistics.rowGroupsRead += 1
            if let readAhead {
                let ahead = rowGroups[index...].prefix(2).dropFirst(index == 0 ? 0 : 1)
                for rowGroup in ahead { file.fetchAhead(rowGroup, columns: columns, by: readAhead) }
            }
            try file.readRowGroup(rowGroup, columns: columns, batchRows: request.batchRows) { batch in
                if isCancelled() { throw LakeError.cancelled }
                statistics.rowsRead += batch.count
                if let users = request.users {
                    try batch.keep(ScanRequest.userColumn, in: users)
                    if batch.count == 0 { return }
                }
                statistics.rows += batch.count
                try body(RecordBatch(batch, missing: missing, zone: request.zone))
            }
        }
    }

    /// The numbers of the columns to read, and the names of the optional ones that are not there.
    private func wantedColumns(of file: ParquetFile) throws(LakeError) -> (
        numbers: [Int32], missing: Set<String>
    ) {
        var numbers: [Int32] = []
        var missing: Set<String> = []
        func want(_ column: Int32) {
            if !numbers.contains(column) { numbers.append(column) }
        }
        for name in request.columns { want(try file.requiredColumn(name)) }
        for name in request.optionalColumns {
            if let column = try file.column(name) { want(column) } else { missing.insert(name) }
        }
        if request.users != nil { want(try file.requiredColumn(ScanRequest.userColumn)) }
        return (numbers, missing)
    }

    /// The row groups that may hold one of the users; statistics cost no request, so they go first.
    private func wantedRowGroups(of file: ParquetFile, statistics: inout ScanStatistics) throws -> [Int] {
        let all = Array(0..<file.rowGroupCount)
        guard let users = request.users else { return all }
        let column = try file.requiredColumn(ScanRequest.userColumn)
        let inRange = all.filter { file.statisticsAllow(users, column: column, rowGroup: $0) }
        let wanted =
            users.count > WantedTexts.maximumFiltered
            ? inRange : try file.filtersAllow(users, column: column, rowGroups: inRange)
        statistics.rowGroupsSkippedByStatistics += all.count - inRange.count
        statistics.rowGroupsSkippedByFilter += inRange.count - wanted.count
        return wanted
    }
}
