import DetectorAPI
import ZScoreBaseline

/// What the members say of rows, before it is known how rare that is: 1 for a usual row, larger for an unusual one.
struct MemberReadings {
    let forest: any Explaining
    let zscore: any ColumnSurprises

    /// - Throws: `DetectorError.invalidArtifact` for members that do not belong together.
    init(forest: any DetectorModel, zscore: any DetectorModel) throws {
        guard let forest = forest as? any Explaining, let zscore = zscore as? any ColumnSurprises else {
            throw DetectorError.invalidArtifact("its members are not those of an ensemble")
        }
        guard forest.columns == zscore.columns else {
            throw DetectorError.invalidArtifact(
                "its members have \(forest.columns) and \(zscore.columns) columns")
        }
        self.forest = forest
        self.zscore = zscore
    }

    var columns: Int { forest.columns }

    /// A score s as -s / (1 + s), which does not end at -1: what would be t in the z-score baseline.
    static func odds(_ score: Double) -> Double {
        let score = min(max(score, -1 + 0x1p-40), 0)
        return -score / (1 + score)
    }

    /// - Parameter visit: Called for each row with `columns + 2` values: the forest's, the z-score's of all columns, and
    ///   each column's, NaN for a missing one. None is negative.
    func read(
        _ rows: FeatureRows, visit: (Int, UnsafeMutableBufferPointer<Double>) throws -> Void
    ) throws {
        try withUnsafeTemporaryAllocation(of: Double.self, capacity: rows.count) { scores in
            scores.initialize(repeating: 0)
            try forest.score(rows, into: scores)
            try read(rows, forestScores: scores, visit: visit)
        }
    }

    /// The same where the forest's scores are known.
    func read(
        _ rows: FeatureRows, forestScores scores: UnsafeMutableBufferPointer<Double>,
        visit: (Int, UnsafeMutableBufferPointer<Double>) throws -> Void
    ) throws {
        try withUnsafeTemporaryAllocation(of: Double.self, capacity: columns + 2) { values in
            values.initialize(repeating: 0)
            let own = UnsafeMutableBufferPointer(rebasing: values[2...])
            for row in 0..<rows.count {
                try zscore.writeSurprises(of: rows[row..<row + 1], into: own)
                values[0] = Self.odds(scores[row])
                values[1] = mean(own)
                try visit(row, values)
            }
        }
    }

    /// Of the columns, where a missing value counts as a usual one: t of the z-score baseline.
    private func mean(_ surprises: UnsafeMutableBufferPointer<Double>) -> Double {
        var sum = 0.0
        for surprise in surprises { sum += surprise.isNaN ? 1 : surprise }
        return sum / Double(columns)
    }
}
