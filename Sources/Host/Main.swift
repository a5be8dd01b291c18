import ArgumentParser
import CForestKernels
import Foundation
import Glibc
import Models

/// The executable: commands, configuration and wiring. No logic of its own.
@main
struct MLService: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ml-service",
        abstract: "Finds anomalies in streams of financial transactions, with a model for everybody.",
        discussion: """
            EXAMPLE
              ml-service generate --users 200 --days 60 --output demo
              ml-service train --lake demo/lake --from 2026-01-01 --to 2026-02-15 --promote
              ml-service serve --stream demo/stream.jsonl

            Settings come from the defaults, a configuration file, ML_SERVICE_* and flags, in that order:
            `ml-service settings` lists them. Exit codes: 0 done, 1 failed, 64 wrong usage, 65 bad data,
            69 a service is away.
            """,
        version: "ml-service \(Version.current), scoring on \(Version.vectorUnit)",
        subcommands: [
            Serve.self, Replay.self, Train.self, ETL.self, Models.self, Detectors.self, Evaluate.self,
            Backtest.self, References.self, RulesCommand.self, FeaturesCommand.self, Generate.self,
            SettingsCommand.self,
            Doctor.self, APICommand.self, Keys.self, Windows.self, Audit.self, AuditLogCommand.self,
            Prove.self,
        ])

    static func main() async {
        // A peer that goes away is an error of the call that writes to it, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            guard let status = ExitStatus(error) else { exit(withError: error) }
            let text = LocalStateError(error)?.description ?? "\(error)"
            FileHandle.standardError.write(Data("ml-service: \(printable(text))\n".utf8))
            Glibc.exit(status.rawValue)
        }
    }
}

enum Version {
    static let current = "0.1.0"

    /// The kernels that forests and boosted trees run on here; `detectors list` says it of each.
    static var vectorUnit: String { String(cString: VectorUnit.inUse.cName) }
}
