import ArgumentParser
import Foundation
import Management

struct APICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "api", abstract: "Print the documentation of the HTTP API, as in docs/api.md.",
        discussion: """
            EXAMPLE
              ml-service api > docs/api.md
            """)

    @Flag(help: "Print the list of metrics instead, as in docs/metrics.md.")
    var metrics = false

    func run() { print(metrics ? metricDocumentation() : apiDocumentation(), terminator: "") }
}

struct Keys: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make keys for the HTTP API.", subcommands: [Make.self])

    struct Make: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Make a key: it goes to standard error, its entry for the file (http.keys) to standard output.",
            discussion: """
                The file is {"keys": [ENTRY, ...]}. It holds hashes only, so the key is shown this once.

                EXAMPLE
                  ml-service keys make --name "risk desk" --scopes read,promote
                """)

        @Option(help: "Whose it is, for histories.")
        var name: String

        @Option(help: "What it allows: read, score, label, train, promote, erase, admin; comma-separated.")
        var scopes: String

        @Option(help: "Good for users whose ids begin so, and nobody else.")
        var tenantPrefix: String?

        @Option(help: "The first day on which it is no longer good, 2027-01-01.")
        var expires: String?

        func run() throws {
            let scopes = try scopes.split(separator: ",").map { try KeyFile.scope(String($0)) }
            try KeyFile.check(name: name, tenantPrefix: tenantPrefix, expires: expires)
            guard !scopes.isEmpty else { throw UsageError("--scopes names none") }
            let (key, entry) = KeyFile.make(
                name: name, scopes: scopes, tenantPrefix: tenantPrefix, expires: expires)
            FileHandle.standardError.write(Data("key of \(name), shown this once: \(key)\n".utf8))
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(entry), as: UTF8.self))
        }
    }
}

struct AuditLogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit-log", abstract: "What was changed over HTTP, by whom.", subcommands: [Verify.self]
    )

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Follow the chain of the audit log, and say whether a line was changed, taken out or put in.",
            discussion: """
                Lines that were cut off at the end are found with --expect, the hash that was told last time.
                Ends with 0, or with 65 and the first line that is wrong.

                EXAMPLE
                  ml-service audit-log verify --expect 60c1...
                """)

        @OptionGroup var common: CommonOptions

        @Option(help: "The file (http.auditlog).")
        var file: String?

        @Option(help: "A hash that must be in the chain.")
        var expect: String?

        func run() async throws {
            let settings = try await common.settings(["http.auditlog": file])
            let path = settings.optionalText("http.auditlog") ?? settings.dataPath("audit.log")
            let found = try AuditLog.verify(path, expecting: expect)
            print(
                "\(found.entries) entries, each follows the one before it; the last hash is \(found.hash ?? "none")"
            )
        }
    }
}
