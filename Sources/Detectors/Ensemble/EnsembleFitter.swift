import DetectorAPI
import ZScoreBaseline

/// Fits the members, then the tables that make their scores comparable, then the weights.
struct EnsembleFitter {
    /// Tables are made of at most so many rows: the rarest share they can tell is half a row of these.
    static let maximumRows = 65_536
    /// Of rows x members at a time, in memory.
    private static let maximumValues = 8 << 20
    /// Known anomalies beyond the drawn rows that weights are learned from.
    private static let maximumAnomalies = 16_384
    private static let block = 256
    private static let sampleStream: UInt64 = 1 << 40

    let rows: FeatureRows
    let labels: UnsafeBufferPointer<Int8>?
    let parameters: EnsembleParameters
    let context: FitContext

    init(
        _ rows: FeatureRows, _ labels: UnsafeBufferPointer<Int8>?, _ parameters: EnsembleParameters,
        _ context: FitContext
    ) throws {
        guard rows.count > 0 else { throw DetectorError.invalidInput("there are no rows to fit on") }
        if let labels, labels.count != rows.count {
            throw DetectorError.invalidInput("\(labels.count) labels for \(rows.count) rows")
        }
        self.rows = rows
        self.labels = labels
        self.parameters = parameters
        self.context = context
    }

    func fit() throws -> EnsembleModel {
        let forest = try EnsembleMembers.forest.fit(
            rows, labels: nil, context: part(parameters.forest, from: 0, to: 0.4))
        let zscore = try EnsembleMembers.zscore.fit(
            rows, labels: nil, context: part(parameters.zscore, from: 0.4, to: 0.6))
        let drawn = draw()
        let known = parameters.learns ? anomalies(besides: drawn) : []
        var members = try values(drawn + known, forest, zscore)
        var tables: [RankTable] = []
        for place in members.indices {
            try pause(0.8)
            let table = table(members[place][..<drawn.count])
            for row in members[place].indices {
                members[place][row] = Float(
                    EnsembleModel.part(Double(members[place][row]), of: place, table))
            }
            tables.append(table)
        }
        var weights = parameters.memberWeights(columns: rows.columns)
        if parameters.learns, let labels {
            let learner = WeightLearner(
                parts: members, isAnomaly: (drawn + known).map { labels[$0] == 1 },
                firmness: parameters.firmness, isCancelled: context.isCancelled)
            guard let learned = learner.weights(given: weights) else { throw DetectorError.cancelled }
            weights = learned
        }
        context.progress(1)
        return try EnsembleModel(forest: forest, zscore: zscore, tables: tables, weights: weights)
    }

    private func pause(_ done: Double) throws {
        if context.isCancelled() { throw DetectorError.cancelled }
        context.progress(done)
    }

    /// What a member is told: its own parameters, and progress as a part of the whole.
    private func part(_ values: ParameterValues, from: Double, to: Double) -> FitContext {
        let progress = context.progress
        return FitContext(
            seed: context.seed, parameters: values, columns: context.columns,
            isCancelled: context.isCancelled, progress: { progress(from + (to - from) * $0) })
    }

    private var rowLimit: Int {
        min(Self.maximumRows, max(Self.block, Self.maximumValues / (rows.columns + 2)))
    }

    /// Rows drawn without replacement, in ascending order, by selection sampling (Knuth, volume 2, algorithm S); all of
    /// them if they are few.
    private func draw() -> [Int] {
        let wanted = rowLimit
        guard rows.count > wanted else { return Array(0..<rows.count) }
        var generator = SeededGenerator(seed: context.seed, stream: Self.sampleStream)
        var chosen: [Int] = []
        chosen.reserveCapacity(wanted)
        for row in 0..<rows.count where chosen.count < wanted {
            if generator.below(rows.count - row) < wanted - chosen.count { chosen.append(row) }
        }
        return chosen
    }

    /// The first known anomalies that were not drawn: there may be few in all.
    private func anomalies(besides drawn: [Int]) -> [Int] {
        guard let labels, drawn.count < rows.count else { return [] }
        var found: [Int] = []
        var next = 0
        let limit = min(Self.maximumAnomalies, rowLimit)
        for row in 0..<rows.count where found.count < limit {
            while next < drawn.count, drawn[next] < row { next += 1 }
            if labels[row] == 1, next == drawn.count || drawn[next] != row { found.append(row) }
        }
        return found
    }

    /// The members' values of some rows, member by member; NaN where one says nothing.
    private func values(
        _ chosen: [Int], _ forest: any DetectorModel, _ zscore: any DetectorModel
    ) throws -> [[Float]] {
        var members = [[Float]](
            repeating: [Float](repeating: 0, count: chosen.count), count: rows.columns + 2)
        let readings = try MemberReadings(forest: forest, zscore: zscore)
        var gathered: [Float] = []
        for first in stride(from: 0, to: chosen.count, by: Self.block) {
            try pause(0.6 + 0.2 * Double(first) / Double(chosen.count))
            let part = chosen[first..<min(first + Self.block, chosen.count)]
            gathered.removeAll(keepingCapacity: true)
            for row in part { gathered.append(contentsOf: rows[row]) }
            try gathered.withUnsafeBufferPointer { gathered in
                try readings.read(FeatureRows(gathered, columns: rows.columns)) { row, values in
                    for place in values.indices { members[place][first + row] = Float(values[place]) }
                }
            }
        }
        return members
    }

    private func table(_ values: ArraySlice<Float>) -> RankTable {
        var sorted = values.filter { !$0.isNaN }
        sorted.sort()
        return sorted.withUnsafeBufferPointer { RankTable(sorted: $0) }
    }
}
