import DetectorAPI

/// Fitted members, the tables that make them comparable, and their weights. Immutable.
final class EnsembleModel: Explaining, Sizing {
    private let readings: MemberReadings
    /// Of the forest, the z-score of all columns, and each column.
    private let tables: [RankTable]
    private let weights: [Double]
    /// t of a row about which nothing is known, and what forest and z-score say of it.
    private let expected: (t: Double, forest: Double, zscore: Double)

    /// - Parameters:
    ///   - tables: One for each member: forest, z-score, columns.
    ///   - weights: Likewise; not negative, with sum 1.
    /// - Throws: `DetectorError.invalidArtifact` for members that do not belong together.
    init(forest: any DetectorModel, zscore: any DetectorModel, tables: [RankTable], weights: [Double]) throws
    {
        readings = try MemberReadings(forest: forest, zscore: zscore)
        guard tables.count == readings.columns + 2, weights.count == tables.count else {
            throw DetectorError.invalidArtifact(
                "it has \(tables.count) tables for \(readings.columns) columns")
        }
        self.tables = tables
        self.weights = weights
        let forestPart = Self.part(MemberReadings.odds(readings.forest.expectedScore), of: 0, tables[0])
        let zscorePart = Self.part(1, of: 1, tables[1])
        var t = weights[0] * forestPart + weights[1] * zscorePart
        for place in 2..<tables.count { t += weights[place] }
        expected = (t, forestPart, zscorePart)
    }

    var columns: Int { readings.columns }

    var sizeInMemory: Int {
        // Both members are of kinds that say what they hold.
        let members = [readings.forest as? any Sizing, readings.zscore as? any Sizing]
        let tables = tables.reduce(0) { $0 + $1.sizeInMemory }
        return members.reduce(tables) { $0 + ($1?.sizeInMemory ?? 0) }
    }

    var expectedScore: Double { Self.score(expected.t) }

    func encode() -> [UInt8] {
        EnsemblePayload.encode(
            forest: readings.forest.encode(), zscore: readings.zscore.encode(), tables: tables,
            weights: weights)
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try check(rows, places: scores.count)
        try readings.read(rows) { row, values in
            var t = 0.0
            for place in values.indices where weights[place] > 0 {
                t += weights[place] * Self.part(values[place], of: place, tables[place])
            }
            scores[row] = Self.score(t)
        }
    }

    /// t is a sum over the members, and t minus its expected value a sum over their differences from what they say of a
    /// row about which nothing is known. A column's own member is credited to the column; the z-score's difference by
    /// the columns' parts of it; the forest's by the forest's own contributions; the latter two times the slope of the
    /// chord between expected and actual value, as are all when t is turned into the score.
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try check(rows, places: scores.count)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        try readings.forest.explain(rows, into: scores, contributions: contributions)
        try withUnsafeTemporaryAllocation(of: Double.self, capacity: columns) { shares in
            shares.initialize(repeating: 0)
            try readings.read(rows, forestScores: scores) { row, values in
                let own = UnsafeMutableBufferPointer(
                    rebasing: contributions[row * columns..<(row + 1) * columns])
                let forestPart = Self.part(values[0], of: 0, tables[0])
                let zscorePart = Self.part(values[1], of: 1, tables[1])
                own.scale(to: weights[0] * (forestPart - expected.forest))
                for column in 0..<columns {
                    let value = values[2 + column]
                    shares[column] = value.isNaN ? 0 : value - 1
                }
                shares.scale(to: weights[1] * (zscorePart - expected.zscore))
                var t = weights[0] * forestPart + weights[1] * zscorePart
                for place in 2..<values.count where weights[place] > 0 {
                    let part = Self.part(values[place], of: place, tables[place])
                    t += weights[place] * part
                    own[place - 2] += weights[place] * (part - 1)
                }
                // -t / (1 + t) between two values of t.
                let slope = -1 / ((1 + t) * (1 + expected.t))
                for column in 0..<columns { own[column] = (own[column] + shares[column]) * slope }
                scores[row] = Self.score(t)
            }
        }
    }

    private static func score(_ t: Double) -> Double { -t / (1 + t) }

    /// What a member adds to t: its surprise, or half its square for a column; 1 where it says nothing.
    @inline(__always)
    static func part(_ value: Double, of place: Int, _ table: RankTable) -> Double {
        if value.isNaN { return 1 }
        let surprise = table.surprise(value)
        return place < 2 ? surprise : surprise * surprise / 2
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

extension UnsafeMutableBufferPointer<Double> {
    /// Multiplies so that the sum becomes `target`. Numbers that cancel say nothing of who is to be credited: then all
    /// get the same.
    fileprivate func scale(to target: Double) {
        var sum = 0.0
        var size = 0.0
        for value in self {
            sum += value
            size += abs(value)
        }
        let isClear = abs(sum) > 1e-9 * size && abs(sum) > 1e-12
        let slope = isClear ? target / sum : 0
        let rest = isClear ? 0 : target / Double(count)
        for place in indices { self[place] = self[place] * slope + rest }
    }
}
