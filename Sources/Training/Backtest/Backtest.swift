import DetectorAPI
import Features
import Foundation
import Lake
import Models

/// A model's figures on days of the lake, each transaction scored as it would have been served: from its user's window
/// and the tables of its hour, with nothing known that was not known then.
public struct BacktestReport: Codable, Sendable, Hashable {
    public var version: Int
    public var detector: String
    public var from: LakeDay
    public var to: LakeDay
    /// Whether the model was trained on some of these days: then its figures are better than they will be.
    public var isTrainedOnThem: Bool
    /// Judged by the labels known at this moment; nil: by all that there are. Milliseconds since 1970 UTC.
    public var asOfMilliseconds: Int64?
    public var transactions: Int
    public var frauds: Int
    /// Transactions that nobody has labelled, and that are too young to be taken for genuine: not judged.
    public var unlabelled: Int
    public var alerts: Int
    /// Share of frauds among the alerts that are labelled.
    public var alertPrecision: Double?
    /// Share of the frauds that were alerts.
    public var alertRecall: Double?
    /// Sums of amounts, without those below 0.
    public var fraudAmount: Double
    public var alertedFraudAmount: Double
    /// nil without both kinds.
    public var auroc: Double?
    public var averagePrecision: Double?
    /// Share of users with a fraud among the 100 users of the lowest scores of a day, mean over the days.
    public var cardPrecisionAt100: Double?
    /// Of the deciles of users by their number of transactions, and by their mean amount, ascending: the share of the
    /// false alerts over the share of the transactions. nil: too few false alerts or users to tell.
    public var falseAlertsByActivity: [Double]?
    public var falseAlertsByAmount: [Double]?
    /// What of these days was not read, in sentences; nil: all was.
    public var notes: [String]?
}

extension TrainingPipeline {
    /// The last day that the lake has; nil: it is empty.
    public func lastDay() throws -> LakeDay? { try lake.days().last }

    /// Scores days of the lake with a stored global model. Blocks the thread.
    ///
    /// - Throws: `TrainingError`; errors of the lake's files, the stores and the detector.
    public func backtest(
        version: Int, from: LakeDay, to: LakeDay, asOf: Int64?,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: (Double) -> Void = { _ in }
    ) throws -> BacktestReport {
        let model = try router.model(of: .global, version: version)
        var judged = JudgedRows()
        var scores: [Double] = []
        var batch = RowTable()
        func flush() throws {
            scores += try score(model.model, batch.encoded(model.plan), columns: model.plan.columnCount)
            batch.removeAll()
        }
        let read = try eachRow(
            from...to, asOf: asOf, usesReferences: model.plan.usesReferences, isCancelled: isCancelled,
            progress: progress,
            visit: { row in
                batch.append(row.row, features: row.features, priority: 0)
                judged.append(row.row)
                if batch.count == 8_192 { try flush() }
            })
        try flush()
        return judged.report(model, scores, from: from, to: to, asOf: asOf, notes: read.notes)
    }

    /// Calls `visit` with each row of some days, users after each other, with its features as they would have been
    /// served and the label known at `asOf`.
    ///
    /// - Returns: What the rows' numbers and hashes mean, and what of the days was not read.
    /// - Throws: `TrainingError.noData` when there was no row; what `visit` throws.
    func eachRow(
        _ days: ClosedRange<LakeDay>, asOf: Int64?, usesReferences: Bool, isCancelled: @Sendable () -> Bool,
        progress: (Double) -> Void, visit: (PreparedRow) throws -> Void
    ) throws -> (history: History, notes: [String]) {
        guard days.lowerBound.distance(to: days.upperBound) < TrainingRequest.maximumDays else {
            throw TrainingError.invalidRequest(
                field: "date_range", reason: "at most \(TrainingRequest.maximumDays) days are allowed")
        }
        let history = try historyScan(days, asOf: asOf, usesReferences: usesReferences).run(
            isCancelled: isCancelled, progress: { progress($0 / 2) })
        let fold = HistoryFold(startMilliseconds: days.lowerBound.startMilliseconds)
        let notes = try LakeNotes(lake, days, history).lines
        var isEmpty = true
        try history.takeAll(
            {
                try fold.run($0, isCancelled: isCancelled) { row, _ in
                    isEmpty = false
                    try visit(row)
                }
            },
            progress: { progress(0.5 + $0 / 2) })
        if isEmpty { throw TrainingError.noTransactions(days, notes) }
        return (history, notes)
    }
}

/// What is known of scored rows.
struct JudgedRows {
    private var labels: [Int8] = []
    private var days: [Int32] = []
    private var users: [UInt32] = []
    private var amounts: [Float] = []

    mutating func append(_ row: HistoryRow) {
        labels.append(Int8(row.label))
        days.append(Int32(LakeDay(epochMilliseconds: row.timestampMilliseconds).dayNumber))
        users.append(row.user)
        amounts.append(Float(row.amount))
    }

    /// - Parameter scores: One for each row, of the model.
    func report(
        _ model: ReadyModel, _ scores: [Double], from: LakeDay, to: LakeDay, asOf: Int64?, notes: [String]
    ) -> BacktestReport {
        let known = labels.indices.filter { labels[$0] >= 0 }
        let anomalous = known.map { labels[$0] == 1 }
        let frauds = anomalous.count { $0 }
        let knownScores = known.map { scores[$0] }
        let alerts = known.filter { scores[$0] < model.threshold }
        let hits = alerts.count { labels[$0] == 1 }
        func amount(_ rows: [Int]) -> Double {
            rows.reduce(0) { $0 + (labels[$1] == 1 ? Double(max(0, amounts[$1])) : 0) }
        }
        let shares = FalseAlertShares(
            users: users, amounts: amounts, labels: labels, scores: scores, threshold: model.threshold)
        return BacktestReport(
            version: model.version, detector: model.header.detectorID, from: from, to: to,
            isTrainedOnThem: model.header.trainingRange.from <= "\(to)"
                && "\(from)" <= model.header.trainingRange.to,
            asOfMilliseconds: asOf,
            transactions: scores.count, frauds: frauds, unlabelled: scores.count - known.count,
            alerts: scores.count { $0 < model.threshold },
            alertPrecision: alerts.isEmpty ? nil : Double(hits) / Double(alerts.count),
            alertRecall: frauds > 0 ? Double(hits) / Double(frauds) : nil,
            fraudAmount: amount(known), alertedFraudAmount: amount(alerts),
            auroc: ScoreMetrics.auroc(knownScores, anomalous: anomalous),
            averagePrecision: frauds < known.count
                ? ScoreMetrics.averagePrecision(knownScores, anomalous: anomalous) : nil,
            cardPrecisionAt100: frauds > 0 ? cardPrecision(known, scores, count: 100) : nil,
            falseAlertsByActivity: shares.activityDeciles, falseAlertsByAmount: shares.amountDeciles,
            notes: notes.isEmpty ? nil : notes)
    }

    /// Of each day the users by their lowest score.
    private func cardPrecision(_ rows: [Int], _ scores: [Double], count: Int) -> Double? {
        struct Card {
            var score = Double.infinity
            var isFraud = false
        }
        var byDay: [Int32: [UInt32: Card]] = [:]
        for row in rows {
            var card = byDay[days[row], default: [:]][users[row], default: Card()]
            card.score = min(card.score, scores[row])
            if labels[row] == 1 { card.isFraud = true }
            byDay[days[row], default: [:]][users[row]] = card
        }
        // In the order of days: sums of another order differ in their last bits.
        let precisions = byDay.sorted { $0.key < $1.key }.compactMap { _, cards in
            let all = Array(cards.values)
            return ScoreMetrics.precision(
                all.map(\.score), anomalous: all.map(\.isFraud), count: min(count, all.count))
        }
        return precisions.isEmpty ? nil : precisions.reduce(0, +) / Double(precisions.count)
    }
}
