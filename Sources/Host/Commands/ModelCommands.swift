import ArgumentParser
import Foundation
import Models

struct Models: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "List, show, promote, export, import and resign model versions; tell their history; clean up.",
        subcommands: [
            List.self, Show.self, Card.self, Promote.self, History.self, Export.self, Import.self,
            Cleanup.self, Resign.self,
        ],
        defaultSubcommand: List.self)

    struct Options: ParsableArguments {
        @OptionGroup var common: CommonOptions

        @Option(help: "A user's models in place of the global one's.")
        var user: String?

        @Option(help: "Where the models are (store.uri).")
        var store: String?

        var tenant: Tenant { user.map(Tenant.user) ?? .global }

        func settings() async throws -> Settings { try await common.settings(["store.uri": store]) }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List a tenant's versions, newest first.",
            discussion: """
                EXAMPLE
                  ml-service models list --user user-000001
                """)

        @OptionGroup var options: Options

        @Flag(help: "As JSON.")
        var json = false

        private struct Line: Encodable {
            let version: String
            let isActive: Bool
            var detector: String?
            var rows: Int?
            /// In words.
            var trainedOn: String?
            var accuracy: Double?
            /// Why nothing is known of it.
            var error: String?

            private enum CodingKeys: String, CodingKey {
                case version, detector, rows, trainedOn, accuracy, error
                case isActive = "active"
            }

            var cells: [String] {
                let mark = isActive ? "active" : ""
                if let error { return [version, mark, error, "", "", ""] }
                return [
                    version, mark, detector ?? "", rows.map(String.init) ?? "", trainedOn ?? "",
                    accuracy.map { String(format: "%.4f", $0) } ?? "-",
                ]
            }
        }

        func run() async throws {
            let (settings, tenant) = (try await options.settings(), options.tenant)
            let lines = try await blocking { () -> [Line] in
                let parts = try Parts(settings)
                let active = try parts.catalogue.active(tenant)
                return try parts.models.versions(of: tenant).reversed().map { version in
                    var line = Line(version: "v\(version)", isActive: version == active)
                    do {
                        guard let header = try parts.models.header(of: tenant, version: version) else {
                            line.error = "gone"
                            return line
                        }
                        line.detector = header.detectorID
                        line.rows = header.rowCount
                        line.trainedOn =
                            header.source.map { "imported: \($0.file)" }
                            ?? "\(header.trainingRange.from) to \(header.trainingRange.to)"
                        // JSON has no NaN.
                        line.accuracy = header.metrics["accuracy"].flatMap { $0.isFinite ? $0 : nil }
                    } catch {
                        line.error = "\(error)"
                    }
                    return line
                }
            }
            if json { return try printJSON(lines) }
            guard !lines.isEmpty else {
                let place = settings.optionalText("store.uri") ?? settings.dataPath("store")
                return print("\(tenant) has no models in \(place)")
            }
            print(
                textTable(
                    ["version", "", "detector", "rows", "trained on", "accuracy"], lines.map(\.cells)))
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what is known of a version, as JSON.",
            discussion: """
                EXAMPLE
                  ml-service models show v2
                """)

        @Argument(help: "3 or v3, champion, challenger or previous.")
        var version = "champion"

        @OptionGroup var options: Options

        func run() async throws {
            let (settings, tenant, name) = (
                try await options.settings(), options.tenant, try versionName(version)
            )
            let header = try await blocking {
                let parts = try Parts(settings)
                let version = try parts.promotion.version(named: name, of: tenant)
                guard let header = try parts.models.header(of: tenant, version: version) else {
                    throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                }
                return header
            }
            try printJSON(header)
        }
    }

    struct Promote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a version the active one; an older one rolls back.",
            discussion: """
                EXAMPLE
                  ml-service models promote v2 --user user-000001
                  ml-service models promote previous
                """)

        @Argument(help: "3 or v3; challenger: the newest; previous: the one that was active before.")
        var version: String

        @Option(help: "Why, for the history.")
        var reason = "by hand"

        @OptionGroup var options: Options

        func run() async throws {
            let (settings, tenant, name, reason) = (
                try await options.settings(), options.tenant, try versionName(version), reason
            )
            let (version, changes) = try await blocking {
                let parts = try Parts(settings)
                let version = try parts.promotion.version(named: name, of: tenant)
                let changes = try parts.promotion.promote(
                    [tenant: version], by: NSUserName(), reason: reason)
                return (version, changes)
            }
            guard let change = changes.first else { return print("\(tenant) v\(version) is active already") }
            print("\(tenant): v\(version) is active\(change.from.map { ", v\($0) was" } ?? "")")
        }
    }
}

/// A version as people name it.
func versionName(_ version: String) throws -> VersionName {
    guard let name = VersionName(parsing: version) else {
        throw UsageError("'\(version)' is no version; write 3 or v3, champion, challenger or previous")
    }
    return name
}

/// The number of a version as people write it.
func versionNumber(_ version: String) throws -> Int {
    guard let number = Int(version.hasPrefix("v") ? String(version.dropFirst()) : version), number > 0 else {
        throw UsageError("'\(version)' is no version; write 3 or v3")
    }
    return number
}
