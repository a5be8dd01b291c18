import ArgumentParser
import Foundation
import Serving

struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Make a verdict again from its transactions and its model, and say whether it is the same.",
        discussion: """
            Model and reference table are fetched as the verdict names them; the user's transactions come from the stream
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
        let recorded = try RecordedVerdict(
            json: InputFile.read(verdict).filter { $0 != 0x0A && $0 != 0x0D },
            name: verdict == "-" ? "standard input" : verdict)
        let stream = stream
        let outcome = try await blocking {
            try AuditSession.run(recorded, stream: stream, settings, isCommand: true)
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
}
