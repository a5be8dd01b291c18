import Foundation
import Kafka
import KafkaProxy
import Logging
import Serving
import Synchronization
import Testing

/// A topic and a group of one test, on the real broker, behind a proxy of the test's own.
struct StreamScene {
    let run = String(UInt64.random(in: 0 ... .max), radix: 36)
    let proxy: KafkaProxy
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    /// librdkafka's, of those who go by way of the proxy.
    let properties: [String: String]

    init(partitions: Int, properties: [String: String] = [:]) throws {
        self.properties = properties
        proxy = try KafkaProxy(upstream: try Stack.brokers)
        let admin = try KafkaAdmin(settings: try direct, logger: logger)
        try admin.createTopics([
            .init(name: topic, partitions: partitions), .init(name: name("verdicts"), partitions: 1),
            .init(name: name("dlq"), partitions: 1),
        ])
    }

    func name(_ word: String) -> String { "\(word)-\(run)" }
    var topic: String { name("transactions") }
    var settings: KafkaSettings { settings(of: "test") }
    var direct: KafkaSettings { get throws { KafkaSettings(bootstrapServers: try Stack.brokers) } }

    /// The proxy knows whose a request is by the client's name.
    func settings(of client: String) -> KafkaSettings {
        KafkaSettings(bootstrapServers: proxy.address, clientID: client, extra: properties)
    }

    func stream(
        _ instance: String, guarantee: KafkaTransactionStream.DeliveryGuarantee
    ) throws -> KafkaTransactionStream {
        try KafkaTransactionStream(
            .init(
                kafka: settings(of: instance), group: name("group"), topic: topic,
                verdictTopic: name("verdicts"),
                deadLetterTopic: name("dlq"), guarantee: guarantee, instance: instance),
            logger: logger)
    }

    func consumer(
        onAssigned: @escaping @Sendable (KafkaAssignment) -> Void = { _ in }
    ) throws -> KafkaConsumer {
        try KafkaConsumer(
            settings: settings, groupID: name("group"), topics: [topic], onAssigned: onAssigned,
            logger: logger)
    }

    /// Not by way of the proxy. One call makes one batch in each partition.
    func fill(_ payloads: [String]) throws {
        try fill(payloads.map { Record(key: Array($0.utf8), payload: Array($0.utf8)) })
    }

    struct Record {
        var key: [UInt8]?
        var payload: [UInt8]?
        var headers: [KafkaHeader] = []
    }

    func fill(_ records: [Record]) throws {
        var settings = try direct
        settings.extra = ["compression.codec": "none", "linger.ms": "200"]
        let producer = try KafkaProducer(settings: settings, logger: logger)
        for record in records {
            try producer.produce(
                topic: topic, key: record.key, payload: record.payload, headers: record.headers)
        }
        try producer.close()
    }

    func deadLetters(count: Int) throws -> [Record] {
        let consumer = try KafkaConsumer(
            settings: try direct, groupID: name("letters"), topics: [name("dlq")], logger: logger)
        defer { consumer.close() }
        var found: [Record] = []
        let deadline = ContinuousClock.now + .seconds(30)
        while found.count < count, .now < deadline {
            let messages = try consumer.poll(maximumCount: 100, timeoutMilliseconds: 100)
            for index in 0..<messages.count {
                func bytes(_ buffer: UnsafeRawBufferPointer) -> [UInt8]? {
                    buffer.baseAddress == nil ? nil : Array(buffer)
                }
                found.append(
                    Record(
                        key: bytes(messages.key(index)), payload: bytes(messages.payload(index)),
                        headers: messages.headers(index)))
            }
        }
        return found
    }

    /// The committed verdicts, and a second longer than there ought to be any.
    func verdicts(count: Int) throws -> [String] {
        let consumer = try KafkaConsumer(
            settings: try direct, groupID: name("reader"), topics: [name("verdicts")], logger: logger)
        defer { consumer.close() }
        var found: [String] = []
        var deadline = ContinuousClock.now + .seconds(30)
        var isComplete = false
        while .now < deadline {
            let messages = try consumer.poll(maximumCount: 1_000, timeoutMilliseconds: 100)
            found += (0..<messages.count).map { String(decoding: messages.payload($0), as: UTF8.self) }
            if found.count >= count, !isComplete {
                isComplete = true
                deadline = .now + .seconds(1)
            }
        }
        return found
    }
}

/// What `ScoringWorker` does with a stream, on one thread and without windows and models: the verdict of a record
/// is the record.
final class Worker {
    let scene: StreamScene
    let instance: String
    private var current: KafkaTransactionStream?
    private(set) var delivered: [String] = []
    private(set) var sessions = 0
    var writeWindows: () throws -> Void = {}
    /// What is no transaction becomes a dead letter, as in the service.
    var parses = false

    /// Why the last session ended.
    private(set) var lastError: (any Error)?
    private let guarantee: KafkaTransactionStream.DeliveryGuarantee

    init(
        _ scene: StreamScene, _ instance: String,
        guarantee: KafkaTransactionStream.DeliveryGuarantee = .exactlyOnce
    ) {
        self.guarantee = guarantee
        self.scene = scene
        self.instance = instance
    }

    /// Opened when it is first asked for, and after each failure.
    var stream: KafkaTransactionStream {
        get throws {
            if let current { return current }
            let stream = try scene.stream(instance, guarantee: guarantee)
            current = stream
            sessions += 1
            return stream
        }
    }

    var isAssigned: Bool { current?.hasPartitions ?? false }

    /// As a session that another one follows: the member keeps its place in the group.
    func close() {
        current?.close()
        current = nil
    }

    /// As a process that is told to end: the group is left.
    func leave() {
        current?.stop()
        close()
    }

    func read() throws -> RawRecords? {
        let deadline = ContinuousClock.now + .seconds(60)
        while .now < deadline {
            if let records = try stream.next(BatchLimits()) { return records }
        }
        return nil
    }

    /// - Throws: What the stream throws. A delivery that it has refused is aborted; otherwise its session is over.
    func deliver(_ records: RawRecords) throws {
        var verdicts = OutputRecords()
        var texts: [String] = []
        let letters = parses ? try ConsumeStage().run(records).deadLetters : records.unreadable
        let rejected = Set(letters.map(\.offset))
        for (index, payload) in records.payloads.enumerated() where !rejected.contains(records.offsets[index])
        {
            texts.append(String(decoding: payload, as: UTF8.self))
            verdicts.append(
                key: UnsafeBufferPointer(start: nil, count: 0), slice: records.sliceIndex[index],
                offset: records.offsets[index]
            ) { $0.append(contentsOf: payload) }
        }
        let delivery = Delivery(
            verdicts: verdicts, deadLetters: letters, slices: records.slices, assignment: records.assignment)
        do {
            try stream.prepare(delivery)
            try writeWindows()
            try repeating { try stream.commit() }
            delivered += texts
        } catch let error as DeliveryError {
            try repeating { try stream.abort() }
            throw error
        }
    }

    /// Until it is answered.
    private func repeating(_ call: () throws -> Void) throws {
        while true {
            do {
                return try call()
            } catch DeliveryError.unanswered {
                continue
            }
        }
    }

    /// Reads and delivers a batch, if there is one. What fails ends the session, and the next step begins another.
    func step() throws {
        do {
            guard let records = try stream.next(BatchLimits()) else { return }
            while try stream.isCurrent(records.assignment) {
                do {
                    return try deliver(records)
                } catch is DeliveryError {
                    try stream.heartbeat()
                }
            }
        } catch {
            lastError = error
            close()
        }
    }

    /// Works until the condition holds, or for as long as nothing can take.
    func work(until isDone: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while !isDone(), .now < deadline { try step() }
        #expect(
            isDone(), "\(delivered.count) delivered in \(sessions) sessions; \(String(describing: lastError))"
        )
    }
}

/// Group metadata in the order of the assignments.
final class MetadataLog: Sendable {
    private let state = Mutex<[KafkaGroupMetadata]>([])
    var all: [KafkaGroupMetadata] { state.withLock { $0 } }
    func append(_ metadata: KafkaGroupMetadata) { state.withLock { $0.append(metadata) } }
}
