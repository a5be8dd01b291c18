import Foundation
import Kafka
import Lake
import Logging
import Models
import Redis
import Serving
import Training
import Transactions

/// Broker to broker through the real parts: transactions in Kafka, windows in Redis, verdicts to Kafka, exactly once.
struct EndToEnd {
    let brokers: String
    let redis: String
    /// BENCH_USERS.
    private let users = ProcessInfo.processInfo.environment["BENCH_USERS"].flatMap(Int.init) ?? 2_000
    let records: Int
    /// Sessions that share the partitions, each with two threads of its own.
    private let workers = ProcessInfo.processInfo.environment["BENCH_WORKERS"].flatMap(Int.init) ?? 1

    /// Of a batch, of ours and of the null pipeline's: BENCH_BATCH, or the default.
    static let limits =
        ProcessInfo.processInfo.environment["BENCH_BATCH"].flatMap(Int.init).map { BatchLimits(records: $0) }
        ?? BatchLimits()

    private let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
    /// In the names of the topics; a peer that reads the same stream afterwards is told it.
    private let run =
        ProcessInfo.processInfo.environment["BENCH_RUN"] ?? UUID().uuidString.prefix(8).lowercased()
    private let folder = FileManager.default.temporaryDirectory.appending(
        path: "ml-benchmark-\(UUID().uuidString)")

    init(brokers: String, redis: String, records: Int) {
        self.brokers = brokers
        self.redis = redis
        self.records = records
    }

    /// Prints transactions/s of the null pipeline, with the global model, and with a model for every user.
    func benchmark() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let models = try TrainedModels(folder: folder.path, users: users, logger: logger)
        let lines = Self.stream(users: users, count: records)
        try produce(lines)
        print(
            "\nend to end: \(records) transactions of \(users) users, Kafka and Redis on this machine, exactly once"
        )
        let null = try NullPipeline(brokers: brokers, redis: redis, logger: logger).measure(
            topic: "transactions-\(run)", records: records)
        print(
            String(
                format:
                    "  null pipeline: %.2f us a transaction, processor %.2f (reads, a Redis write a user, commits)",
                null.wall, null.processor))
        try measure("global model", models.router)
        try measure("global, all published", models.router, publish: .all)
        try models.giveEveryUserAModel()
        try measure("every user's own model", models.router)
    }

    /// Prints how long a verdict takes at steady rates.
    func latency(seconds: Double, rates: [Int]?, slowest: Int, linger: Int) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let models = try TrainedModels(folder: folder.path, users: users, logger: logger)
        try Latency(
            brokers: brokers, redis: redis, router: models.router, logger: logger, slowest: slowest,
            linger: linger
        ).benchmark(
            lines: Self.stream(users: users, count: Int(20_000 * seconds) + 1_000), seconds: seconds,
            rates: rates)
    }

    private func measure(
        _ name: String, _ router: ModelRouter, publish: PublishedVerdicts = .anomalies
    ) throws {
        let instance = UUID().uuidString
        var scoring = ScoringWorker.Settings()
        scoring.publish = publish
        scoring.limits = Self.limits
        let kafka = KafkaSettings(bootstrapServers: brokers)
        let address = try RedisAddress(parsing: redis)
        try RedisConnection(address: address).command(["FLUSHDB"])
        let status = ServingStatus()
        let clock = Stopwatch(records: records)
        let logger = logger
        let workers = (0..<workers).map { number in
            let settings = KafkaTransactionStream.Settings(
                kafka: kafka, group: "benchmark-\(instance)", topic: "transactions-\(run)",
                verdictTopic: "anomalies-\(run)", deadLetterTopic: "dlq-\(run)",
                instance: "\(instance)-\(number)")
            return ScoringWorker(
                makeStream: { try KafkaTransactionStream(settings, logger: logger) },
                windows: RedisWindowStore(connection: RedisConnection(address: address)), router: router,
                settings: scoring, status: status, logger: logger,
                onDelivered: { scored, _ in clock.count(scored.count) })
        }
        for worker in workers { Thread { runToTheEnd(worker) }.start() }
        let (seconds, spent) = clock.wait()
        let measured = Double(records - clock.first)
        let processor = spent.ours * 1e6 / measured
        for worker in workers { worker.stop() }
        let totals = status.totals
        try report(name, measured / seconds, processor)
        print(
            "  \(name.padding(toLength: 26, withPad: " ", startingAt: 0))"
                + String(format: "%9.0f transactions/s", measured / seconds)
                + "   (\(totals.anomalies) anomalies, \(totals.scoredByOwnModel) by users' own models)")
        let stages = status.stageSeconds
        let parts = ServingStatus.Stage.allCases.map { stage in
            "\(stage.rawValue) " + String(format: "%.2f", (stages[stage] ?? 0) * 1e6 / Double(records))
        }
        print(
            "    us a transaction: \(parts.joined(separator: ", ")) (consume overlaps the others); "
                + spent.described(perTransactionOf: measured))
    }

    /// For a peer to compare itself with, a line in the file BENCH_RESULTS: name, transactions/s, processor time of
    /// one in us, separated by tabs.
    private func report(_ name: String, _ perSecond: Double, _ processor: Double) throws {
        guard let path = ProcessInfo.processInfo.environment["BENCH_RESULTS"] else { return }
        let before = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        try Data("\(before)\(name)\t\(perSecond)\t\(processor)\n".utf8).write(to: URL(filePath: path))
    }

    private func produce(_ lines: [(key: String, json: String)]) throws {
        let kafka = KafkaSettings(bootstrapServers: brokers)
        try KafkaAdmin(settings: kafka, logger: logger).createTopics(
            ["transactions", "anomalies", "dlq"].map { .init(name: "\($0)-\(run)", partitions: 4) })
        let producer = try KafkaProducer(settings: kafka, logger: logger)
        for line in lines {
            try producer.produce(topic: "transactions-\(run)", key: line.key, payload: Array(line.json.utf8))
        }
        try producer.flush()
        try producer.close()
    }

    private static func stream(users: Int, count: Int) -> [(key: String, json: String)] {
        let generator = TransactionGenerator(users: users, seed: 5)
        var lines: [(String, String)] = []
        var day = LakeDay(parsing: "2026-03-01") ?? LakeDay(dayNumber: 20_513)
        while lines.count < count {
            for labelled in generator.day(day) {
                lines.append((labelled.transaction.userID, labelled.transaction.json()))
            }
            day = day.adding(days: 1)
        }
        return Array(lines.prefix(count))
    }
}

/// Processor time of this process, and of the broker and Redis where BENCH_SERVERS names them ("kafka=PID redis=PID").
private struct ProcessorTime {
    var ours: Double
    var servers: [(name: String, seconds: Double)]

    static var now: ProcessorTime {
        let named = ProcessInfo.processInfo.environment["BENCH_SERVERS"]?.split(separator: " ") ?? []
        let servers = named.compactMap { entry -> (name: String, seconds: Double)? in
            let parts = entry.split(separator: "=")
            guard parts.count == 2, let seconds = seconds(ofProcess: parts[1]) else { return nil }
            return (String(parts[0]), seconds)
        }
        return ProcessorTime(ours: processSeconds(), servers: servers)
    }

    /// Fields 14 and 15 of /proc/PID/stat: ticks in user and system mode, a hundredth of a second each.
    private static func seconds(ofProcess pid: Substring) -> Double? {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let name = stat.lastIndex(of: ")")
        else { return nil }
        let fields = stat[name...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
            return nil
        }
        return (user + system) / 100
    }

    static func - (end: Self, start: Self) -> Self {
        let servers = zip(end.servers, start.servers).map { ($0.name, $0.seconds - $1.seconds) }
        return ProcessorTime(ours: end.ours - start.ours, servers: servers)
    }

    func described(perTransactionOf count: Double) -> String {
        let all = [(name: "processor", seconds: ours)] + servers
        return all.map { "\($0.name) " + String(format: "%.2f", $0.seconds * 1e6 / count) }.joined(
            separator: ", ")
    }
}

/// Counts delivered transactions, from the end of the first batch on, so that joining the group is not measured.
private final class Stopwatch: @unchecked Sendable {  // every access holds `condition`
    private let condition = NSCondition()
    private let records: Int
    private var counted = 0
    private var started: (at: ContinuousClock.Instant, ProcessorTime)?
    private var ended: (at: ContinuousClock.Instant, ProcessorTime)?
    private(set) var first = 0

    init(records: Int) { self.records = records }

    func count(_ more: Int) {
        condition.lock()
        defer { condition.unlock() }
        counted += more
        if started == nil {
            started = (.now, .now)
            first = counted
        }
        if counted >= records {
            ended = (.now, .now)
            condition.broadcast()
        }
    }

    /// Seconds from the first batch to the last, and the processor time between them.
    func wait() -> (seconds: Double, spent: ProcessorTime) {
        condition.lock()
        defer { condition.unlock() }
        while ended == nil { condition.wait() }
        guard let started, let ended else { return (.nan, .now) }
        return ((ended.at - started.at) / .seconds(1), ended.1 - started.1)
    }
}

/// A worker that fails ends the measurement.
func runToTheEnd(_ worker: ScoringWorker) {
    do {
        try worker.run()
    } catch {
        FileHandle.standardError.write(Data("\(error)\n".utf8))
        exit(1)
    }
}
