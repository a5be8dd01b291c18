import ArgumentParser
import Features
import Foundation
import Serving
import Training
import Transactions

struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Make a verdict again from its transactions and its model, and say whether it is the same.",
        discussion: """
            The model is fetched by the SHA-256 that the verdict names; the user's transactions come from the stream
            file, or from the lake. In the lake they lie by time: a verdict on one that came before an earlier one
            (late) may differ. Ends with 0 and REPRODUCED, or with 1 and the first difference.

            EXAMPLE
              ml-service audit --verdict verdict.json --stream demo/stream.jsonl --store demo/store
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "File with the verdict's JSON, or - for standard input.")
    var verdict: String

    @Option(help: "JSONL file of the stream's transactions.")
    var stream: String?

    @Option(help: "Where the lake is (lake.uri), when there is no stream file.")
    var lake: String?

    @Option(help: "Where the models are (store.uri).")
    var store: String?

    func run() async throws {
        let settings = try await common.settings(["store.uri": store, "lake.uri": lake])
        let bytes =
            verdict == "-"
            ? FileHandle.standardInput.readDataToEndOfFile() : try Data(contentsOf: URL(filePath: verdict))
        let recorded = try RecordedVerdict(json: bytes.filter { $0 != 0x0A && $0 != 0x0D })
        let stream = stream
        let outcome = try await blocking { () -> Result in
            var result = Result.missing
            try ReplaySession.with(settings) { session in
                let input = try stream ?? Self.transactions(of: recorded, settings, session)
                result = try Self.audit(recorded, input: input, session)
            }
            return result
        }
        switch outcome {
        case .reproduced:
            print("REPRODUCED \(recorded.transactionID) of \(recorded.userID), model \(recorded.sha256)")
        case .differs(let difference):
            print("DIFFERS \(recorded.transactionID) of \(recorded.userID): \(difference)")
            throw ExitCode(1)
        case .missing:
            throw RecordedTransactionMissing(
                description:
                    "the transaction \(recorded.transactionID) of \(recorded.userID) is not in \(stream ?? "the lake")"
            )
        }
    }

    private enum Result: Sendable {
        case reproduced
        case differs(String)
        case missing
    }

    private static func audit(
        _ recorded: RecordedVerdict, input: String, _ session: ReplaySession
    ) throws -> Result {
        var files = FileTransactionStream.Settings(input: input, verdicts: "/dev/null")
        files.skewMilliseconds = session.scoring.windows.skewMilliseconds
        let opened = try FileTransactionStream(files)
        defer { opened.close() }
        let outcome = try session.verdictReplay.run(opened, RecordedVerdicts([recorded]))
        if let difference = outcome.firstDifference {
            return .differs("\(VerdictDifference(difference.recorded, difference.recomputed))")
        }
        return outcome.recomputed == 0 ? .missing : .reproduced
    }

    /// Writes the user's transactions from the lake to a file, in the order of their times.
    private static func transactions(
        of recorded: RecordedVerdict, _ settings: Settings, _ session: ReplaySession
    ) throws -> String {
        let uri = settings.optionalText("lake.uri") ?? settings.dataPath("lake")
        guard let end = recorded.eventMilliseconds else {
            throw RecordedTransactionMissing(description: "the verdict has no event_time")
        }
        // A window holds nothing older, but for the time of the last event of somebody who was away for longer.
        let start = end - 2 * UserWindow.reachMilliseconds
        let found = try LakeTransactions(lake: try Parts.objectStore(uri, settings)).of(
            user: recorded.userID, from: start, through: end)
        let path = session.folder.appending(path: "transactions.jsonl").path
        let text = found.map { $0.json() + "\n" }.joined()
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }
}

/// What an audit cannot do without.
struct RecordedTransactionMissing: Error, CustomStringConvertible {
    let description: String
}
