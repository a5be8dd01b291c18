import Foundation
import Kafka
import Logging
import Synchronization

/// Produces a stream's lines at a steady rate, keyed by user, on a thread of its own, until it is told to stop or all
/// are out.
final class ProveFeeder: Sendable {
    private struct State {
        var produced = 0
        var isStopping = false
        var hasEnded = false
        var failure: (any Error)?
    }

    private let state = Mutex(State())
    private let lines: [String]
    private let rate: Int
    private let topic: String
    private let producer: KafkaProducer

    /// - Parameter rate: Lines a second.
    init(lines: [String], rate: Int, topic: String, kafka: KafkaSettings, logger: Logger) throws {
        self.lines = lines
        self.rate = rate
        self.topic = topic
        producer = try KafkaProducer(settings: kafka, logger: logger)
    }

    var produced: Int { state.withLock { $0.produced } }

    /// Whether more lines are coming.
    var isFeeding: Bool { state.withLock { !$0.hasEnded } }

    func start() {
        Thread.detachNewThread { [self] in
            do {
                try feed()
            } catch {
                state.withLock { $0.failure = error }
            }
            state.withLock { $0.hasEnded = true }
        }
    }

    private func feed() throws {
        let begin = ContinuousClock.now
        var next = 0
        while next < lines.count, !state.withLock({ $0.isStopping }) {
            let due = min(lines.count, Int((ContinuousClock.now - begin) / .seconds(1) * Double(rate)) + 1)
            while next < due {
                try producer.produce(
                    topic: topic, key: Self.user(lines[next]), payload: Array(lines[next].utf8))
                next += 1
                state.withLock { $0.produced = next }
            }
            Thread.sleep(forTimeInterval: 0.01)
        }
        try producer.flush(timeoutMilliseconds: 60_000)
    }

    private static func user(_ line: String) -> String? {
        let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        return object?["user_id"] as? String
    }

    /// - Throws: What kept a line from being produced.
    func check() throws {
        if let failure = state.withLock({ $0.failure }) {
            throw ProveFailure("the stream could not be produced: \(failure)")
        }
    }

    /// Stops, and waits until the broker has all that was produced.
    func stop() throws {
        state.withLock { $0.isStopping = true }
        try proveWait("the stream is with the broker", seconds: 150, check: check) { !isFeeding }
        try check()
    }
}
