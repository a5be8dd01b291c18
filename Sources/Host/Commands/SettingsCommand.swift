import ArgumentParser
import Foundation

struct SettingsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings",
        abstract:
            "List every setting: its name in the file and the environment, its value now, and its meaning.",
        discussion: """
            EXAMPLE
              ML_SERVICE_HTTP_PORT=9000 ml-service settings
              ml-service settings --config service.json --json
              ml-service settings --markdown > docs/configuration.md
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "As JSON; the values of secrets are not shown here either.")
    var json = false

    @Flag(help: "As docs/configuration.md: kinds and defaults of all settings, whatever is configured here.")
    var markdown = false

    private struct Line: Encodable {
        let name: String
        let environment: String
        let value: String
        let meaning: String
        let kind: String
    }

    func validate() throws {
        if json, markdown { throw ValidationError("--json and --markdown exclude each other") }
    }

    func run() async throws {
        if markdown { return print(Setting.documentation(), terminator: "") }
        let settings = try await common.settings()
        if json {
            return try printJSON(
                settings.described.map { setting, value in
                    Line(
                        name: setting.key, environment: setting.environmentName, value: value,
                        meaning: setting.meaning, kind: setting.kind.words)
                })
        }
        for (setting, value) in settings.described {
            print("\(setting.key) = \(value.isEmpty ? "(none)" : value)")
            print("    \(setting.environmentName): \(setting.meaning) (\(setting.kind.words))")
        }
    }
}

/// Options that every command takes.
struct CommonOptions: ParsableArguments {
    @Option(name: .long, help: "Configuration file, JSON; ML_SERVICE_CONFIG names one as well.")
    var config: String?

    @Option(name: .long, help: "Directory of local state (data.directory).")
    var data: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Any setting, http.port=9000 say; a secret by its file, admin.key_file=PATH; may be repeated.",
            valueName: "name=value"))
    var assignments: [String] = []

    /// The settings in force, with a command's own flags on top.
    func settings(
        _ flags: [String: String?] = [:], environment: [String: String] = ProcessInfo.processInfo.environment
    ) async throws -> Settings {
        var given: [String: String] = [:]
        for assignment in assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw UsageError("--set takes name=value, not '\(assignment)'") }
            guard Setting.named(String(parts[0])) != nil else {
                throw UsageError("there is no setting \(parts[0]); `ml-service settings` lists them")
            }
            given[String(parts[0])] = String(parts[1])
        }
        given["data.directory"] = data ?? given["data.directory"]
        for (key, value) in flags { given[key] = value ?? given[key] }
        return try await Settings.load(file: config, flags: given, environment: environment)
    }
}
