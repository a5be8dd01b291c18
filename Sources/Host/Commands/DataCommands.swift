import ArgumentParser
import Foundation
import Lake
import Training
import Transactions

struct ETL: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "etl",
        abstract: "Bring raw CSV, JSON and JSONL files into the lake.",
        discussion: """
            Reads raw/ below --raw, also .gz and .zst of these, writes processed/yyyy/mm/dd/ below --lake, and rows that are no transactions to
            rejected/. It may be run again: no row comes twice. raw/labels/ holds labels: transaction_id, label (fraud,
            genuine), known_at, source.

            EXAMPLE
              ml-service etl --raw demo --lake demo/lake
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "A directory or s3://bucket/prefix with a folder raw/.")
    var raw: String

    @Option(help: "Where the lake is (lake.uri).")
    var lake: String?

    @Option(help: "A file that cannot be read: fail, or skip and name it (lake.onbadfile).")
    var onBadFile: BadFiles?

    @Option(
        help: ArgumentHelp(
            "How many days after a transaction its own is_fraud became known; default: with it.",
            valueName: "days"))
    var labelDelay: Double?

    func run() async throws {
        let delay = try labelDelay.map { days -> Int64 in
            guard (0...3_660).contains(days) else { throw UsageError("--label-delay is from 0 to 3660 days") }
            return Int64(days * 86_400_000)
        }
        let settings = try await common.settings(["lake.uri": lake, "lake.onbadfile": onBadFile?.rawValue])
        let display = ProgressDisplay()
        let raw = raw
        var limits = Training.ETL.Limits()
        limits.zone = try settings.zone()
        limits.badFiles = settings.badFiles()
        let chosen = limits
        let result = try await blocking {
            let lakeURI = settings.optionalText("lake.uri") ?? settings.dataPath("lake")
            return try Training.ETL(
                raw: try Parts.objectStore(raw, settings), lake: try Parts.objectStore(lakeURI, settings),
                limits: chosen, labelDelay: delay
            ).run { display.show(stage: $0, fraction: $1) }
        }
        display.finish()
        guard result.sources > 0 else {
            throw TrainingError.noData(
                "there is nothing under \(raw)/raw/ (--raw names the folder or bucket that holds raw/)")
        }
        print(Self.counted(result))
        func show(_ keys: [String], _ what: String) {
            guard !keys.isEmpty else { return }
            print("\(what): \(keys.prefix(5).joined(separator: ", "))\(keys.count > 5 ? ", ..." : "")")
        }
        show(result.passedOver, "\(result.passedOver.count) passed over, hidden by their names or empty")
        show(result.skipped, "\(result.skipped.count) files left out, as they cannot be read")
        show(result.refused, "\(result.refused.count) of them without any transaction or label")
        show(
            result.kept,
            "\(result.kept.count) files of earlier runs stay, as their sources have rows that cannot be read, or none"
        )
        if let first = result.firstConflicting {
            print(
                "\(result.conflicting) rows have the transaction_id of another transaction of their day: they are in "
                    + "rejected/repeated-ids.jsonl; the first: \(first)")
        }
    }

    /// What was read, in a line.
    static func counted(_ result: Training.ETL.Result) -> String {
        // Repeated in the sources, or in the lake before: nobody counts these apart.
        "\(result.sources) files: \(result.transactions) transactions, \(result.duplicates) repeated, "
            + "\(result.rejected) rejected" + (result.labels > 0 ? ", \(result.labels) labels" : "")
    }
}

struct Generate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make labelled transactions: a lake and a stream.",
        discussion: """
            The lake holds the first three quarters of the days, the stream the rest. The same options give the same
            files.

            EXAMPLE
              ml-service generate --users 200 --days 60 --seed 1 --output demo
            """)

    @Option(help: "How many users.")
    var users: Int

    @Option(help: "How many days.")
    var days: Int

    @Option(help: "Seed of all randomness.")
    var seed: UInt64 = 0

    @Option(help: "Folder to write into.")
    var output: String

    @Option(help: "First day.")
    var start = "2026-01-01"

    @Option(help: "Days of the stream; default: a quarter.")
    var streamDays: Int?

    @Option(help: "Share of the stream's records that come late.")
    var late = 0.0

    @Option(help: "Share of further lines in the stream that are no transactions.")
    var malformed = 0.0

    @Option(help: "Merchants at a time that work with thieves: ordinary payments that only labels tell.")
    var mules = 0

    @Option(
        help: ArgumentHelp(
            "About so many days after a fraud somebody complains: labels are in labels.jsonl, none in the lake.",
            valueName: "days"))
    var labelDelay: Double?

    func validate() throws {
        guard (0...1_000).contains(mules) else { throw ValidationError("--mules must be from 0 to 1,000") }
        guard (0...365).contains(labelDelay ?? 0) else {
            throw ValidationError("--label-delay must be from 0 to 365 days")
        }
        guard (1...10_000_000).contains(users) else {
            throw ValidationError("--users must be from 1 to 10,000,000")
        }
        guard (1...10_000).contains(days) else { throw ValidationError("--days must be from 1 to 10,000") }
        guard (0...1).contains(late), (0...1).contains(malformed) else {
            throw ValidationError("--late and --malformed are shares, from 0 to 1")
        }
        guard (0...days).contains(streamDays ?? 0) else {
            throw ValidationError("--stream-days must be from 0 to the number of days")
        }
    }

    func run() async throws {
        guard let first = LakeDay(parsing: start) else {
            throw UsageError("--start is no day: '\(start)'; write 2026-01-31")
        }
        let end = first.adding(days: days)
        guard
            EventTime.acceptedMilliseconds.contains(first.startMilliseconds),
            EventTime.acceptedMilliseconds.contains(end.startMilliseconds)
        else {
            throw UsageError("--start \(first): transactions are from 1971 to 2199, and these end on \(end)")
        }
        var data = GenerateDataSet(
            users: users, days: days, seed: seed, start: first, streamDays: streamDays ?? days / 4)
        data.lateShare = late
        data.malformedShare = malformed
        data.mules = mules
        data.labelDelayDays = labelDelay
        let display = ProgressDisplay()
        let (set, folder) = (data, output)
        let result = try await blocking {
            try set.write(to: folder) { display.show(stage: "generate", fraction: $0) }
        }
        display.finish()
        print(
            "\(folder)/lake: \(result.lakeTransactions) transactions\(result.lakeDays.map { ", \($0.lowerBound) to \($0.upperBound)" } ?? "")"
        )
        print("\(folder)/stream.jsonl: \(result.streamRecords) records; \(result.frauds) frauds in all")
    }
}
