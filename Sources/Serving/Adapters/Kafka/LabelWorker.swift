import Foundation
import Kafka
import Logging
import Metrics
import Outcomes
import Synchronization

/// Takes labels from a topic into the lake, until it is told to stop.
///
/// Offsets are committed after the labels are in the lake and what is no label is in the dead letters. A batch that
/// comes again says nothing new, and labels that say nothing new are not written: so each counts once.
public final class LabelWorker: Sendable {
    public struct Settings: Sendable {
        public var kafka: KafkaSettings
        public var group: String
        public var topic: String
        public var deadLetterTopic: String

        public init(kafka: KafkaSettings, group: String, topic: String, deadLetterTopic: String) {
            self.kafka = kafka
            self.group = group
            self.topic = topic
            self.deadLetterTopic = deadLetterTopic
        }
    }

    private let settings: Settings
    private let book: LabelBook
    private let logger: Logger
    private let isStopping = Mutex(false)

    /// Of a batch, and how long one is kept open: each becomes files of the lake.
    private static let batchRecords = 10_000
    private static let batchMilliseconds = 2_000

    public init(_ settings: Settings, book: LabelBook, logger: Logger) {
        self.settings = settings
        self.book = book
        self.logger = logger
    }

    public func stop() { isStopping.withLock { $0 = true } }

    private var isStopped: Bool { isStopping.withLock { $0 } }

    /// Blocks until `stop` is called. After a failure it begins a new session, seconds later.
    public func run() {
        while !isStopped {
            do {
                try runSession()
            } catch {
                logger.warning("labels wait", metadata: ["reason": "\(error)"])
                let deadline = ContinuousClock.now + .seconds(2)
                while !isStopped, ContinuousClock.now < deadline { Thread.sleep(forTimeInterval: 0.05) }
            }
        }
    }

    private func runSession() throws {
        let consumer = try KafkaConsumer(
            settings: settings.kafka, groupID: settings.group, topics: [settings.topic], logger: logger)
        defer { consumer.close() }
        let producer = try KafkaProducer(settings: settings.kafka, logger: logger)
        defer { try? producer.close() }
        while !isStopped {
            guard let messages = try poll(consumer), messages.count > 0 else { continue }
            try take(messages, producer)
            var next: [TopicPartition: Int64] = [:]
            for index in 0..<messages.count {
                next[messages.topicPartition(index)] = messages.offset(index) + 1
            }
            try consumer.commit(next)
        }
    }

    /// - Returns: nil while the topic is not there or the broker is away: librdkafka goes on trying.
    private func poll(_ consumer: KafkaConsumer) throws -> KafkaMessages? {
        do {
            return try consumer.poll(
                maximumCount: Self.batchRecords, timeoutMilliseconds: 500,
                lingerMilliseconds: Self.batchMilliseconds)
        } catch let error as KafkaError {
            guard error.isRetryable else { throw error }
            logger.info("labels wait", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    private func take(_ messages: KafkaMessages, _ producer: KafkaProducer) throws {
        let parser = LabelParser(
            defaultSource: "topic", now: Int64(Date().timeIntervalSince1970 * 1_000))
        var labels: [Label] = []
        var rejected = 0
        for index in 0..<messages.count {
            let payload = messages.payload(index)
            switch parser.result(Data(payload)) {
            case .success(let label): labels.append(label)
            case .failure(let error):
                rejected += 1
                let source = messages.topicPartition(index)
                try producer.produce(
                    topic: settings.deadLetterTopic, key: messages.key(index), payload: payload,
                    headers: [
                        KafkaHeader("__connect.errors.topic", source.topic),
                        KafkaHeader("__connect.errors.partition", "\(source.partition)"),
                        KafkaHeader("__connect.errors.offset", "\(messages.offset(index))"),
                        KafkaHeader("__connect.errors.exception.class.name", "LabelRejection"),
                        KafkaHeader("__connect.errors.exception.message", "\(error)"),
                    ])
            }
        }
        if rejected > 0 { try producer.flush() }
        let receipt = try book.take(labels, name: "topic")
        for (result, count) in receipt.counts + [("rejected", rejected)] where count > 0 {
            Counter(label: "ml_labels_total", dimensions: [("result", result)]).increment(by: count)
        }
    }
}
