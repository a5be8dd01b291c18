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

    /// How many of the slowest batches are shown, with what their stages took.
    var slowest = 0
    /// How long the producer waits for company, milliseconds of the latency. 0: each transaction is a request, as of many
    /// producers that send one now and then. One that sends many waits; 5 is librdkafka's default.
    var linger = 0

    private static let ratesPerSecond = [1, 200, 1_000, 5_000, 20_000]

    /// - Parameter rates: Transactions a second; nil: one after the other those of the table in docs/performance.md.
    func benchmark(lines: [(key: String, json: String)], seconds: Double, rates: [Int]?) throws {
        print(
            "\nproduce to verdict, all published, exactly once, \(Int(seconds)) s each, linger.ms \(linger) of the producer"
        )
        for rate in rates ?? Self.ratesPerSecond { try measure(lines, rate: rate, seconds: seconds) }
    }

    private func measure(_ lines: [(key: String, json: String)], rate: Int, seconds: Double) throws {
        let run = UUID().uuidString.prefix(8).lowercased()
        let kafka = KafkaSettings(bootstrapServers: brokers)
        try KafkaAdmin(settings: kafka, logger: logger).createTopics(
            ["transactions", "anomalies", "dlq"].map { .init(name: "\($0)-\(run)", partitions: 4) })
        let address = try RedisAddress(parsing: redis)
        var settings = ScoringWorker.Settings()
        settings.publish = .all
        settings.limits = EndToEnd.limits
        let batches = Mutex((warmUp: Self.warmUp, traces: [BatchTrace]()))
        if slowest > 0 {
            settings.onTraced = { trace in
                batches.withLock { batches in
                    if batches.warmUp <= 0 { batches.traces.append(trace) }
                    batches.warmUp -= trace.transactions
                }
            }
        }
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
                        bootstrapServers: kafka.bootstrapServers, extra: ["linger.ms": "\(linger)"]),
                    logger: logger)
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
        let machine = MachineStalls()
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
        print("          the machine meanwhile: \(machine.end())")
        let traces = batches.withLock { $0.traces }.sorted { $0.milliseconds > $1.milliseconds }
        for batch in traces.prefix(slowest) {
            let stages = batch.stageSeconds.sorted { $0.value > $1.value }.map { stage, seconds in
                "\(stage.rawValue) " + String(format: "%.1f", seconds * 1_000)
            }
            print(
                String(format: "    %7.1f ms, %5d transactions: ", batch.milliseconds, batch.transactions)
                    + stages.joined(separator: ", "))
        }
    }

    private static let warmUp = 100

    /// `transaction_id` is the first member of both a generated transaction and a verdict.
    private static func transactionID(_ json: String) -> String {
        let parts = json.prefix(200).split(separator: "\"", maxSplits: 4, omittingEmptySubsequences: false)
        return parts.count > 3 ? String(parts[3]) : ""
    }
}

extension BatchTrace {
    fileprivate var milliseconds: Double { Double(endNanoseconds - startNanoseconds) / 1e6 }
}

/// How late a thread is woken that does nothing but sleep a millisecond at a time: what the machine adds to the times above,
/// whatever runs on it.
private final class MachineStalls: Sendable {
    private let state = Mutex((isEnded: false, lateMilliseconds: [Double]()))

    init() {
        let thread = Thread { [self] in
            while !state.withLock({ $0.isEnded }) {
                let start = ContinuousClock.now
                usleep(1_000)
                let late = (ContinuousClock.now - start) / .milliseconds(1) - 1
                state.withLock { $0.lateMilliseconds.append(late) }
            }
        }
        thread.start()
    }

    func end() -> String {
        let late = state.withLock { state in
            state.isEnded = true
            return state.lateMilliseconds.sorted()
        }
        guard let longest = late.last else { return "not measured" }
        let above = late.count { $0 > 10 }
        return String(
            format:
                "sleeps of 1 ms were late by p99 %.1f ms, p99.9 %.1f ms, at most %.1f ms; %d of %d by over 10 ms",
            late[Int(0.99 * Double(late.count - 1))], late[Int(0.999 * Double(late.count - 1))], longest,
            above,
            late.count)
    }
}
