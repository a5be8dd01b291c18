import ArgumentParser
import Exact
import Foundation
import Rules

struct RulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules",
        abstract: "List and import rules: which alerts are suppressed, snoozed, or always given.",
        subcommands: [List.self, Import.self], defaultSubcommand: List.self)

    struct Options: ParsableArguments {
        @OptionGroup var common: CommonOptions

        @Option(help: "Where the rules are (store.uri).")
        var store: String?

        func settings() async throws -> Settings { try await common.settings(["store.uri": store]) }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the rules that serve, or those of a version.",
            discussion: """
                With --json: what `rules import` takes.

                EXAMPLE
                  ml-service rules list --json > rules.json
                """)

        @OptionGroup var options: Options

        @Argument(help: "The version, 3 or v3; default: the one that serves.")
        var version: String?

        @Flag(help: "Print them as JSON.")
        var json = false

        func run() async throws {
            let settings = try await options.settings()
            let number = try version.map(parseVersion)
            let set = try await blocking {
                let store = try Parts.ruleStore(settings)
                return try store.load(try number ?? store.newest())
            }
            if json { return print(String(decoding: Self.json(set), as: UTF8.self)) }
            guard !set.rules.isEmpty else { return print("there are no rules") }
            print("v\(set.version) \(set.sha256 ?? "")")
            print(
                textTable(
                    ["id", "action", "of", "until", "published", "by", "reason"], set.rules.map(Self.row)))
        }

        private static func row(_ rule: Rule) -> [String] {
            let conditions = rule.conditions
            let parts = [
                conditions.userID.map { "user \($0)" }, conditions.merchantID.map { "merchant \($0)" },
                conditions.category.map { "category \($0)" }, conditions.amountFrom.map { "amount >= \($0)" },
                conditions.amountTo.map { "amount <= \($0)" },
            ]
            return [
                rule.id, rule.action.rawValue, parts.compactMap { $0 }.joined(separator: ", "),
                rule.expiresMilliseconds.map(TimeText.text) ?? "-", rule.isPublished ? "yes" : "no",
                rule.author, rule.reason,
            ]
        }

        /// A rule a line, so that a change is a line of a diff.
        private static func json(_ set: RuleSet) -> [UInt8] {
            var bytes = Array("{\"version\":\(set.version),\"rules\":[".utf8)
            for (place, rule) in set.rules.enumerated() {
                bytes += (place == 0 ? "\n" : ",\n").utf8
                bytes += rule.json
            }
            return bytes + "\n]}".utf8
        }
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the rules those of a file: for rules that are kept in git.",
            discussion: """
                The file is an array of rules, or an object with `rules`; docs/rules.md says what a rule may have. Rules that
                the file lacks are removed. One that says what it said keeps its author and its time. Nothing changes where
                all say what they said.

                EXAMPLE
                  ml-service rules import rules.json --author release-42
                """)

        @OptionGroup var options: Options

        @Argument(help: "The file, or - for standard input.")
        var file: String

        @Option(help: "Author of rules that do not say theirs, and of the change.")
        var author = ProcessInfo.processInfo.environment["USER"] ?? "import"

        func run() async throws {
            let settings = try await options.settings()
            let data = try InputFile.read(file)
            guard (1...100).contains(author.utf8.count) else {
                throw UsageError("--author has 1 to 100 bytes")
            }
            let now = Int64(Date().timeIntervalSince1970 * 1_000)
            let rules = try RuleParser(author: author, now: now).rules([UInt8](data))
            let author = author
            let change = try await blocking {
                try Parts.ruleStore(settings).replace(rules, by: author, now: now)
            }
            let count = change.after.rules.count
            print(
                change.isChange
                    ? "v\(change.after.version) serves: \(count) rules, in place of v\(change.before)"
                    : "v\(change.after.version) serves already: \(count) rules")
        }
    }
}
