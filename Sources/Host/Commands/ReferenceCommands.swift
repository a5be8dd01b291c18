import ArgumentParser
import Foundation
import Lake
import Outcomes
import Transactions

struct References: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Build, list and choose reference tables: what labels say of merchants, devices and countries.",
        subcommands: [Refresh.self, List.self, Use.self], defaultSubcommand: List.self)

    struct Options: ParsableArguments {
        @OptionGroup var common: CommonOptions

        @Option(help: "Where the tables are (store.uri).")
        var store: String?

        func settings(_ flags: [String: String?] = [:]) async throws -> Settings {
            try await common.settings(flags.merging(["store.uri": store]) { $1 })
        }
    }

    struct Refresh: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Build the table of a moment from the lake, and make it serve.",
            discussion: """
                Knows the transactions and labels of the hours before that moment, and nothing later. Goes on from what was
                built before, as far back as the lake is unchanged; --full begins at its first day, and gives the same
                table.

                EXAMPLE
                  ml-service references refresh --lake demo/lake --as-of 2026-02-15T06:00:00Z
                """)

        @OptionGroup var options: Options

        @Option(help: "Where the lake is (lake.uri).")
        var lake: String?

        @Option(help: "A file of the lake that cannot be read: fail, or skip and name it (lake.onbadfile).")
        var onBadFile: BadFiles?

        @Option(help: "The moment, 2026-02-15 or 2026-02-15T06:00:00Z; default: now.")
        var asOf: String?

        @Flag(help: "Begin at the lake's first day.")
        var full = false

        @Flag(help: "Print what was built as JSON.")
        var json = false

        func run() async throws {
            let settings = try await options.settings([
                "lake.uri": lake, "lake.onbadfile": onBadFile?.rawValue,
            ])
            let now = Int64(Date().timeIntervalSince1970 * 1_000)
            let moment = try asOf.map { try parsePastMoment($0, option: "--as-of", now: now) } ?? now
            let display = ProgressDisplay()
            let isFull = full
            let summary = try await blocking {
                try Parts.referenceRefresh(settings).run(
                    asOf: moment, isFull: isFull,
                    progress: { display.show(stage: "references", fraction: $0) })
            }
            display.finish()
            if json {
                return try printJSON(summary)
            }
            print(
                "v\(summary.version) as of \(EventTime.format(summary.asOfMilliseconds)): \(summary.entries) entries, "
                    + "\(summary.frauds) labelled frauds, \(summary.days) days read"
                    + (summary.waiting > 0 ? "; \(summary.waiting) labels wait for their transaction" : ""))
            for reason in summary.skipped { print("left out: \(reason)") }
            for line in summary.passedOver { print(line) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the tables, newest first.",
            discussion: """
                EXAMPLE
                  ml-service references list
                """)

        @OptionGroup var options: Options

        @Flag(help: "As JSON.")
        var json = false

        private struct Line: Encodable {
            let version: String
            let serves: Bool
            var asOf: String?
            var entries: Int?
            var frauds: Int?
            var sha256: String?
            /// Why it cannot be read.
            var error: String?

            var cells: [String] {
                let mark = serves ? "serves" : ""
                if let error { return [version, mark, error, "", "", ""] }
                return [
                    version, mark, asOf ?? "", entries.map(String.init) ?? "",
                    frauds.map(String.init) ?? "", String((sha256 ?? "").prefix(12)),
                ]
            }
        }

        func run() async throws {
            let settings = try await options.settings()
            let lines = try await blocking { () -> [Line] in
                let store = try Parts.referenceStore(settings)
                let serving = try store.latest()
                return try store.versions().reversed().map { version in
                    var line = Line(version: "v\(version)", serves: version == serving)
                    do {
                        let ready = try store.load(version)
                        line.asOf = EventTime.format(ready.table.step * 3_600_000)
                        line.entries = ready.table.count
                        line.frauds = Int(clamping: ready.table.fraudCount)
                        line.sha256 = ready.sha256
                    } catch {
                        line.error = "\(error)"
                    }
                    return line
                }
            }
            if json { return try printJSON(lines) }
            guard !lines.isEmpty else {
                return print("there are no reference tables; references refresh builds one")
            }
            print(
                textTable(["version", "", "as of", "entries", "frauds", "sha256"], lines.map(\.cells)))
        }
    }

    struct Use: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a table serve, an earlier one say.",
            discussion: """
                EXAMPLE
                  ml-service references use v16
                """)

        @OptionGroup var options: Options

        @Argument(help: "The version, 16 or v16.")
        var version: String

        func run() async throws {
            let settings = try await options.settings()
            let number = try parseVersion(version)
            try await blocking { try Parts.referenceStore(settings).use(number) }
            print("v\(number) serves")
        }
    }
}

/// `2026-02-15`, its first moment, or `2026-02-15T06:00:00Z`.
func parseMoment(_ text: String, option: String) throws -> Int64 {
    guard let moment = EventTime.parse(text) ?? EventTime.parse(text + "T00:00:00Z") else {
        throw UsageError("\(option) is no moment: '\(text)'; write 2026-01-31 or 2026-01-31T12:00:00Z")
    }
    return moment
}

/// The same of a moment that is over: of a later one nothing is known yet. Clocks may differ by five minutes.
func parsePastMoment(_ text: String, option: String, now: Int64) throws -> Int64 {
    let moment = try parseMoment(text, option: option)
    guard moment <= now + 5 * 60_000 else {
        throw UsageError(
            "\(option) is in the future: '\(text)'; write a moment that is over, or leave it out for now")
    }
    return moment
}

/// `16` or `v16`.
func parseVersion(_ text: String) throws -> Int {
    guard let version = Int(text.hasPrefix("v") ? String(text.dropFirst()) : text), version > 0 else {
        throw UsageError("'\(text)' is no version; write 16 or v16")
    }
    return version
}
