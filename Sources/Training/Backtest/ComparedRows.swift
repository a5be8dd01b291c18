import DetectorAPI
import Models

/// Rows that two models score, and what differs.
struct ComparedRows {
    /// A changed row, ready to be shown.
    struct Shown {
        let row: HistoryRow
        let severity: Double?
        let because: [String]
    }

    /// Alerts of one of the two alone.
    struct Changes {
        fileprivate(set) var count = 0
        fileprivate(set) var shown: [Shown] = []
    }

    private struct Changed {
        let row: HistoryRow
        let severity: Double?
        /// Before encoding.
        let table: RowTable
    }

    /// Changes that are shown of each side.
    private static let maximumShown = 25
    private static let batchRows = 8_192
    private static let reasons = 3
    private static let categories = 40

    let active: ReadyModel
    let candidate: ReadyModel
    private(set) var judged = JudgedRows()
    private(set) var activeScores: [Double] = []
    private(set) var candidateScores: [Double] = []
    private var batch = RowTable()
    private var waiting: [HistoryRow] = []
    private var byUser: [UInt32: BacktestComparison.Group] = [:]
    private var byHash: [UInt64: BacktestComparison.Group] = [:]
    private var newCount = 0
    private var droppedCount = 0
    private var new: [Changed] = []
    private var dropped: [Changed] = []

    var count: Int { activeScores.count }

    init(active: ReadyModel, candidate: ReadyModel) {
        self.active = active
        self.candidate = candidate
    }

    mutating func append(_ row: PreparedRow) throws {
        batch.append(row.row, features: row.features, priority: 0)
        waiting.append(row.row)
        judged.append(row.row)
        if batch.count == Self.batchRows { try flush() }
    }

    /// Scores what has been appended.
    mutating func flush() throws {
        let before = try score(active.model, batch.encoded(active.plan), columns: active.plan.columnCount)
        let after = try score(
            candidate.model, batch.encoded(candidate.plan), columns: candidate.plan.columnCount)
        for (place, row) in waiting.enumerated() {
            let wasAlert = before[place] < active.threshold
            let isAlert = after[place] < candidate.threshold
            let one = BacktestComparison.Group(
                transactions: 1, frauds: row.label == 1 ? 1 : 0, activeAlerts: wasAlert ? 1 : 0,
                candidateAlerts: isAlert ? 1 : 0)
            byUser[row.user, default: .init()].add(one)
            byHash[row.category, default: .init()].add(one)
            if isAlert, !wasAlert {
                newCount += 1
                keep(row, place, candidate.severity(of: after[place]), in: &new)
            }
            if wasAlert, !isAlert {
                droppedCount += 1
                keep(row, place, active.severity(of: before[place]), in: &dropped)
            }
        }
        activeScores += before
        candidateScores += after
        batch.removeAll()
        waiting.removeAll(keepingCapacity: true)
    }

    /// The most severe ones are kept, whatever the order in which they come.
    private func keep(_ row: HistoryRow, _ place: Int, _ severity: Double?, in kept: inout [Changed]) {
        kept.append(Changed(row: row, severity: severity, table: batch.gathering([place])))
        guard kept.count >= 4 * Self.maximumShown else { return }
        kept = Self.mostSevere(kept)
    }

    private static func mostSevere(_ changes: [Changed]) -> [Changed] {
        Array(
            changes.sorted {
                ($1.severity ?? 0, $0.row.timestampMilliseconds, $0.row.transaction)
                    < ($0.severity ?? 0, $1.row.timestampMilliseconds, $1.row.transaction)
            }.prefix(maximumShown))
    }

    // MARK: What came of it

    func changes() throws -> (new: Changes, dropped: Changes) {
        func shown(_ changes: [Changed], by model: ReadyModel) throws -> [Shown] {
            try Self.mostSevere(changes).map {
                Shown(
                    row: $0.row, severity: $0.severity, because: try Self.because($0.table, model))
            }
        }
        return (
            Changes(count: newCount, shown: try shown(new, by: candidate)),
            Changes(count: droppedCount, shown: try shown(dropped, by: active))
        )
    }

    /// The columns that drew the score down most; none of a model that does not explain itself.
    private static func because(_ row: RowTable, _ model: ReadyModel) throws -> [String] {
        guard let explaining = model.model as? any Explaining else { return [] }
        let columns = model.plan.columnCount
        var scores = [0.0]
        var contributions = [Double](repeating: 0, count: columns)
        try row.encoded(model.plan).withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try explaining.explain(
                        FeatureRows(values, columns: columns), into: scores, contributions: $0)
                }
            }
        }
        let strongest = contributions.indices.filter { contributions[$0] < 0 }.sorted {
            (contributions[$0], $0) < (contributions[$1], $1)
        }
        return strongest.prefix(reasons).map { model.plan.columns[$0].name }
    }

    func byActivity() -> [BacktestComparison.Group] {
        let users = byUser.sorted { ($0.value.transactions, $0.key) < ($1.value.transactions, $1.key) }
        var deciles = (1...10).map { BacktestComparison.Group(name: "\($0)") }
        for (place, user) in users.enumerated() { deciles[place * 10 / users.count].add(user.value) }
        return deciles.filter { $0.transactions > 0 }
    }

    func byCategory(_ names: CategoryNames) -> [BacktestComparison.Group] {
        let groups = byHash.map { hash, group in
            var group = group
            group.name = hash == 0 ? "none" : names[hash] ?? "another"
            return group
        }
        return Array(
            groups.sorted { ($1.transactions, $0.name) < ($0.transactions, $1.name) }.prefix(Self.categories))
    }
}
