import DetectorAPI

/// Fitted columns, ready to score. Immutable.
final class TailModel: Explaining {
    private let payload: TailPayload
    /// 1 / the sum of the columns' weights.
    private let scale: Double

    init(_ payload: TailPayload) {
        self.payload = payload
        let sum = payload.columns.reduce(0) { $0 + $1.weight }
        scale = sum > 0 ? 1 / sum : 0
    }

    var columns: Int { payload.columns.count }

    /// The score of a row of missing values.
    var expectedScore: Double { -0.5 }

    func encode() -> [UInt8] { payload.encode() }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try check(rows, places: scores.count)
        payload.columns.withUnsafeBufferPointer { columns in
            for row in 0..<rows.count {
                var excess = 0.0
                for column in columns.indices { excess += self.excess(columns, rows, row, column) }
                scores[row] = Self.score(1 + excess * scale)
            }
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
        payload.columns.withUnsafeBufferPointer { columns in
            for row in 0..<rows.count {
                let own = UnsafeMutableBufferPointer(
                    rebasing: contributions[row * columns.count..<(row + 1) * columns.count])
                var excess = 0.0
                for column in columns.indices {
                    own[column] = self.excess(columns, rows, row, column)
                    excess += own[column]
                }
                let t = 1 + excess * scale
                scores[row] = Self.score(t)
                let slope = -0.5 * scale / (1 + t)
                for column in columns.indices { own[column] *= slope }
                for column in columns.indices where columns[column].shape == .cosine {
                    own[column] = own[column - 1] / 2
                    own[column - 1] /= 2
                }
            }
        }
    }

    private static func score(_ t: Double) -> Double { -t / (1 + t) }

    /// What a column adds beyond a usual value; a missing one is taken for usual.
    @inline(__always)
    private func excess(
        _ columns: UnsafeBufferPointer<TailColumn>, _ rows: FeatureRows, _ row: Int, _ column: Int
    ) -> Double {
        let place = row * rows.columns + column
        let next = column + 1 < rows.columns ? rows.values[place + 1] : .nan
        let part = columns[column].part(
            rows.values[place], next: next, lowLimit: Double(payload.lowLimit))
        return part.map { columns[column].weight * ($0 - 1) } ?? 0
    }

    private func check(_ rows: FeatureRows, places: Int) throws {
        guard rows.columns == columns else {
            throw DetectorError.invalidInput("\(rows.columns) columns, but the model has \(columns)")
        }
        guard places >= rows.count else {
            throw DetectorError.invalidInput("\(places) places for \(rows.count) scores")
        }
    }
}
