import ArgumentParser
import Foundation
import Logging
import Models
import Outcomes
import Rules
import Serving
import Synchronization

struct Replay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score a stream file with the active models: no network, the same bytes every time.",
        discussion: """
            Windows begin as those of serve do: with what the lake has of the days before the stream's first where
            lake.uri names one (windows.warm), and otherwise empty. Every verdict is written, normal ones too
            (--anomalies: only anomalies), but for those that a rule keeps back. With --verdicts each verdict of that
            file is made again by the model, the reference table and the rules that it names, whatever is active now.

            EXAMPLE
              ml-service replay --stream demo/stream.jsonl --store demo/store --output verdicts.jsonl
              ml-service replay --stream day.jsonl --store demo/store --verdicts published.jsonl --output again.jsonl
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

    @Option(help: "The rules to use, 3 or v3, or none; default: those that serve.")
    var rules: String?

    @Flag(help: "Write anomalies only.")
    var anomalies = false

    @Option(
        help: ArgumentHelp(
            "What the transactions are, as CSV with transaction_id and is_fraud: prints precision and recall.",
            valueName: "file"))
    var labels: String?
    @Option(help: "JSONL file of verdicts to make again, each by its own model version.")
    var verdicts: String?

    func run() async throws {
        let settings = try await common.settings(["store.uri": store])
        try ReplaySession.with(settings) { session in
            var files = FileTransactionStream.Settings(input: stream, verdicts: output)
            files.skewMilliseconds = session.scoring.windows.skewMilliseconds
            files.zone = session.scoring.zone
            files.isOverwriting = true
            // A failing stream ends a replay; only serving tries again.
            let opened = try FileTransactionStream(files)
            if let verdicts {
                try again(opened, try RecordedVerdicts(InputFile.read(verdicts), name: verdicts), session)
            } else {
                try replay(opened, session)
            }
        }
    }

    private func replay(_ opened: FileTransactionStream, _ session: ReplaySession) throws {
        let router = session.parts.router
        guard try router.globalModel() != nil else { throw ServingError(noGlobalModelIn: router) }
        var scoring = session.scoring
        scoring.publish = anomalies ? .anomalies : .all
        scoring.history = Windows.history(session.parts.settings, logger: session.logger)
        let status = ServingStatus()
        let tally = try labels.map { try LabelTally(path: $0) }
        let settings = session.parts.settings
        let store = try Parts.referenceStore(settings)
        let references = CurrentReferences(store: store, logger: session.logger)
        if let version = try reference.map(parseVersion) ?? store.latest() { try references.use(version) }
        let ruleStore = try Parts.ruleStore(settings)
        let currentRules = CurrentRules(store: ruleStore, logger: session.logger)
        try currentRules.use(
            rules == "none" ? 0 : try rules.map(parseVersion) ?? ruleStore.newest())
        let refused = Mutex<DeadLetter?>(nil)
        let worker = ScoringWorker(
            makeStream: { opened }, windows: MemoryWindowStore(), router: session.parts.router,
            references: references, rules: currentRules, settings: scoring, status: status,
            logger: session.logger,
            onDelivered: { scored, _ in
                tally?.observe(scored)
                let first = scored.windowed.consumed.deadLetters.first
                refused.withLock { $0 = $0 ?? first }
            })
        try tellingHowFar(opened) { try worker.runOnce() }
        let totals = status.totals
        say(
            "\(totals.transactions) transactions, \(totals.anomalies) anomalies, \(totals.deadLetters) rejected"
        )
        if let first = refused.withLock({ $0 }) {
            let what = "\(stream), line \(first.offset + 1): \(first.detail) (\(first.reason))"
            guard totals.transactions > 0 else { throw NothingToReplay(first: what) }
            say("the first that was rejected: \(what)")
        }
        if let tally { say(tally.summary) }
    }

    private func again(
        _ opened: FileTransactionStream, _ recorded: RecordedVerdicts, _ session: ReplaySession
    ) throws {
        defer { opened.close() }
        let outcome = try tellingHowFar(opened) {
            try session.verdictReplay.run(
                opened, recorded, after: Windows.history(session.parts.settings, logger: session.logger))
        }
        say("\(outcome.recomputed) verdicts made again, \(outcome.same) with the same bytes")
        if outcome.missing > 0 { say("\(outcome.missing) whose transaction the stream does not have") }
        if let difference = outcome.firstDifference {
            say("the first that differs: \(VerdictDifference(difference.recorded, difference.recomputed))")
        }
    }

    /// What was written before a failure stays, whole lines of whole batches.
    private func tellingHowFar<Value>(
        _ opened: FileTransactionStream, _ body: () throws -> Value
    ) throws -> Value {
        do {
            return try body()
        } catch {
            say(
                "\(output == "-" ? "standard output" : output) has the verdicts of the first \(opened.deliveredLines) lines of "
                    + "\(stream)\(opened.canTakeBack ? ", and nothing behind them" : "; what stands behind them is not whole")"
            )
            throw error
        }
    }

    private func say(_ line: String) { FileHandle.standardError.write(Data("\(line)\n".utf8)) }
}

/// Every line of a stream was refused.
struct NothingToReplay: Error, CustomStringConvertible {
    let description: String

    init(first: String) {
        description = "no line is a transaction; the first, \(first)"
    }
}

/// What replay and audit are made of: models in a cache of their own, nothing shared with a service that runs.
struct ReplaySession {
    let parts: Parts
    let scoring: ScoringWorker.Settings
    /// Warnings and errors only.
    let logger: Logger
    let verdictReplay: VerdictReplay
    /// Gone after the session.
    let folder: URL

    /// - Parameter isCommand: The process does nothing else, and may be ended by a signal at any time; a service stops by
    ///   itself.
    static func with(
        _ settings: Settings, isCommand: Bool = true, _ body: (ReplaySession) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "ml-service-replay-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let removal = isCommand ? RemovalAtSignal(folder) : nil
        defer {
            removal?.release()
            try? FileManager.default.removeItem(at: folder)
        }
        let parts = try Parts(settings, cachePath: folder.appending(path: "models.sqlite").path)
        guard try parts.promotion.start(logger: parts.logger) else {
            let store = settings.optionalText("store.uri") ?? settings.dataPath("store")
            throw UsageError("the models at \(store) cannot be reached")
        }
        var scoring = ScoringWorker.Settings()
        scoring.zone = try settings.zone()
        scoring.referenceAgeHours = settings.integer("references.age")
        scoring.windows = Streams.windowStage(settings)
        scoring.limits.records = settings.integer("batch.records")
        var quiet = parts.logger
        quiet.logLevel = max(quiet.logLevel, .warning)
        let (models, registry) = (parts.models, parts.registry)
        let replay = VerdictReplay(
            router: parts.router, store: models, references: try Parts.referenceStore(settings),
            rules: try Parts.ruleStore(settings), settings: scoring
        ) {
            try ReadyModel($0, of: models, registry: registry)
        }
        try body(
            ReplaySession(
                parts: parts, scoring: scoring, logger: quiet, verdictReplay: replay, folder: folder))
    }
}

/// Where two verdicts differ first, for people.
struct VerdictDifference: CustomStringConvertible {
    let description: String

    init(_ recorded: [UInt8], _ recomputed: [UInt8]) {
        func members(_ json: [UInt8]) -> [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(json)) as? [String: Any]) ?? [:]
        }
        func text(_ value: Any?) -> String {
            guard let value else { return "nothing" }
            let options: JSONSerialization.WritingOptions = [.fragmentsAllowed, .sortedKeys]
            let data = try? JSONSerialization.data(withJSONObject: value, options: options)
            return data.map { String(decoding: $0, as: UTF8.self) } ?? "\(value)"
        }
        let (old, new) = (members(recorded), members(recomputed))
        // What the rest depends on comes first: the transaction, the window, the model, the score.
        let first = [
            "transaction_id", "event_time", "features_sha256", "marks", "model", "fallback", "score",
        ]
        let names = first + Set(old.keys).union(new.keys).subtracting(first).subtracting(["source"]).sorted()
        for name in names where text(old[name]) != text(new[name]) {
            description = "\(name) was \(text(old[name])), is \(text(new[name]))"
            return
        }
        description = "the values are the same, their bytes are not"
    }
}
