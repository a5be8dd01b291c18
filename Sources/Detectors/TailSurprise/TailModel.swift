import DetectorAPI

/// Fitted columns, ready to score. Immutable.
final class TailModel: Explaining, Sizing {
    private let table: TailTable

    init(_ table: TailTable) { self.table = table }

    var columns: Int { table.columns }

    var sizeInMemory: Int { table.bytes.bytes.count + 256 }

    /// The score of a row of missing values.
    var expectedScore: Double { -0.5 }

    func encode() -> [UInt8] { Array(table.bytes.bytes) }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try check(rows, places: scores.count)
        guard let values = rows.values.baseAddress else { return }
        for row in 0..<rows.count {
            var excess = 0.0
            table.forEachExcess(values + row * rows.columns) { _, part, _ in excess += part }
            scores[row] = Self.score(1 + excess * table.scale)
        }
    }

    /// Exact: score + 0.5 = (1 - t) / (2 (1 + t)), and t - 1 is a sum over the columns.
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try check(rows, places: scores.count)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        guard let values = rows.values.baseAddress else { return }
        for row in 0..<rows.count {
            let own = UnsafeMutableBufferPointer(
                rebasing: contributions[row * columns..<(row + 1) * columns])
            var excess = 0.0
            table.forEachExcess(values + row * rows.columns) { column, part, isCosine in
                own[column] = part
                excess += part
                guard isCosine else { return }
                own[column] = own[column - 1] / 2
                own[column - 1] /= 2
            }
            let t = 1 + excess * table.scale
            scores[row] = Self.score(t)
            let slope = -0.5 * table.scale / (1 + t)
            for column in own.indices { own[column] *= slope }
        }
    }

    private static func score(_ t: Double) -> Double { -t / (1 + t) }

    private func check(_ rows: FeatureRows, places: Int) throws {
        guard rows.columns == columns else {
            throw DetectorError.invalidInput("\(rows.columns) columns, but the model has \(columns)")
        }
        guard places >= rows.count else {
            throw DetectorError.invalidInput("\(places) places for \(rows.count) scores")
        }
    }
}
