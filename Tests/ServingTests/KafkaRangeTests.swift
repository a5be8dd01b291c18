import Kafka
import Logging
import Testing

@testable import Serving

/// Committed offsets that are not in the log. librdkafka's own broker keeps the newest 5 MiB of a partition.
@Suite struct KafkaRangeTests {
    private let cluster: MockKafkaCluster
    private let zero = TopicPartition(topic: "in", partition: 0)
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws {
        cluster = try MockKafkaCluster(
            topics: ["in", "out", "dlq"].map { .init($0, partitions: 1) }, logger: Self.logger)
    }

    private func stream(_ beyondEnd: KafkaTransactionStream.BeyondEnd = .wait) throws
        -> KafkaTransactionStream
    {
        var settings = KafkaTransactionStream.Settings(
            kafka: cluster.settings, group: "g", topic: "in", verdictTopic: "out", deadLetterTopic: "dlq",
            guarantee: .atLeastOnce, instance: "a")
        settings.beyondEnd = beyondEnd
        return try KafkaTransactionStream(settings, logger: Self.logger)
    }

    private func fill(_ count: Int, sizeBytes: Int = 10) throws {
        let producer = try KafkaProducer(settings: cluster.settings, logger: Self.logger)
        let payload = (0..<sizeBytes).map { _ in UInt8.random(in: 0...255) }
        for _ in 0..<count { try producer.produce(topic: "in", key: nil, payload: payload) }
        try producer.close()
    }

    private func commit(_ offset: Int64) throws {
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: Self.logger)
        let deadline = ContinuousClock.now + .seconds(60)
        while consumer.assignment.isEmpty, .now < deadline {
            _ = try consumer.poll(maximumCount: 1, timeoutMilliseconds: 50)
        }
        try consumer.commit([zero: offset])
        consumer.close()
    }

    private func next(of stream: KafkaTransactionStream, until isDone: () -> Bool = { false }) throws
        -> RawRecords?
    {
        let deadline = ContinuousClock.now + .seconds(60)
        while !isDone(), .now < deadline {
            if let records = try stream.next(BatchLimits()) { return records }
        }
        return nil
    }

    /// Reading everything again would count every record twice.
    @Test func aPartitionWhoseOffsetLiesBeyondItsEndStandsAndIsSaid() throws {
        try fill(10)
        try commit(1_000)
        let stream = try stream()
        defer { stream.close() }
        #expect(
            try next(of: stream, until: { stream.trouble?.contains("beyond the log's end") ?? false }) == nil)
        #expect(stream.trouble?.contains("in[0]") == true)
        try fill(5)
        for _ in 0..<50 { #expect(try stream.next(BatchLimits()) == nil) }
    }

    @Test func asConfiguredReadingGoesOnAtTheLogsEnd() throws {
        try fill(10)
        try commit(1_000)
        let stream = try stream(.end)
        defer { stream.close() }
        let deadline = ContinuousClock.now + .seconds(60)
        while stream.assignments.position(of: zero) != 10, .now < deadline {
            #expect(try stream.next(BatchLimits()) == nil)
        }
        try fill(2)
        let records = try #require(try next(of: stream))
        #expect(records.slices.first?.start == 10)
        #expect(records.offsets.first == 10)
    }

    @Test func recordsThatAreGoneAreSkippedToTheLogsStart() throws {
        try fill(100, sizeBytes: 100_000)
        try commit(0)
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "other", topics: ["in"], logger: Self.logger)
        let start = try consumer.watermarks(zero).lowerBound
        consumer.close()
        try #require(start > 0)
        let stream = try stream()
        defer { stream.close() }
        let records = try #require(try next(of: stream))
        #expect(records.offsets.first == start)
        #expect(records.slices.first?.start == start)
    }
}
