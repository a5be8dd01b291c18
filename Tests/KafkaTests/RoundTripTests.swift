import Kafka
import Testing

@Suite struct RoundTripTests {
    @Test func whatIsProducedIsConsumedInOrderWithinAKey() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 4)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        for number in 0..<1000 {
            try producer.produce(topic: "in", key: "user-\(number % 10)", payload: Array("\(number)".utf8))
        }
        try producer.flush()
        #expect(producer.outstandingCount == 0)

        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        let received = try consumer.read(1000)
        #expect(received.count == 1000)
        for (key, messages) in Dictionary(grouping: received, by: \.key) {
            let numbers = messages.compactMap { Int($0.payload) }
            #expect(numbers == numbers.sorted(), "\(key) is out of order")
            #expect(Set(messages.map(\.partition)).count == 1, "\(key) is in one partition")
        }
        for (partition, messages) in Dictionary(grouping: received, by: \.partition) {
            #expect(messages.map(\.offset) == Array(0..<Int64(messages.count)), "\(partition)")
        }
    }

    @Test func headersKeysAndEmptyPayloadsArriveAsTheyWere() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        let headers = [
            KafkaHeader("reason", "not-json"), KafkaHeader(name: "raw", value: [0, 255]),
            KafkaHeader("e", ""),
        ]
        try producer.produce(topic: "in", key: "k", payload: [1, 0, 2], headers: headers)
        try producer.produce(topic: "in", key: nil, payload: [])
        try producer.flush()

        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        var batches: [KafkaMessages] = []
        try consumer.pollBatches(until: 2, into: &batches)
        let first = try #require(batches.first)
        #expect(Array(first.payload(0)) == [1, 0, 2])
        #expect(String(decoding: first.key(0), as: UTF8.self) == "k")
        #expect(first.headers(0) == headers)
        #expect(try #require(first.timestampMilliseconds(0)) > 0)
        let (last, index) = try #require(batches.last.map { ($0, $0.count - 1) })
        #expect(
            last.key(index).baseAddress == nil && last.payload(index).isEmpty && last.headers(index).isEmpty)
    }

    /// Without an end of its own a batch of one would wait for its whole time-out, which is longer than the test may take.
    @Test(.timeLimit(.minutes(20))) func aBatchWaitsForCompanyNoLongerThanItLingers() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        try producer.produce(topic: "in", key: "k", payload: [1])
        try producer.flush()
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        let batch = try consumer.poll(
            maximumCount: 100, timeoutMilliseconds: 3_600_000, lingerMilliseconds: 1)
        #expect(batch.count == 1)
    }

    @Test func aBatchIsBoundedByCountBytesAndTime() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 2)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        for number in 0..<600 {
            try producer.produce(topic: "in", key: "\(number)", payload: [UInt8](repeating: 65, count: 1000))
        }
        try producer.flush()
        let consumer = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
        var total = 0
        let byCount = try consumer.firstBatch(maximumCount: 50)
        #expect(byCount.count == 50)
        total += byCount.count
        // The consumer knows the messages' size by now: it stops at the limit, at most a few messages late.
        let byBytes = try consumer.firstBatch(maximumCount: 500, maximumBytes: 100_000)
        #expect((100_000..<120_000).contains(byBytes.sizeBytes))
        #expect(
            byBytes.sizeBytes
                == (0..<byBytes.count).reduce(0) { $0 + byBytes.payload($1).count + byBytes.key($1).count })
        total += byBytes.count
        let start = ContinuousClock.now
        let byTime = try consumer.firstBatch(maximumCount: 100_000, timeoutMilliseconds: 300)
        #expect(ContinuousClock.now - start < .seconds(5))
        total += byTime.count
        #expect(try consumer.read(600 - total).count == 600 - total)
    }

    @Test func aBatchOutlivesItsConsumer() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let producer = try KafkaProducer(settings: cluster.settings, logger: quietLogger)
        try producer.produce(["a", "b"], to: "in")
        try producer.flush()
        var batch: KafkaMessages?
        do {
            let consumer = try KafkaConsumer(
                settings: cluster.settings, groupID: "g", topics: ["in"], logger: quietLogger)
            batch = try consumer.firstBatch(maximumCount: 2, timeoutMilliseconds: 2000)
            consumer.close()
            #expect(throws: KafkaError.self) { try consumer.poll(maximumCount: 1, timeoutMilliseconds: 0) }
        }
        #expect(batch?.received().map(\.payload) == ["a", "b"])
        #expect(batch?.nextOffsets == [TopicPartition(topic: "in", partition: 0): 2])
    }
}

extension KafkaConsumer {
    /// The first batch that is not empty.
    func firstBatch(
        maximumCount: Int, maximumBytes: Int = .max, timeoutMilliseconds: Int = 1000
    ) throws -> KafkaMessages {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            let batch = try poll(
                maximumCount: maximumCount, maximumBytes: maximumBytes,
                timeoutMilliseconds: timeoutMilliseconds)
            if !batch.isEmpty || ContinuousClock.now > deadline { return batch }
        }
    }

    func pollBatches(until count: Int, into batches: inout [KafkaMessages]) throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while batches.reduce(0, { $0 + $1.count }) < count, ContinuousClock.now < deadline {
            let batch = try poll(maximumCount: 100, timeoutMilliseconds: 100)
            if !batch.isEmpty { batches.append(batch) }
        }
    }
}
