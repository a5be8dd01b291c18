import Foundation
import Kafka
import Logging
import Metrics
import Outcomes
import Retrying

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
    private let stopping = StopSignal()

    /// Of a batch, and how long one is kept open: each becomes files of the lake.
    private static let batchRecords = 10_000
    private static let batchMilliseconds = 2_000

    public init(_ settings: Settings, book: LabelBook, logger: Logger) {
        self.settings = settings
        self.book = book
        self.logger = logger
    }

    public func stop() { stopping.give() }

    private var isStopped: Bool { stopping.isGiven }

    /// Blocks until `stop` is called. After a failure it begins a new session, seconds later.
    public func run() {
        while !isStopped {
            do {
                try runSession()
            } catch {
                logger.warning("labels wait", metadata: ["reason": "\(error)"])
                stopping.wait(.seconds(2))
            }
        }
    }

    private func runSession() throws {
        let consumer = try KafkaConsumer(
            settings: settings.kafka, groupID: settings.group, topics: [settings.topic], logger: logger)
        defer { consumer.close() }
        let producer = try KafkaProducer(settings: settings.kafka, logger: logger)
        defer { try? producer.close() }
        // Where reading goes on, of partitions of which something was read.
        var positions: [TopicPartition: Int64] = [:]
        while !isStopped {
            try settleFailures(of: consumer, producer, &positions)
            guard let messages = try poll(consumer), messages.count > 0 else { continue }
            try take(messages, producer)
            let next = messages.nextOffsets
            try consumer.commit(next)
            positions.merge(next) { $1 }
        }
    }

    /// - Returns: nil while the topic is not there or the broker is away: librdkafka goes on trying.
    private func poll(_ consumer: KafkaConsumer) throws -> KafkaMessages? {
        do throws(KafkaError) {
            return try consumer.poll(
                maximumCount: Self.batchRecords, timeoutMilliseconds: 500,
                lingerMilliseconds: Self.batchMilliseconds)
        } catch {
            guard error.isRetryable else { throw error }
            logger.info("labels wait", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    private func take(_ messages: KafkaMessages, _ producer: KafkaProducer) throws {
        let parser = LabelParser(
            defaultSource: "topic", now: Int64(Date().timeIntervalSince1970 * 1_000))
        var labels: [Label] = []
        var letters: [DeadLetter] = []
        for index in 0..<messages.count {
            let payload = messages.payload(index)
            switch parser.result(Data(payload)) {
            case .success(let label): labels.append(label)
            case .failure(let error):
                letters.append(
                    DeadLetter(
                        payload: bytes(payload), key: bytes(messages.key(index)),
                        headers: messages.headers(index), source: messages.topicPartition(index),
                        offset: messages.offset(index), reason: "LabelRejection", detail: "\(error)"))
            }
        }
        try deliver(letters, producer)
        let receipt = try book.take(labels, name: "topic")
        for (result, count) in receipt.counts + [("rejected", letters.count)] where count > 0 {
            Counter(label: "ml_labels_total", dimensions: [("result", result)]).increment(by: count)
        }
    }

    /// nil for what is not there, which is not the same as nothing in it.
    private func bytes(_ buffer: UnsafeRawBufferPointer) -> [UInt8]? {
        buffer.baseAddress == nil ? nil : Array(buffer)
    }

    // MARK: What is no label

    /// Letters that are too large, for the client or for the topic, are kept as excerpts: no further try would help them.
    private func deliver(_ letters: [DeadLetter], _ producer: KafkaProducer) throws {
        guard !letters.isEmpty, try !send(letters.map(\.message), producer) else { return }
        // The refusal names no message: one by one.
        for letter in letters where try !send([letter.message], producer) {
            guard try send([letter.excerpt], producer) else { throw LabelWorkerError.excerptRefused }
        }
    }

    /// - Returns: false when one of them is too large.
    private func send(_ messages: [DeadLetter.Message], _ producer: KafkaProducer) throws -> Bool {
        do throws(KafkaError) {
            for message in messages { try produce(message, producer) }
            try producer.flush()
            return true
        } catch {
            guard error.isTooLarge else { throw error }
            return false
        }
    }

    private func produce(_ message: DeadLetter.Message, _ producer: KafkaProducer) throws(KafkaError) {
        try producer.produce(
            topic: settings.deadLetterTopic, key: message.key, payload: message.payload,
            headers: message.headers)
    }

    /// Goes on behind what cannot be read. An offset that is not in the log leads to the log's beginning: labels that come
    /// again count once.
    private func settleFailures(
        of consumer: KafkaConsumer, _ producer: KafkaProducer, _ positions: inout [TopicPartition: Int64]
    ) throws {
        for failure in consumer.takeReadFailures() {
            let position = positions[failure.partition]
            switch failure.kind {
            case .damaged:
                let stretch = try consumer.stretch(ofDamage: failure, from: position)
                let letter = DeadLetter(
                    payload: nil, source: failure.partition, offset: stretch.lowerBound,
                    endOffset: stretch.upperBound, reason: "unreadable-batch", detail: failure.reason)
                try deliver([letter], producer)
                try consumer.restart(failure.partition, offset: stretch.upperBound)
                positions[failure.partition] = stretch.upperBound
            case .outOfRange:
                // An offset that we did not ask for is what librdkafka makes of a damaged batch.
                let log = try consumer.watermarks(failure.partition)
                let isThere = position.map { $0 >= log.lowerBound && $0 <= log.upperBound } ?? false
                try consumer.restart(
                    failure.partition, offset: isThere ? position ?? log.lowerBound : log.lowerBound)
            }
            logger.error("labels cannot be read", metadata: ["reason": "\(failure)"])
        }
    }
}

enum LabelWorkerError: Error, CustomStringConvertible {
    case excerptRefused

    var description: String {
        "the topic of dead letters takes not even a message of some 4 KB: raise its max.message.bytes"
    }
}
