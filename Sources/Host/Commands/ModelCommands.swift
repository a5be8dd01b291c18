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

        func run() async throws {
            let (settings, tenant) = (try await options.settings(), options.tenant)
            let rows = try await blocking { () -> [[String]] in
                let parts = try Parts(settings)
                let active = try parts.catalogue.active(tenant)
                return try parts.models.versions(of: tenant).reversed().map { version in
                    let mark = version == active ? "active" : ""
                    do {
                        guard let header = try parts.models.header(of: tenant, version: version) else {
                            return ["v\(version)", mark, "gone", "", "", ""]
                        }
                        return [
                            "v\(version)", mark, header.detectorID, "\(header.rowCount)",
                            header.source.map { "imported: \($0.file)" }
                                ?? "\(header.trainingRange.from) to \(header.trainingRange.to)",
                            header.metrics["accuracy"].map { String(format: "%.4f", $0) } ?? "-",
                        ]
                    } catch {
                        return ["v\(version)", mark, "\(error)", "", "", ""]
                    }
                }
            }
            guard !rows.isEmpty else { return print("\(tenant) has no models") }
            print(textTable(["version", "", "detector", "rows", "trained on", "accuracy"], rows))
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
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            encoder.nonConformingFloatEncodingStrategy = .convertToString(
                positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
            print(String(decoding: try encoder.encode(header), as: UTF8.self))
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
