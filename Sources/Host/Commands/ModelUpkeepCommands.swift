import ArgumentParser
import Foundation
import Models

extension Models {
    struct History: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Which version was made active when, by whom and why, oldest first.",
            discussion: """
                EXAMPLE
                  ml-service models history --user user-000001
                """)

        @OptionGroup var options: Options

        @Flag(help: "As JSON, with the gate's table.")
        var json = false

        func run() async throws {
            let (settings, tenant) = (try await options.settings(), options.tenant)
            let changes = try await blocking { try Parts(settings).catalogue.changes(of: tenant) }
            if json {
                return try printJSON(changes)
            }
            guard !changes.isEmpty else { return print("nothing was ever active for \(tenant)") }
            func version(_ number: Int?) -> String { number.map { "v\($0)" } ?? "none" }
            let rows = changes.map { change -> [String] in
                let time = Date(timeIntervalSince1970: Double(change.timeMilliseconds) / 1_000)
                let failed = change.gate?.filter { !$0.isPassed }.map(\.name) ?? []
                return [
                    time.ISO8601Format(), version(change.from), version(change.to), change.by,
                    change.gate == nil
                        ? "" : failed.isEmpty ? "passed" : "not \(failed.joined(separator: ", "))",
                    change.reason,
                ]
            }
            print(textTable(["when", "from", "to", "by", "gate", "why"], rows))
        }
    }

    struct Card: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What a version is, for somebody who has to answer for it, as Markdown.",
            discussion: """
                EXAMPLE
                  ml-service models card champion --html > card.html
                """)

        @Argument(help: "3 or v3, champion, challenger or previous.")
        var version = "champion"

        @Flag(help: "As a page for a browser.")
        var html = false

        @OptionGroup var options: Options

        func run() async throws {
            let (settings, tenant, name) = (
                try await options.settings(), options.tenant, try versionName(version)
            )
            let card = try await blocking {
                let promotion = try Parts(settings).promotion
                let version = try promotion.version(named: name, of: tenant)
                guard let card = try promotion.card(of: tenant, version: version) else {
                    throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                }
                return card
            }
            print(html ? card.html : card.markdown)
        }
    }

    struct Cleanup: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "gc",
            abstract: "Find packs of users' models that nobody needs any more; with --remove, remove them.",
            discussion: """
                A pack stays while one of its models is active, would be by a roll-back, or was active within the days
                that are kept, and while it is younger than that.

                EXAMPLE
                  ml-service models gc --keep-days 90
                  ml-service models gc --keep-days 90 --remove
                """)

        @OptionGroup var common: CommonOptions

        @Option(help: "Where the models are (store.uri).")
        var store: String?

        @Option(help: "As long as verdicts are kept: what was active since stays. 1 to 36500.")
        var keepDays = 90

        @Flag(help: "Remove them; without it they are only listed.")
        var remove = false

        @Flag(help: "As JSON.")
        var json = false

        private struct Line: Encodable {
            let key: String
            let sizeBytes: Int
            let createdMs: Int64
        }

        func validate() throws {
            guard (1...36_500).contains(keepDays) else {
                throw ValidationError("--keep-days is 1 to 36500, not \(keepDays)")
            }
        }

        func run() async throws {
            let settings = try await common.settings(["store.uri": store])
            let moment = Int64(Date().timeIntervalSince1970 * 1_000) - Int64(keepDays) * 86_400_000
            let remove = remove
            let unneeded = try await blocking {
                let parts = try Parts(settings)
                let cleanup = PackCleanup(store: parts.models, catalogue: parts.catalogue)
                let unneeded = try cleanup.unneeded(since: moment)
                if remove { try cleanup.remove(unneeded) }
                return unneeded
            }
            if json {
                return try printJSON(
                    unneeded.map {
                        Line(key: $0.key, sizeBytes: $0.sizeBytes, createdMs: $0.createdMilliseconds)
                    })
            }
            for pack in unneeded { print("\(pack.key)  \(pack.sizeBytes) bytes") }
            let size = unneeded.reduce(0) { $0 + $1.sizeBytes }
            print(
                "\(unneeded.count) packs, \(size) bytes, "
                    + (remove ? "removed" : "not needed; --remove removes them"))
        }
    }
}
