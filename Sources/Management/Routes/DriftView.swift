import Serving

/// Drift as the API shows it.
struct DriftView: Encodable {
    let tenant: String
    let version: String
    /// Of the last hour by event time.
    let transactions: Int
    let alerts: Int
    let alertRate: Double
    let alertBudget: Double
    /// The rate exceeds the budget by the configured factor.
    let flood: Bool
    /// Rows that the following are of; they come with the first thousand.
    let rows: Int
    /// Population stability index against the training scores: below 0.1 is usual, above 0.25 a shift.
    let scorePsi: Double?
    let featurePsi: [String: Double]
    /// Share of rows whose category is unknown, or was too rare in training to have a column of its own; of the global model
    /// beyond training's own share.
    let unseenCategoryShare: [String: Double]

    init(_ report: ModelWatch.Report) {
        tenant = report.tenant.description
        version = "v\(report.version)"
        transactions = report.transactions
        alerts = report.alerts
        alertRate = Double(report.alerts) / Double(max(report.transactions, 1))
        alertBudget = report.budget
        flood = report.isFlood
        rows = report.driftRows
        scorePsi = report.scoreShift
        featurePsi = report.featureShifts
        unseenCategoryShare = report.unseenShares
    }
}
