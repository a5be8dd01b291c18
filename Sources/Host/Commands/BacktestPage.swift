import Foundation
import Models
import Training
import Transactions

/// What a comparison of two versions says, for whoever decides about the promotion.
struct BacktestPage {
    private let comparison: BacktestComparison

    init(_ comparison: BacktestComparison) { self.comparison = comparison }

    var document: ReportDocument {
        let (active, candidate) = (comparison.active, comparison.candidate)
        var document = ReportDocument(
            title: "Backtest: v\(candidate.version) in place of v\(active.version)")
        document.add(
            "The days",
            [
                .paragraph(
                    "\(active.from) to \(active.to): \(active.transactions) transactions, \(active.frauds) of them known "
                        + "frauds of \(Self.money(active.fraudAmount)) in all, \(active.unlabelled) not labelled. Each was "
                        + "scored from what was known at its moment, in the lake's order of time."),
                .list(
                    [active, candidate].filter(\.isTrainedOnThem).map {
                        "v\($0.version) was trained on some of these days: its figures are better than they will be."
                    } + (candidate.notes ?? [])),
            ])
        document.add("Before and after", [figures(active, candidate)])
        document.add(
            "Whom the alerts fall on", [groups(comparison.byActivity, "users' tenth by transactions")],
            missing: "Nobody.")
        document.add("By category", [groups(comparison.byCategory, "category")], missing: "There are none.")
        document.add(
            "New alerts: \(comparison.newAlerts)", [changes(comparison.new)], missing: "There are none.")
        document.add(
            "Alerts no more: \(comparison.droppedAlerts)", [changes(comparison.dropped)],
            missing: "There are none.")
        return document
    }

    private func figures(_ active: BacktestReport, _ candidate: BacktestReport) -> ReportDocument.Block {
        func row(_ name: String, _ value: (BacktestReport) -> String) -> [String] {
            [name, value(active), value(candidate)]
        }
        return .table(
            header: [
                "", "v\(active.version), \(active.detector)", "v\(candidate.version), \(candidate.detector)",
            ],
            rows: [
                row("alerts") { "\($0.alerts)" },
                row("alerts a thousand transactions") {
                    String(format: "%.2f", 1_000 * Double($0.alerts) / Double(max(1, $0.transactions)))
                },
                row("frauds among the alerts") { Self.share($0.alertPrecision) },
                row("frauds that are alerts") { Self.share($0.alertRecall) },
                row("average precision") { Self.number($0.averagePrecision) },
                row("AUROC") { Self.number($0.auroc) },
                row("users with a fraud among the 100 of the day") { Self.share($0.cardPrecisionAt100) },
                row("amounts of frauds that are alerts") { Self.money($0.alertedFraudAmount) },
                row("the same less \(Self.money(comparison.alertCost)) an alert") {
                    Self.money(comparison.saved($0))
                },
            ])
    }

    private func groups(_ groups: [BacktestComparison.Group], _ name: String) -> ReportDocument.Block {
        .table(
            header: [name, "transactions", "frauds", "alerts before", "alerts after"],
            rows: groups.map {
                [
                    $0.name, "\($0.transactions)", "\($0.frauds)", "\($0.activeAlerts)",
                    "\($0.candidateAlerts)",
                ]
            })
    }

    private func changes(_ changes: [BacktestComparison.Change]) -> ReportDocument.Block {
        .table(
            header: ["transaction", "user", "amount", "time", "turned out", "severity", "because of"],
            rows: changes.map { change in
                [
                    change.transactionID ?? "no longer in the lake", change.userID, Self.money(change.amount),
                    EventTime.format(change.timeMilliseconds),
                    change.isFraud.map { $0 ? "fraud" : "genuine" } ?? "unknown",
                    Self.number(change.severity),
                    change.because.joined(separator: ", "),
                ]
            })
    }

    private static func money(_ amount: Double) -> String { String(format: "%.2f", amount) }
    private static func number(_ value: Double?) -> String { value.map { String(format: "%.4f", $0) } ?? "-" }
    private static func share(_ value: Double?) -> String {
        value.map { String(format: "%.1f %%", $0 * 100) } ?? "-"
    }
}
