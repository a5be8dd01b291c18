import DetectorAPI
import Features
import Models
import Transactions

/// Stage 4: each transaction with its score.
public struct ScoredBatch: Sendable {
    public let windowed: WindowedBatch
    public let groups: [RouteGroup]
    /// One for each transaction: which of `groups` scored it.
    public let groupIndex: [Int32]
    /// One for each transaction; lower is more anomalous.
    public let scores: [Double]
    /// For each anomalous transaction, the features that drove its score, the strongest first.
    public let reasons: [Int32: [FeatureReason]]
    /// nil: there are none, or the batch has not come to them yet.
    var rules: BatchRules?

    public var count: Int { scores.count }

    public func isAnomaly(_ row: Int) -> Bool { scores[row] < groups[Int(groupIndex[row])].model.threshold }

    /// 0 to 1 on the scale of all models; nil when the model's artifact does not say.
    public func severity(_ row: Int) -> Double? {
        groups[Int(groupIndex[row])].model.severity(of: scores[row])
    }
}

/// Scores a batch group by group, and explains what lies below the threshold. Thread-safe.
///
/// A model that throws or gives a score that is not finite is put in quarantine, and its transactions are
/// scored by the global model. Where its detector's process has crashed, that is for this batch only.
public struct ScoreStage: Sendable {
    private let router: ModelRouter
    private let reasonCount: Int
    private let explainsAll: Bool

    /// - Parameters:
    ///   - reasonCount: Features named for each anomaly.
    ///   - explainsAll: And for what is none.
    public init(router: ModelRouter, reasonCount: Int = 3, explainsAll: Bool = false) {
        self.explainsAll = explainsAll
        self.router = router
        self.reasonCount = reasonCount
    }

    /// - Throws: `ServingError` when the global model is needed, and is not there or fails.
    public func run(_ routed: RoutedBatch) throws -> ScoredBatch {
        let windowed = routed.windowed
        var groups = routed.groups
        var groupIndex = [Int32](repeating: 0, count: windowed.count)
        var scores = [Double](repeating: 0, count: windowed.count)
        var reasons: [Int32: [FeatureReason]] = [:]
        let categories = categoryHashes(windowed.consumed.transactions)
        var index = 0
        while index < groups.count {
            let group = groups[index]
            do {
                var encoded = EncodedRows(group, windowed, categories)
                try encoded.score()
                for (position, row) in group.rows.enumerated() {
                    groupIndex[Int(row)] = Int32(index)
                    scores[Int(row)] = encoded.scores[position]
                }
                try encoded.explain(
                    windowed, reasonCount: reasonCount, explainsAll: explainsAll, into: &reasons)
            } catch let failure as ScoringFailure {
                guard group.model.tenant != .global else {
                    throw ServingError.globalModelFails(failure.reason)
                }
                let fallback = router.noteFailure(of: group.model, failure.cause, reason: failure.reason)
                guard let global = try router.globalModel() else {
                    throw ServingError(noGlobalModelIn: router)
                }
                groups[index].rows = []
                groups.append(RouteGroup(model: global, fallback: fallback, rows: group.rows))
            }
            index += 1
        }
        return ScoredBatch(
            windowed: windowed, groups: groups, groupIndex: groupIndex, scores: scores, reasons: reasons,
            rules: nil)
    }
}

extension ScoreStage {
    /// Scores rows with a model that may serve nobody.
    ///
    /// - Returns: One score for each of the group's rows, finite.
    /// - Throws: A reason, when the model throws or gives a score that is not finite.
    static func scores(of group: RouteGroup, _ windowed: WindowedBatch) throws -> [Double] {
        var encoded = EncodedRows(group, windowed, categoryHashes(windowed.consumed.transactions))
        try encoded.score()
        return encoded.scores
    }
}

/// Hashes of the categorical features, row-major.
private func categoryHashes(_ transactions: TransactionBatch) -> [UInt64] {
    var hashes: [UInt64] = []
    hashes.reserveCapacity(transactions.count * FeatureSchema.categorical.count)
    for row in 0..<transactions.count {
        for (_, field) in FeatureSchema.categorical { hashes.append(transactions.hash(field, row)) }
    }
    return hashes
}

private struct ScoringFailure: Error, CustomStringConvertible {
    var description: String { reason }
    let reason: String
    /// What the model threw; nil: it gave a score that is not finite.
    let cause: (any Error)?

    init(_ what: String, _ cause: any Error) { (reason, self.cause) = ("\(what): \(cause)", cause) }

    init(_ reason: String) { (self.reason, cause) = (reason, nil) }
}

/// A group's rows as its model wants them.
private struct EncodedRows {
    let group: RouteGroup
    var values: [Float]
    var scores: [Double]

    init(_ group: RouteGroup, _ windowed: WindowedBatch, _ categories: [UInt64]) {
        self.group = group
        let plan = group.model.plan
        let width = UserWindow.featureCount
        let categoryCount = FeatureSchema.categorical.count
        values = [Float](unsafeUninitializedCapacity: group.rows.count * plan.columnCount) { into, count in
            windowed.features.withUnsafeBufferPointer { features in
                categories.withUnsafeBufferPointer { categories in
                    for (position, row) in group.rows.enumerated() {
                        let row = Int(row)
                        plan.apply(
                            numeric: UnsafeBufferPointer(
                                rebasing: features[row * width..<(row + 1) * width]),
                            categories: UnsafeBufferPointer(
                                rebasing: categories[row * categoryCount..<(row + 1) * categoryCount]),
                            into: UnsafeMutableBufferPointer(
                                rebasing: into[
                                    position * plan.columnCount..<(position + 1) * plan.columnCount]))
                    }
                }
            }
            count = group.rows.count * plan.columnCount
        }
        scores = [Double](repeating: .nan, count: group.rows.count)
    }

    mutating func score() throws {
        let model = group.model.model
        let columns = group.model.plan.columnCount
        guard !group.rows.isEmpty else { return }
        do {
            try values.withUnsafeBufferPointer { values in
                try scores.withUnsafeMutableBufferPointer { scores in
                    try model.score(FeatureRows(values, columns: columns), into: scores)
                }
            }
        } catch {
            throw ScoringFailure("scoring threw", error)
        }
        guard scores.allSatisfy(\.isFinite) else { throw ScoringFailure("a score was not finite") }
    }

    /// Attributes the scores below the threshold, or all of them, to features.
    func explain(
        _ windowed: WindowedBatch, reasonCount: Int, explainsAll: Bool,
        into reasons: inout [Int32: [FeatureReason]]
    ) throws {
        guard let model = group.model.model as? any Explaining else { return }
        let positions = scores.indices.filter { explainsAll || scores[$0] < group.model.threshold }
        guard !positions.isEmpty else { return }
        let plan = group.model.plan
        let columns = plan.columnCount
        let rows = positions.flatMap { values[$0 * columns..<($0 + 1) * columns] }
        var explained = [Double](repeating: 0, count: positions.count)
        var contributions = [Double](repeating: 0, count: positions.count * columns)
        do {
            try rows.withUnsafeBufferPointer { rows in
                try explained.withUnsafeMutableBufferPointer { explained in
                    try contributions.withUnsafeMutableBufferPointer { contributions in
                        try model.explain(
                            FeatureRows(rows, columns: columns), into: explained,
                            contributions: contributions)
                    }
                }
            }
        } catch {
            throw ScoringFailure("explaining threw", error)
        }
        let width = UserWindow.featureCount
        for (place, position) in positions.enumerated() {
            let row = Int(group.rows[position])
            reasons[Int32(row)] = contributions.withUnsafeBufferPointer { contributions in
                windowed.features.withUnsafeBufferPointer { features in
                    plan.reasons(
                        contributions: UnsafeBufferPointer(
                            rebasing: contributions[place * columns..<(place + 1) * columns]),
                        numeric: UnsafeBufferPointer(rebasing: features[row * width..<(row + 1) * width]),
                        memory: windowed.memories[row], batch: windowed.consumed.transactions, row: row,
                        limit: reasonCount)
                }
            }
        }
    }
}
