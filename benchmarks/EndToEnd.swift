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
    let users = 2_000
    let records: Int

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
    func latency(seconds: Double, rates: [Int]?, slowest: Int) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let models = try TrainedModels(folder: folder.path, users: users, logger: logger)
        try Latency(
            brokers: brokers, redis: redis, router: models.router, logger: logger, slowest: slowest
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
        let kafka = KafkaSettings(bootstrapServers: brokers)
        let settings = KafkaTransactionStream.Settings(
            kafka: kafka, group: "benchmark-\(instance)", topic: "transactions-\(run)",
            verdictTopic: "anomalies-\(run)", deadLetterTopic: "dlq-\(run)", instance: instance)
        let address = try RedisAddress(parsing: redis)
        try RedisConnection(address: address).command(["FLUSHDB"])
        let status = ServingStatus()
        let clock = Stopwatch(records: records)
        let logger = logger
        let worker = ScoringWorker(
            makeStream: { try KafkaTransactionStream(settings, logger: logger) },
            windows: RedisWindowStore(connection: RedisConnection(address: address)), router: router,
            settings: scoring, status: status, logger: logger,
            onDelivered: { scored, _ in clock.count(scored.count) })
        let processorStart = processSeconds()
        let thread = Thread { runToTheEnd(worker) }
        thread.start()
        let seconds = clock.wait()
        let processor = (processSeconds() - processorStart) * 1e6 / Double(records)
        worker.stop()
        let totals = status.totals
        try report(name, Double(records - clock.first) / seconds, processor)
        print(
            "  \(name.padding(toLength: 26, withPad: " ", startingAt: 0))"
                + String(format: "%9.0f transactions/s", Double(records - clock.first) / seconds)
                + "   (\(totals.anomalies) anomalies, \(totals.scoredByOwnModel) by users' own models)")
        let stages = status.stageSeconds
        let parts = ServingStatus.Stage.allCases.map { stage in
            "\(stage.rawValue) " + String(format: "%.2f", (stages[stage] ?? 0) * 1e6 / Double(records))
        }
        print(
            "    us a transaction: \(parts.joined(separator: ", ")) (consume overlaps the others); "
                + String(format: "processor %.2f", processor))
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

/// Counts delivered transactions, from the end of the first batch on, so that joining the group is not measured.
private final class Stopwatch: @unchecked Sendable {  // every access holds `condition`
    private let condition = NSCondition()
    private let records: Int
    private var counted = 0
    private var started: ContinuousClock.Instant?
    private var ended: ContinuousClock.Instant?
    private(set) var first = 0

    init(records: Int) { self.records = records }

    func count(_ more: Int) {
        condition.lock()
        defer { condition.unlock() }
        counted += more
        if started == nil {
            started = .now
            first = counted
        }
        if counted >= records {
            ended = .now
            condition.broadcast()
        }
    }

    /// Seconds from the first batch to the last.
    func wait() -> Double {
        condition.lock()
        defer { condition.unlock() }
        while ended == nil { condition.wait() }
        guard let started, let ended else { return .nan }
        return (ended - started) / .seconds(1)
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
