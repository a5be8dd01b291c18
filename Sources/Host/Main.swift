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
            try checkOutput()
        } catch {
            guard let status = ExitStatus(error) else { exit(withError: error) }
            let text = LocalStateError(error)?.description ?? fileProblem(error) ?? "\(error)"
            FileHandle.standardError.write(Data("ml-service: \(printable(text))\n".utf8))
            Glibc.exit(status.rawValue)
        }
    }

    /// A listing that a full disk has cut off is no listing. `print` says nothing of it.
    private static func checkOutput() throws {
        guard fflush(nil) != 0 else { return }
        // Somebody has seen enough: `ml-service models list | head -1`.
        var output = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
        if poll(&output, 1, 0) > 0, output.revents & Int16(POLLERR) != 0 { return }
        throw OutputError()
    }

    private struct OutputError: Error, CustomStringConvertible {
        let description = "standard output could not be written to its end: is its disk full?"
    }

    /// What Foundation says of a file that cannot be written or read; in its own words that is a page. nil: it says nothing.
    static func fileProblem(_ error: any Error) -> String? {
        let error = error as NSError
        guard error.domain == NSCocoaErrorDomain,
            let path = error.userInfo[NSFilePathErrorKey] as? String
        else { return nil }
        let cause = error.userInfo[NSUnderlyingErrorKey] as? NSError
        guard let cause, cause.domain == NSPOSIXErrorDomain else {
            return "\(path): \(error.localizedDescription)"
        }
        return "\(path): \(String(cString: strerror(CInt(truncatingIfNeeded: cause.code))))"
    }
}

enum Version {
    static let current = "0.1.0"

    /// The kernels that forests and boosted trees run on here; `detectors list` says it of each.
    static var vectorUnit: String { String(cString: VectorUnit.inUse.cName) }
}
