import Foundation
import Kafka
import Logging
import Redis

/// What broker and Redis allow: reads batches, writes one value a user to Redis, adds the offsets to a transaction and
/// commits it. No parsing, no features, no models, no verdicts.
struct NullPipeline {
    let brokers: String
    let redis: String
    let logger: Logger

    private static let valueBytes = 300

    /// - Returns: Microseconds a transaction by the wall and by this process's processor time.
    func measure(topic: String, records: Int) throws -> (wall: Double, processor: Double) {
        let run = UUID().uuidString
        let kafka = KafkaSettings(bootstrapServers: brokers)
        let connection = RedisConnection(address: try RedisAddress(parsing: redis))
        let producer = try KafkaProducer(settings: kafka, transactionalID: "null-\(run)", logger: logger)
        try producer.initTransactions()
        let consumer = try KafkaConsumer(
            settings: kafka, groupID: "null-\(run)", topics: [topic], logger: logger)
        defer { consumer.close() }
        let value = [UInt8](repeating: 7, count: Self.valueBytes)
        var started: (ContinuousClock.Instant, Double)?
        var (seen, counted) = (0, 0)
        while seen < records {
            let messages = try consumer.poll(
                maximumCount: EndToEnd.limits.records, timeoutMilliseconds: 1_000, lingerMilliseconds: 2)
            guard messages.count > 0 else { continue }
            var users: Set<[UInt8]> = []
            for index in 0..<messages.count { users.insert(Array(messages.key(index))) }
            var write: RedisArguments = ["MSET"]
            for user in users {
                write.append(.bytes(user))
                write.append(.bytes(value))
            }
            try producer.begin()
            try producer.send(offsets: messages.nextOffsets, consumer: consumer)
            try connection.command(write)
            try producer.commit()
            seen += messages.count
            // Joining the group is not measured.
            if started == nil {
                started = (.now, processSeconds())
            } else {
                counted += messages.count
            }
        }
        guard let (start, processorStart) = started, counted > 0 else { return (.nan, .nan) }
        let wall = (ContinuousClock.now - start) / .microseconds(1) / Double(counted)
        let processor = (processSeconds() - processorStart) * 1e6 / Double(counted)
        try producer.close()
        return (wall, processor)
    }
}
