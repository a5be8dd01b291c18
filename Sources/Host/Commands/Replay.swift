import ArgumentParser
import Foundation
import Outcomes
import Serving

struct Replay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score a stream file with the active models: no network, the same bytes every time.",
        discussion: """
            Windows begin empty. Every verdict is written, normal ones too (--anomalies: only anomalies).

            EXAMPLE
              ml-service replay --stream demo/stream.jsonl --store demo/store --output verdicts.jsonl
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "JSONL file of transactions, or - for standard input.")
    var stream: String

    @Option(help: "Where the models are (store.uri).")
    var store: String?

    @Option(help: "Where verdicts go; - for standard output.")
    var output = "-"

    @Option(help: "The reference table to use, 17 or v17; default: the one that serves.")
    var reference: String?

    @Flag(help: "Write anomalies only.")
    var anomalies = false

    @Option(
        help: ArgumentHelp(
            "What the transactions are, as CSV with transaction_id and is_fraud: prints precision and recall.",
            valueName: "file"))
    var labels: String?

    func run() async throws {
        let settings = try await common.settings(["store.uri": store])
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "ml-service-replay-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let parts = try Parts(settings, cachePath: folder.appending(path: "models.sqlite").path)
        guard try parts.promotion.start(logger: parts.logger) else {
            throw UsageError("the models at \(store ?? settings.text("store.uri")) cannot be reached")
        }
        guard try parts.router.globalModel() != nil else { throw ServingError.noGlobalModel }
        let references = CurrentReferences(store: try Parts.referenceStore(settings), logger: parts.logger)
        if let version = try reference.map(parseVersion) ?? Parts.referenceStore(settings).latest() {
            try references.use(version)
        }
        var scoring = ScoringWorker.Settings()
        scoring.referenceAgeHours = settings.integer("references.age")
        scoring.publish = anomalies ? .anomalies : .all
        let files = FileTransactionStream.Settings(input: stream, verdicts: output)
        let status = ServingStatus()
        let tally = try labels.map { try LabelTally(path: $0) }
        // A failing stream ends a replay; only serving tries again.
        let opened = try FileTransactionStream(files)
        var quiet = parts.logger
        quiet.logLevel = max(quiet.logLevel, .warning)
        let worker = ScoringWorker(
            makeStream: { opened }, windows: MemoryWindowStore(), router: parts.router,
            references: references, settings: scoring, status: status, logger: quiet,
            onDelivered: { scored, _ in tally?.observe(scored) })
        try worker.runOnce()
        let totals = status.totals
        FileHandle.standardError.write(
            Data(
                "\(totals.transactions) transactions, \(totals.anomalies) anomalies, \(totals.deadLetters) rejected\n"
                    .utf8))
        if let tally { FileHandle.standardError.write(Data((tally.summary + "\n").utf8)) }
    }
}
