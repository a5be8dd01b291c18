import ArgumentParser
import Foundation
import Lake
import Training

struct Backtest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Judge a stored global model on days of the lake, as it would have served them.",
        discussion: """
            Each transaction is scored from its user's window and the reference table of its hour, which knew the labels
            that were known then. Judged by the labels known at --as-of, all by default. With --against, or --html, beside
            another version: whom the alerts would fall on, and which transactions are new among them, or are none any more.

            EXAMPLE
              ml-service backtest v2 --lake demo/lake --from 2026-02-01 --to 2026-02-14
              ml-service backtest v2 --lake demo/lake --days 7 --alert-cost 5 --html backtest.html
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The version, 2 or v2.")
    var version: String

    @Option(help: "Where the lake is (lake.uri).")
    var lake: String?

    @Option(help: "Where the models are (store.uri).")
    var store: String?

    @Option(help: "First day, 2026-01-31.")
    var from: String?

    @Option(help: "Last day, included.")
    var to: String?

    @Option(help: "In place of --from and --to: the last days that the lake has, so many.")
    var days: Int?

    @Option(help: "Judge by the labels known at this moment, 2026-02-15 or 2026-02-15T06:00:00Z.")
    var asOf: String?

    @Option(help: "The version to compare with, 1 or v1; active: the one that serves.")
    var against: String?

    @Option(help: "What looking at an alert costs, in the amounts' unit.")
    var alertCost = 0.0

    @Option(help: "Write the comparison as a page for people; - for standard output.")
    var html: String?

    @Flag(help: "Print the figures as JSON.")
    var json = false

    func run() async throws {
        let settings = try await common.settings(["lake.uri": lake, "store.uri": store])
        let moment = try asOf.map { try parseMoment($0, option: "--as-of") }
        let number = try parseVersion(version)
        guard alertCost.isFinite, alertCost >= 0 else { throw UsageError("--alert-cost is 0 or more") }
        let other = try against.flatMap { $0 == "active" ? nil : try parseVersion($0) }
        let display = ProgressDisplay()
        let progress: @Sendable (Double) -> Void = { display.show(stage: "backtest", fraction: $0) }
        let parts = try Parts(settings)
        let pipeline = try parts.pipeline(lakeURI: nil)
        let (first, last) = try span(pipeline)
        guard against != nil || html != nil else {
            let report = try await blocking {
                try pipeline.backtest(
                    version: number, from: first, to: last, asOf: moment, progress: progress)
            }
            display.finish()
            return json ? try printJSON(report) : print(Self.text(report))
        }
        let cost = alertCost
        let comparison = try await blocking {
            _ = try parts.promotion.start(logger: parts.logger)
            return try pipeline.compare(
                candidate: number, active: other, from: first, to: last, asOf: moment, alertCost: cost,
                progress: progress)
        }
        display.finish()
        let page = BacktestPage(comparison).document
        if let html {
            guard html != "-" else { return print(page.html) }
            try Data(page.html.utf8).write(to: URL(filePath: html))
        }
        if json { return try printJSON(comparison) }
        print(page.markdown)
    }

    private func span(_ pipeline: TrainingPipeline) throws -> (LakeDay, LakeDay) {
        switch (from, to, days) {
        case (let from?, let to?, nil):
            let (first, last) = (try parseDay(from, option: "--from"), try parseDay(to, option: "--to"))
            guard first <= last else { throw UsageError("--from \(first) is after --to \(last)") }
            return (first, last)
        case (nil, nil, let days?):
            guard days > 0 else { throw UsageError("--days is 1 or more") }
            guard let last = try pipeline.lastDay() else {
                throw TrainingError.noData("the lake has no days: is it the one that is meant (--lake)?")
            }
            return (last.adding(days: 1 - days), last)
        default: throw UsageError("name the days: --from and --to, or --days")
        }
    }

    private static func text(_ report: BacktestReport) -> String {
        func text(_ value: Double?) -> String { value.map { String(format: "%.4f", $0) } ?? "-" }
        var lines = [
            "v\(report.version) (\(report.detector)), \(report.from) to \(report.to)",
            "  transactions \(report.transactions), frauds \(report.frauds), not labelled \(report.unlabelled)",
            "  alerts \(report.alerts), of them frauds \(text(report.alertPrecision)); of the frauds \(text(report.alertRecall))",
            "  AUROC \(text(report.auroc))",
            "  average precision \(text(report.averagePrecision))",
            "  card precision@100 \(text(report.cardPrecisionAt100))",
        ]
        for (name, deciles) in [
            ("number of transactions", report.falseAlertsByActivity),
            ("mean amount", report.falseAlertsByAmount),
        ] {
            guard let deciles else { continue }
            let shares = deciles.map { String(format: "%.2f", $0) }.joined(separator: " ")
            lines.append(
                "  false alerts of users' deciles by \(name), over their share of transactions: \(shares)")
        }
        if report.isTrainedOnThem {
            lines.append("  it was trained on some of these days: its figures are better than they will be")
        }
        lines += (report.notes ?? []).map { "  \($0)" }
        return lines.joined(separator: "\n")
    }
}

struct FeaturesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "features",
        abstract: "Write the features of the lake's transactions as training sees them, for other tools.",
        discussion: """
            One Parquet file: the numeric features, references among them, and is_fraud as known at --as-of.

            EXAMPLE
              ml-service features --lake demo/lake --from 2026-02-01 --to 2026-02-14 --output rows.parquet
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Where the lake is (lake.uri).")
    var lake: String?

    @Option(help: "First day, 2026-01-31.")
    var from: String

    @Option(help: "Last day, included.")
    var to: String

    @Option(help: "Labels known at this moment, 2026-02-15 or 2026-02-15T06:00:00Z; default: all.")
    var asOf: String?

    @Option(help: "The file to write.")
    var output: String

    func run() async throws {
        let settings = try await common.settings(["lake.uri": lake])
        let (first, last) = (try parseDay(from, option: "--from"), try parseDay(to, option: "--to"))
        guard first <= last else { throw UsageError("--from \(first) is after --to \(last)") }
        let moment = try asOf.map { try parseMoment($0, option: "--as-of") }
        let display = ProgressDisplay()
        let output = output
        let written = try await blocking {
            try Parts(settings).pipeline(lakeURI: nil).writeFeatures(
                from: first, to: last, asOf: moment, file: output,
                progress: { display.show(stage: "features", fraction: $0) })
        }
        display.finish()
        print("\(output): \(written.rows) rows")
        for note in written.notes { print("  \(note)") }
    }
}

func parseDay(_ text: String, option: String) throws -> LakeDay {
    guard let day = LakeDay(parsing: text) else {
        throw UsageError("\(option) is no day: '\(text)'; write 2026-01-31")
    }
    return day
}
