import DetectorAPI
import Lake
import Models
import Transactions

/// Two versions of the global model on the same days: what would change if the candidate served.
public struct BacktestComparison: Codable, Sendable, Hashable {
    /// Users, or transactions, that have something in common.
    public struct Group: Codable, Sendable, Hashable {
        public var name = ""
        public var transactions = 0
        public var frauds = 0
        public var activeAlerts = 0
        public var candidateAlerts = 0

        mutating func add(_ other: Group) {
            transactions += other.transactions
            frauds += other.frauds
            activeAlerts += other.activeAlerts
            candidateAlerts += other.candidateAlerts
        }
    }

    /// A transaction of which the two say different things.
    public struct Change: Codable, Sendable, Hashable {
        /// nil: the lake no longer has it.
        public var transactionID: String?
        public var userID: String
        public var amount: Double
        /// Milliseconds since 1970 UTC.
        public var timeMilliseconds: Int64
        /// nil: nobody knows.
        public var isFraud: Bool?
        /// By the model that alerts.
        public var severity: Double?
        /// The features that made that model alert, the strongest first.
        public var because: [String]
    }

    public var active: BacktestReport
    public var candidate: BacktestReport
    /// What looking at an alert costs, in the amounts' unit.
    public var alertCost: Double
    /// Users' deciles by their number of transactions, ascending.
    public var byActivity: [Group]
    /// The category's text, by number of transactions, descending.
    public var byCategory: [Group]
    /// How many are alerts of the candidate alone, and of the active version alone.
    public var newAlerts: Int
    public var droppedAlerts: Int
    /// The most severe of them.
    public var new: [Change]
    public var dropped: [Change]

    /// The amounts of the frauds that a version alerted on, less what its alerts cost.
    public func saved(_ report: BacktestReport) -> Double {
        report.alertedFraudAmount - alertCost * Double(report.alerts)
    }
}

extension TrainingPipeline {
    /// Scores days of the lake with two versions of the global model. Blocks the thread.
    ///
    /// - Parameters:
    ///   - active: nil: the one that serves.
    ///   - alertCost: What looking at an alert costs, in the amounts' unit.
    /// - Throws: As `backtest`; `TrainingError.invalidRequest` when nothing serves.
    public func compare(
        candidate: Int, active: Int? = nil, from: LakeDay, to: LakeDay, asOf: Int64?, alertCost: Double = 0,
        isCancelled: @escaping @Sendable () -> Bool = { false }, progress: (Double) -> Void = { _ in }
    ) throws -> BacktestComparison {
        let serving = try active.map { try router.model(of: .global, version: $0) } ?? router.globalModel()
        guard let serving else {
            throw TrainingError.invalidRequest(
                field: "against", reason: "no version of the global model serves")
        }
        var rows = ComparedRows(active: serving, candidate: try router.model(of: .global, version: candidate))
        let usesReferences = rows.active.plan.usesReferences || rows.candidate.plan.usesReferences
        let (history, notes) = try eachRow(
            from...to, asOf: asOf, usesReferences: usesReferences, isCancelled: isCancelled,
            progress: progress
        ) { try rows.append($0) }
        try rows.flush()
        let (new, dropped) = try rows.changes()
        return BacktestComparison(
            active: rows.judged.report(
                rows.active, rows.activeScores, from: from, to: to, asOf: asOf, notes: notes),
            candidate: rows.judged.report(
                rows.candidate, rows.candidateScores, from: from, to: to, asOf: asOf, notes: notes),
            alertCost: alertCost, byActivity: rows.byActivity(),
            byCategory: rows.byCategory(history.categories),
            newAlerts: new.count, droppedAlerts: dropped.count,
            new: try new.shown.map { try named($0, history) },
            dropped: try dropped.shown.map { try named($0, history) })
    }

    private func named(
        _ shown: ComparedRows.Shown, _ history: History
    ) throws -> BacktestComparison.Change {
        let (row, user) = (shown.row, history.users.id(shown.row.user))
        let found = try LakeTransactions(lake).of(
            user: user, from: row.timestampMilliseconds, through: row.timestampMilliseconds)
        return BacktestComparison.Change(
            transactionID: found.first { TextHash.hash($0.transactionID) == row.transaction }?.transactionID,
            userID: user, amount: row.amount, timeMilliseconds: row.timestampMilliseconds,
            isFraud: row.label < 0 ? nil : row.label == 1, severity: shown.severity, because: shown.because)
    }
}
