import ArgumentParser
import Foundation
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

    @Flag(help: "Write anomalies only.")
    var anomalies = false

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
        var scoring = ScoringWorker.Settings()
        scoring.publish = anomalies ? .anomalies : .all
        scoring.windows = Streams.windowStage(settings)
        scoring.limits.records = settings.integer("batch.records")
        var files = FileTransactionStream.Settings(input: stream, verdicts: output)
        files.skewMilliseconds = scoring.windows.skewMilliseconds
        let status = ServingStatus()
        // A failing stream ends a replay; only serving tries again.
        let opened = try FileTransactionStream(files)
        var quiet = parts.logger
        quiet.logLevel = max(quiet.logLevel, .warning)
        let worker = ScoringWorker(
            makeStream: { opened }, windows: MemoryWindowStore(), router: parts.router, settings: scoring,
            status: status, logger: quiet)
        try worker.runOnce()
        let totals = status.totals
        FileHandle.standardError.write(
            Data(
                "\(totals.transactions) transactions, \(totals.anomalies) anomalies, \(totals.deadLetters) rejected\n"
                    .utf8))
    }
}
