import Models
import Transactions

/// What a candidate and the active version said of the same transactions. Bounded, whatever the number of transactions.
struct ShadowCounts: Sendable {
    /// The version that served.
    let active: ReadyModel
    private(set) var transactions = 0
    private(set) var activeAlerts = 0
    private(set) var candidateAlerts = 0
    private(set) var newAlerts = 0
    private(set) var droppedAlerts = 0
    /// The latest of them.
    private(set) var new: [ShadowReport.Change] = []
    private(set) var dropped: [ShadowReport.Change] = []
    private var pairs = ScorePairs()

    static let maximumShown = 50

    init(active: ReadyModel) { self.active = active }

    /// - Parameters:
    ///   - rows: Of the batch.
    ///   - scores: The candidate's, one for each of `rows`.
    mutating func add(_ scored: ScoredBatch, rows: [Int32], scores: [Double], candidate: ReadyModel) {
        transactions += rows.count
        for (place, row) in rows.enumerated() {
            let row = Int(row)
            let (before, after) = (scored.scores[row], scores[place])
            let (wasAlert, isAlert) = (before < active.threshold, after < candidate.threshold)
            pairs.add(before, after)
            if wasAlert { activeAlerts += 1 }
            if isAlert { candidateAlerts += 1 }
            if isAlert, !wasAlert {
                newAlerts += 1
                Self.keep(scored, row, candidate.severity(of: after), in: &new)
            }
            if wasAlert, !isAlert {
                droppedAlerts += 1
                Self.keep(scored, row, scored.severity(row), in: &dropped)
            }
        }
    }

    private static func keep(
        _ scored: ScoredBatch, _ row: Int, _ severity: Double?, in changes: inout [ShadowReport.Change]
    ) {
        let transactions = scored.windowed.consumed.transactions
        changes.append(
            ShadowReport.Change(
                transactionID: transactions.text(.transactionID, row) ?? "",
                userID: transactions.text(.userID, row) ?? "",
                timeMilliseconds: transactions.timestampMilliseconds[row], severity: severity))
        if changes.count > maximumShown { changes.removeFirst() }
    }

    mutating func erase(userID: String) {
        new.removeAll { $0.userID.utf8.elementsEqual(userID.utf8) }
        dropped.removeAll { $0.userID.utf8.elementsEqual(userID.utf8) }
    }

    /// How alike the two order the transactions, -1 to 1; nil: too few to tell, or one gives all the same score.
    var rankCorrelation: Double? { pairs.rankCorrelation }
}

/// Pairs of scores, evenly taken from all that came: whenever there are too many, every second one is let go of.
private struct ScorePairs: Sendable {
    private static let maximum = 8_192
    private static let minimum = 100

    private var active: [Double] = []
    private var candidate: [Double] = []
    private var step = 1
    private var seen = 0

    mutating func add(_ before: Double, _ after: Double) {
        defer { seen += 1 }
        guard seen % step == 0 else { return }
        active.append(before)
        candidate.append(after)
        guard active.count == Self.maximum else { return }
        active = Self.everySecond(active)
        candidate = Self.everySecond(candidate)
        step *= 2
    }

    private static func everySecond(_ values: [Double]) -> [Double] {
        stride(from: 0, to: values.count, by: 2).map { values[$0] }
    }

    var rankCorrelation: Double? {
        active.count < Self.minimum ? nil : RankCorrelation.spearman(active, candidate)
    }
}
