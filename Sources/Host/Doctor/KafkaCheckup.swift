import Foundation
import Kafka
import Logging

/// Tries the broker: reachable, the topics, transactions, and whether records are keyed by their user.
struct KafkaCheckup {
    let kafka: KafkaSettings
    let settings: Settings
    let logger: Logger

    private static let timeoutMilliseconds = 10_000

    func findings() -> [Finding] {
        do {
            // A consumer's questions make no topics, a producer's would.
            let consumer = try KafkaConsumer(
                settings: kafka, groupID: "\(settings.text("stream.group"))-doctor-\(UUID().uuidString)",
                topics: [settings.text("stream.topic")], logger: logger)
            defer { consumer.close() }
            var findings: [Finding] = []
            for key in ["stream.topic", "stream.anomalies", "stream.deadletters"] {
                findings.append(topic(settings.text(key), consumer))
                // Where nobody answers, each further check would wait for its time-out.
                if findings.last?.state == .away { return findings }
            }
            if settings.text("stream.delivery") == "exactly-once" { findings.append(transactions()) }
            findings.append(keys(consumer))
            return findings
        } catch {
            return [Finding("kafka", "settings", .bad, "\(error)", advice: "check stream.properties")]
        }
    }

    private func checked(_ check: String, advice: String, _ body: () throws -> Finding) -> Finding {
        Finding.of(
            "kafka", check, advice: advice, isRetryable: { ($0 as? KafkaError)?.isRetryable ?? false }, body)
    }

    private func topic(_ name: String, _ consumer: KafkaConsumer) -> Finding {
        let check = "topic \(name)"
        return checked(check, advice: "check stream.brokers, credentials and the right to describe topics") {
            do {
                let count = try consumer.partitionCount(
                    topic: name, timeoutMilliseconds: Self.timeoutMilliseconds)
                return Finding("kafka", check, .good, "\(count) partitions")
            } catch let error as KafkaError where error.name.contains("UNKNOWN_TOPIC") {
                let isMade = settings.integer("stream.partitions") > 0
                return Finding(
                    "kafka", check, isMade ? .good : .bad,
                    isMade ? "is not there yet; serve makes it" : "is not there",
                    advice: isMade ? "" : "create it, or let serve do it (stream.partitions)")
            }
        }
    }

    private func transactions() -> Finding {
        checked(
            "transactions",
            advice:
                "allow this user the transactional ids of stream.group, or set stream.delivery to at-least-once"
        ) {
            let producer = try KafkaProducer(
                settings: kafka, transactionalID: "\(settings.text("stream.group"))-doctor", logger: logger)
            try producer.initTransactions(timeoutMilliseconds: Self.timeoutMilliseconds)
            try producer.begin()
            try producer.abort(timeoutMilliseconds: Self.timeoutMilliseconds)
            try producer.close(timeoutMilliseconds: 1_000)
            return Finding("kafka", "transactions", .good, "begun and aborted")
        }
    }

    /// Reads some records and commits nothing.
    private func keys(_ consumer: KafkaConsumer) -> Finding {
        checked("keys", advice: "allow this user to read \(settings.text("stream.topic"))") {
            let deadline = ContinuousClock.now + .milliseconds(Self.timeoutMilliseconds)
            var (seen, wrong) = (0, 0)
            while ContinuousClock.now < deadline, seen == 0 {
                let messages: KafkaMessages
                do {
                    messages = try consumer.poll(maximumCount: 500, timeoutMilliseconds: 500)
                } catch let error as KafkaError where error.name.contains("UNKNOWN_TOPIC") {
                    break
                }
                for index in 0..<messages.count {
                    guard let user = Self.userID(messages.payload(index)) else { continue }
                    seen += 1
                    if !Array(messages.key(index)).elementsEqual(user.utf8) { wrong += 1 }
                }
            }
            guard seen > 0 else {
                return Finding("kafka", "keys", .good, "no transactions to look at yet")
            }
            return Finding(
                "kafka", "keys", wrong == 0 ? .good : .bad,
                "\(wrong) of \(seen) records are not keyed by user_id",
                advice: wrong == 0
                    ? "" : "key the topic by user_id: a user's records must meet in one partition")
        }
    }

    private static func userID(_ payload: UnsafeRawBufferPointer) -> String? {
        let object = try? JSONSerialization.jsonObject(with: Data(payload)) as? [String: Any]
        return object?["user_id"] as? String
    }
}
