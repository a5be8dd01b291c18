import DetectorAPI

/// The rows to learn from, as LightGBM and scoring see them alike: infinities clamped, categories that are none missing.
struct LabelledRows {
    static let maximumColumns = 32_768
    static let maximumCategories = 65_536

    let columns: [FeatureColumn]
    /// Row-major.
    private(set) var values: [Float] = []
    private(set) var isFraud: [Bool] = []

    var count: Int { isFraud.count }
    var frauds: Int { isFraud.count { $0 } }

    /// Takes the rows whose label is 0 or 1.
    ///
    /// - Throws: `DetectorError.invalidInput` for too few of them.
    init(
        _ rows: FeatureRows, _ labels: UnsafeBufferPointer<Int8>?, _ columns: [FeatureColumn],
        _ parameters: BoostedParameters
    ) throws {
        let wanted = "it wants at least \(parameters.leastLabels) labelled frauds and as many genuine rows"
        guard rows.count > 0 else {
            throw DetectorError.invalidInput("there are no rows to fit on; \(wanted)")
        }
        guard let labels else {
            throw DetectorError.invalidInput(
                "boosted-trees learns from labels, and there are none: \(wanted); `evaluate` gives it those of the "
                    + "table with --split-by-time and --learn-labels")
        }
        guard labels.count == rows.count else {
            throw DetectorError.invalidInput("\(labels.count) labels for \(rows.count) rows")
        }
        guard columns.count == rows.columns, rows.columns <= Self.maximumColumns, rows.count <= Int(Int32.max)
        else {
            throw DetectorError.invalidInput(
                "\(rows.count) rows of \(rows.columns) columns; at most \(Self.maximumColumns) columns are possible"
            )
        }
        self.columns = columns
        for column in columns {
            if case .categorical(let cardinality) = column.kind, cardinality > Self.maximumCategories {
                throw DetectorError.invalidInput(
                    "column \(column.name) has \(cardinality) categories; \(Self.maximumCategories) are possible"
                )
            }
        }
        let known = rows.values.isEmpty ? 0 : labels.count { $0 == 0 || $0 == 1 }
        values.reserveCapacity(known * rows.columns)
        isFraud.reserveCapacity(known)
        for row in 0..<rows.count where labels[row] == 0 || labels[row] == 1 {
            isFraud.append(labels[row] == 1)
            for (value, column) in zip(rows[row], columns) { values.append(Self.clean(value, column.kind)) }
        }
        let frauds = self.frauds
        guard frauds >= parameters.leastLabels, count - frauds >= parameters.leastLabels else {
            throw DetectorError.invalidInput(
                "\(frauds) labelled frauds and \(count - frauds) genuine rows were found among \(rows.count); \(wanted)"
            )
        }
    }

    private init(columns: [FeatureColumn]) { self.columns = columns }

    private static func clean(_ value: Float, _ kind: FeatureColumn.Kind) -> Float {
        switch kind {
        case .numeric: KeyRow.clamped(value)
        case .categorical(let cardinality): KeyRow.code(value, below: cardinality).map(Float.init) ?? .nan
        }
    }

    /// Divides the rows into those of a fold, every `folds`-th of each kind, and the others. In any order of the rows each
    /// fold has its share of frauds.
    func divided(fold: Int, of folds: Int) -> (others: LabelledRows, fold: LabelledRows) {
        var parts = (others: LabelledRows(columns: columns), fold: LabelledRows(columns: columns))
        var seen = (frauds: 0, genuine: 0)
        for row in 0..<count {
            let place: Int
            if isFraud[row] {
                place = seen.frauds
                seen.frauds += 1
            } else {
                place = seen.genuine
                seen.genuine += 1
            }
            let values = values[row * columns.count..<(row + 1) * columns.count]
            if place % folds == fold {
                parts.fold.append(values, isFraud[row])
            } else {
                parts.others.append(values, isFraud[row])
            }
        }
        return parts
    }

    private mutating func append(_ row: ArraySlice<Float>, _ isFraud: Bool) {
        values.append(contentsOf: row)
        self.isFraud.append(isFraud)
    }

    func withRows<Result>(_ body: (FeatureRows) throws -> Result) rethrows -> Result {
        try values.withUnsafeBufferPointer { try body(FeatureRows($0, columns: columns.count)) }
    }
}
