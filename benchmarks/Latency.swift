import Foundation
import Kafka
import Logging
import Models
import Redis
import Serving
import Synchronization

/// From the call that produces a transaction to the moment its committed verdict is read, at some steady rates: every
/// verdict published, exactly once, producer, worker and reader in this process, broker and Redis beside it.
struct Latency {
    let brokers: String
    let redis: String
    let router: ModelRouter
    let logger: Logger

    private static let ratesPerSecond = [1, 200, 1_000, 5_000, 20_000]

    func benchmark(lines: [(key: String, json: String)], seconds: Double) throws {
        print("\nproduce to verdict, all published, exactly once, \(Int(seconds)) s each")
        for rate in Self.ratesPerSecond { try measure(lines, rate: rate, seconds: seconds) }
    }

    private func measure(_ lines: [(key: String, json: String)], rate: Int, seconds: Double) throws {
        let run = UUID().uuidString.prefix(8).lowercased()
        let kafka = KafkaSettings(bootstrapServers: brokers)
        try KafkaAdmin(settings: kafka, logger: logger).createTopics(
            ["transactions", "anomalies", "dlq"].map { .init(name: "\($0)-\(run)", partitions: 4) })
        let address = try RedisAddress(parsing: redis)
        var settings = ScoringWorker.Settings()
        settings.publish = .all
        let stream = KafkaTransactionStream.Settings(
            kafka: kafka, group: "latency-\(run)", topic: "transactions-\(run)",
            verdictTopic: "anomalies-\(run)",
            deadLetterTopic: "dlq-\(run)", instance: "\(run)")
        var windows = RedisWindowStore.Settings()
        windows.service = "latency-\(run)"
        let logger = logger
        let worker = ScoringWorker(
            makeStream: { try KafkaTransactionStream(stream, logger: logger) },
            windows: RedisWindowStore(connection: RedisConnection(address: address), settings: windows),
            router: router, settings: settings, status: ServingStatus(), logger: logger)
        let working = Thread { runToTheEnd(worker) }
        working.start()
        defer { worker.stop() }

        let count = max(20, Int(Double(rate) * seconds))
        let chosen = lines.prefix(count + Self.warmUp)
        let sent = Mutex<[ContinuousClock.Instant]>([])
        let reader = try KafkaConsumer(
            settings: kafka, groupID: "latency-reader-\(run)", topics: ["anomalies-\(run)"], logger: logger)
        defer { reader.close() }
        let producing = Thread {
            do {
                let producer = try KafkaProducer(
                    settings: KafkaSettings(
                        bootstrapServers: kafka.bootstrapServers, extra: ["linger.ms": "0"]), logger: logger)
                let start = ContinuousClock.now
                for (index, line) in chosen.enumerated() {
                    // The group has joined when the first have come through; they are not counted.
                    let due =
                        index < Self.warmUp
                        ? start + .milliseconds(20 * index)
                        : start + .seconds(8) + .seconds(Double(index - Self.warmUp) / Double(rate))
                    while ContinuousClock.now < due { usleep(200) }
                    sent.withLock { $0.append(.now) }
                    try producer.produce(
                        topic: "transactions-\(run)", key: line.key, payload: Array(line.json.utf8),
                        headers: [KafkaHeader("index", "\(index)")])
                }
                try producer.flush()
                try producer.close()
            } catch {
                print("  producing failed: \(error)")
            }
        }
        let places = Dictionary(
            chosen.enumerated().map { (Self.transactionID($1.json), $0) },
            uniquingKeysWith: { first, _ in first })
        producing.start()
        var latencies: [Double] = []
        var seen = 0
        var lastCame = ContinuousClock.now
        while seen < chosen.count, .now - lastCame < .seconds(30) {
            let messages = try reader.poll(
                maximumCount: 10_000, timeoutMilliseconds: 100, lingerMilliseconds: 0)
            let now = ContinuousClock.now
            if messages.count > 0 { lastCame = now }
            for index in 0..<messages.count {
                seen += 1
                let id = Self.transactionID(String(decoding: messages.payload(index), as: UTF8.self))
                guard let place = places[id], place >= Self.warmUp else { continue }
                latencies.append((now - sent.withLock { $0[place] }) / .milliseconds(1))
            }
        }
        latencies.sort()
        guard !latencies.isEmpty else { return print("  \(rate)/s: nothing came") }
        func quantile(_ share: Double) -> String {
            String(format: "%7.1f", latencies[min(latencies.count - 1, Int(share * Double(latencies.count)))])
        }
        print(
            "  \(String(rate).padding(toLength: 6, withPad: " ", startingAt: 0))/s: p50 \(quantile(0.5)) ms, "
                + "p99 \(quantile(0.99)) ms, p99.9 \(quantile(0.999)) ms   (\(latencies.count) verdicts)")
    }

    private static let warmUp = 100

    /// `transaction_id` is the first member of both a generated transaction and a verdict.
    private static func transactionID(_ json: String) -> String {
        let parts = json.prefix(200).split(separator: "\"", maxSplits: 4, omittingEmptySubsequences: false)
        return parts.count > 3 ? String(parts[3]) : ""
    }
}
