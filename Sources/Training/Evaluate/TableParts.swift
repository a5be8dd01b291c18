import Lake

/// A labelled table cut into what fits and what judges, row-major.
struct TableParts {
    private(set) var columns: [String]
    private(set) var fitted: [Float]
    /// Of the rows that fit.
    let fittedLabels: [Bool]
    private(set) var judged: [Float]
    /// Where the judged rows are in the table.
    let judgedRows: [Int]
    /// Of the judged rows: both kinds.
    let labels: [Bool]

    /// - Parameters:
    ///   - path: For messages, as `label`.
    ///   - split: nil: every row fits and judges. The table was read with this time column.
    /// - Throws: `TrainingError`.
    init(
        _ table: NumericTable, path: String, label: String, split: TableEvaluation.TimeSplit?
    ) throws {
        let all = table.labels ?? []
        columns = table.columns
        guard !columns.isEmpty else {
            let others = table.skippedColumns.joined(separator: ", ")
            throw TrainingError.noData(
                "\(path) has no numeric column but \(label)"
                    + (others.isEmpty ? "" : "; these hold something else than numbers: \(others)"))
        }
        if let split {
            guard split.holdoutShare > 0, split.holdoutShare < 1 else {
                throw TrainingError.invalidRequest(
                    field: "holdout", reason: "it must be above 0 and below 1")
            }
            let times = table.times ?? []
            // Rows of one time keep their order.
            let order = times.indices.sorted { (times[$0], $0) < (times[$1], $1) }
            let first = Int((Double(order.count) * (1 - split.holdoutShare)).rounded())
            let width = columns.count
            func values(_ rows: ArraySlice<Int>) -> [Float] {
                rows.flatMap { table.values[$0 * width..<($0 + 1) * width] }
            }
            fitted = values(order[..<first])
            fittedLabels = order[..<first].map { all[$0] }
            judged = values(order[first...])
            judgedRows = Array(order[first...])
        } else {
            fitted = table.values
            fittedLabels = all
            judged = table.values
            judgedRows = Array(all.indices)
        }
        labels = judgedRows.map { all[$0] }
        let part = split == nil ? "" : "the last \(labels.count) rows of "
        guard !fittedLabels.isEmpty else {
            throw TrainingError.noData(
                "\(path) has no rows to fit on"
                    + (split == nil ? "" : " before its last \(labels.count); hold out less"))
        }
        guard labels.contains(true) else {
            throw TrainingError.noData("no row of \(part)\(path) is an anomaly by column \(label)")
        }
        guard labels.contains(false) else {
            throw TrainingError.noData(
                "every row of \(part)\(path) is an anomaly by column \(label), where only 0 and false are not"
            )
        }
    }

    /// Takes a column out of the features.
    ///
    /// - Returns: Its values in the rows that fit.
    mutating func takeWeights(_ column: String, path: String) throws -> [Float] {
        guard let place = columns.firstIndex(of: column), columns.count > 1 else {
            throw TrainingError.invalidRequest(
                field: "weight",
                reason: "\(path) has no numeric column \(column) besides another one; it has: "
                    + columns.joined(separator: ", "))
        }
        let width = columns.count
        let weights = stride(from: place, to: fitted.count, by: width).map { fitted[$0] }
        func others(_ values: [Float]) -> [Float] {
            values.indices.filter { $0 % width != place }.map { values[$0] }
        }
        (fitted, judged) = (others(fitted), others(judged))
        columns.remove(at: place)
        return weights
    }
}
