import ArgumentParser
import Foundation
import Lake
import Training

struct Backtest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Judge a stored global model on days of the lake, as it would have served them.",
        discussion: """
            Each transaction is scored from its user's window and the reference table of its hour, which knew the labels
            that were known then. Judged by the labels known at --as-of, all by default.

            EXAMPLE
              ml-service backtest v2 --lake demo/lake --from 2026-02-01 --to 2026-02-14
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The version, 2 or v2.")
    var version: String

    @Option(help: "Where the lake is (lake.uri).")
    var lake: String?

    @Option(help: "Where the models are (store.uri).")
    var store: String?

    @Option(help: "First day, 2026-01-31.")
    var from: String

    @Option(help: "Last day, included.")
    var to: String

    @Option(help: "Judge by the labels known at this moment, 2026-02-15 or 2026-02-15T06:00:00Z.")
    var asOf: String?

    @Flag(help: "Print the figures as JSON.")
    var json = false

    func run() async throws {
        let settings = try await common.settings(["lake.uri": lake, "store.uri": store])
        let (first, last) = (try parseDay(from, option: "--from"), try parseDay(to, option: "--to"))
        guard first <= last else { throw UsageError("--from \(first) is after --to \(last)") }
        let moment = try asOf.map { try parseMoment($0, option: "--as-of") }
        let number = try parseVersion(version)
        let display = ProgressDisplay()
        let report = try await blocking {
            try Parts(settings).pipeline(lakeURI: nil).backtest(
                version: number, from: first, to: last, asOf: moment,
                progress: { display.show(stage: "backtest", fraction: $0) })
        }
        display.finish()
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            return print(String(decoding: try encoder.encode(report), as: UTF8.self))
        }
        func text(_ value: Double?) -> String { value.map { String(format: "%.4f", $0) } ?? "-" }
        print("v\(report.version) (\(report.detector)), \(first) to \(last)")
        print(
            "  transactions \(report.transactions), frauds \(report.frauds), not labelled \(report.unlabelled)"
        )
        print("  alerts \(report.alerts), of them frauds \(text(report.alertPrecision))")
        print("  AUROC \(text(report.auroc))")
        print("  average precision \(text(report.averagePrecision))")
        print("  card precision@100 \(text(report.cardPrecisionAt100))")
        for (name, deciles) in [
            ("number of transactions", report.falseAlertsByActivity),
            ("mean amount", report.falseAlertsByAmount),
        ] {
            guard let deciles else { continue }
            let shares = deciles.map { String(format: "%.2f", $0) }.joined(separator: " ")
            print("  false alerts of users' deciles by \(name), over their share of transactions: \(shares)")
        }
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
        let count = try await blocking {
            try Parts(settings).pipeline(lakeURI: nil).writeFeatures(
                from: first, to: last, asOf: moment, file: output,
                progress: { display.show(stage: "features", fraction: $0) })
        }
        display.finish()
        print("\(output): \(count) rows")
    }
}

func parseDay(_ text: String, option: String) throws -> LakeDay {
    guard let day = LakeDay(parsing: text) else {
        throw UsageError("\(option) is no day: '\(text)'; write 2026-01-31")
    }
    return day
}
