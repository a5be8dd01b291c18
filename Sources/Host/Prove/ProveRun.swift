import Foundation
import Lake
import Logging
import Training

/// A proof from its servers to its judgement. Used from one thread; every wait has a deadline, and whatever happens no
/// process is left.
final class ProveRun {
    let scene: ProveScene
    private let children: ProveChildren
    private let disks: ProveDisks
    private let servers: ProveServers?
    private let topics: ProveTopics
    private let logger = Logger(label: "prove") { _ in SwiftLogNoOpLogHandler() }

    init(
        _ options: ProveOptions, _ base: Settings, run: String, folder: URL, children: ProveChildren,
        disks: ProveDisks
    ) throws {
        self.children = children
        self.disks = disks
        servers = options.hasOwnServers ? try ProveServers(folder: folder, children: children) : nil
        scene = try ProveScene(options, base, run: run, folder: folder, servers: servers)
        topics = ProveTopics(scene: scene, logger: logger)
    }

    deinit { children.killAll() }

    /// - Returns: Whether all is as it has to be.
    func run() throws -> Bool {
        let outcomes = try prepare()
        let promotions = scene.options.promotes ? try ProvePromotions(scene, outcomes: outcomes) : nil
        try topics.make()
        let workers = ProveWorkers(scene, children: children, disks: disks)
        for number in 1...scene.options.workers { try workers.start(number) }
        let feeder = try ProveFeeder(
            lines: try lines(), rate: scene.options.rate, topic: scene.settings.text("stream.topic"),
            kafka: try Streams.kafkaSettings(scene.settings.text("stream.brokers"), scene.settings),
            logger: logger)
        let progress = try ProveProgress(scene, logger: logger)
        for number in workers.numbers {
            try proveWait("\(ProveWorkers.name(number)) answers", seconds: 90, check: workers.check) {
                workers.isListening(number)
            }
        }
        feeder.start()
        try proveWait(
            "the first transactions are judged", seconds: 90, check: workers.check,
            state: workers.conditions
        ) { !progress.look().isEmpty }
        let disturbances = ProveDisturbances(
            scene, servers: servers, workers: workers, progress: progress, feeder: feeder,
            promotions: promotions)
        try disturbances.run()
        try feeder.stop()
        say("\(feeder.produced) records produced; waiting until all are done")
        try disturbances.drain()
        for number in workers.numbers { _ = try workers.end(number) }
        // The stack's broker misleads whoever reads committed records behind an abort (scripts/stack), until it has read its
        // own log again.
        try servers?.restartBroker(awaySeconds: 0)
        let isExact = try judge(produced: feeder.produced, promotions)
        for line in disturbances.report.table.split(separator: "\n") { say(String(line)) }
        for remark in disturbances.report.remarks { say("remark: \(remark)") }
        if let servers { say("by the proxy, in the broker's place: \(servers.dutiesDone)") }
        if isExact { topics.remove() }
        servers?.end()
        return isExact
    }

    // MARK: Before

    private static let streamDays = 20
    private static let lakeDays = 20
    /// How much longer than asked for a plan may take before the stream ends.
    private static let spareSeconds = 180.0

    /// A stream that lasts, a lake, and models.
    ///
    /// - Returns: What was trained: a global model and users'; with promotions, both once more.
    private func prepare() throws -> [TrainedModels] {
        // A plan that is under way is done to its end, and a group that stands takes a minute: what is done when the stream
        // is over proves nothing. The generator makes about four transactions a user and day.
        let wanted = Double(scene.options.rate) * (scene.options.minutes * 60 + Self.spareSeconds)
        let users = max(20, Int(wanted / Double(4 * Self.streamDays)))
        guard let start = LakeDay(parsing: "2024-01-01") else { throw ProveFailure("there is no first day") }
        var data = GenerateDataSet(
            users: users, days: Self.lakeDays + Self.streamDays, seed: scene.options.seed, start: start,
            streamDays: Self.streamDays)
        data.lateShare = 0.02
        data.malformedShare = 0.005
        let made = try data.write(to: scene.path("data")) { _ in }
        say("a stream of \(made.streamRecords) records at most, of \(users) users")
        let days = ["--from", "\(start)", "--to", "\(start.adding(days: Self.lakeDays - 1))"]
        let global = ["--promotion", "auto", "--seed", "1"]
        let everybody = ["--all-users", "--detector", "zscore-baseline"]
        var outcomes = [try train("train-global", days + global)]
        if scene.options.promotes {
            outcomes.append(try train("train-global-2", days + ["--promotion", "manual", "--seed", "2"]))
        }
        outcomes.append(try train("train-users", days + everybody + global))
        if scene.options.promotes {
            outcomes.append(
                try train(
                    "train-users-2",
                    days + everybody + ["--promotion", "manual", "--contamination", "0.05"]))
        }
        return outcomes
    }

    private func train(_ name: String, _ arguments: [String]) throws -> TrainedModels {
        try scene.command(
            name, ["train", "--json", "--lake", scene.path("data/lake")] + arguments, silence: 300,
            children: children)
        return try TrainedModels(log: scene.path("\(name).log"))
    }

    private func lines() throws -> [String] {
        try String(contentsOfFile: scene.path("data/stream.jsonl"), encoding: .utf8)
            .split(separator: "\n").map(String.init)
    }

    // MARK: Afterwards

    /// Compares what was published with an undisturbed run over what the topic holds.
    private func judge(produced: Int, _ promotions: ProvePromotions?) throws -> Bool {
        let records = try topics.read("stream.topic", expected: produced)
        guard records.count == produced else {
            throw ProveFailure(
                "\(produced) records were produced and acknowledged, the topic has \(records.count): this broker does not keep what it acknowledges"
            )
        }
        let letters = try topics.read("stream.deadletters", expected: 0)
        let messages = try topics.read("stream.anomalies", expected: produced - letters.count)
        let verdicts = try messages.map { try ProveVerdict(json: $0.payload) }
        let expected = try undisturbed(records, verdicts, isPromoted: promotions != nil)
        let comparison = ProveComparison(
            records: records, expected: expected, verdicts: verdicts,
            deadLetters: try letters.map(ProveTopics.source))
        var isExact = tell(comparison, verdicts: verdicts.count, letters: letters.count)
        if let promotions {
            let times = Dictionary(
                records.map { ($0.place, $0.timestampMilliseconds) }, uniquingKeysWith: max)
            let old = promotions.violations(
                zip(verdicts, messages).map { ($0, $1.timestampMilliseconds) }, records: times)
            say(
                "promotions: \(promotions.done.count), of the global model or of \(promotions.userCount) users; \(old.count) verdicts by an older version than a second after the answer"
            )
            for line in old.prefix(5) { say("  \(line)") }
            isExact = isExact && old.isEmpty && promotions.switched(verdicts)
        }
        return isExact
    }

    /// The verdicts of an undisturbed run, by transaction. With promotions, each made by the model that it names.
    private func undisturbed(
        _ records: [ProveRecord], _ verdicts: [ProveVerdict], isPromoted: Bool
    ) throws -> [String: ProveVerdict] {
        var lines: [UInt8] = []
        for record in records.sorted(by: { $0.place < $1.place }) { lines += record.payload + [0x0A] }
        try Data(lines).write(to: URL(filePath: scene.path("replayed.jsonl")))
        var expected = try replay("replay", [])
        guard isPromoted else { return expected }
        var seen: Set<String> = []
        var recorded: [UInt8] = []
        for verdict in verdicts where seen.insert(verdict.transactionID).inserted {
            recorded += verdict.json + [0x0A]
        }
        try Data(recorded).write(to: URL(filePath: scene.path("published.jsonl")))
        expected.merge(
            try replay("replay-verdicts", ["--verdicts", scene.path("published.jsonl")]),
            uniquingKeysWith: { $1 })
        return expected
    }

    private func replay(_ name: String, _ more: [String]) throws -> [String: ProveVerdict] {
        let output = scene.path("\(name).jsonl")
        try scene.command(
            name, ["replay", "--stream", scene.path("replayed.jsonl"), "--output", output] + more,
            silence: 900, children: children)
        var found: [String: ProveVerdict] = [:]
        for line in try Data(contentsOf: URL(filePath: output)).split(separator: 0x0A) {
            let verdict = try ProveVerdict(json: Array(line))
            guard found.updateValue(verdict, forKey: verdict.transactionID) == nil else {
                throw ProveFailure("the stream has transaction \(verdict.transactionID) twice")
            }
        }
        return found
    }

    /// - Returns: Whether nothing is lost, duplicated, different, or marked without a reason.
    private func tell(_ comparison: ProveComparison, verdicts: Int, letters: Int) -> Bool {
        say("")
        say(
            "\(comparison.transactions) transactions and \(comparison.deadLetters) records that are none; \(verdicts) verdicts, \(letters) dead letters"
        )
        say(
            "lost \(comparison.count(.lost)), duplicated \(comparison.count(.duplicated)), different \(comparison.count(.different))"
        )
        for finding in comparison.findings.prefix(10) {
            say("  \(finding.kind.rawValue): \(finding.description)")
        }
        if comparison.findings.count > 10 { say("  and \(comparison.findings.count - 10) more") }
        if comparison.marked > 0 || scene.options.losesWindows {
            say(
                "marked as inexact: \(comparison.marked)\(scene.options.losesWindows ? ", as windows were taken away" : ", though nothing took windows away")"
            )
        }
        return comparison.findings.isEmpty && (comparison.marked > 0) == scene.options.losesWindows
    }
}
