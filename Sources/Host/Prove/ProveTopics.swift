import Foundation
import Kafka
import Logging

/// Makes a proof's topics, and reads them from their beginning to their end.
struct ProveTopics {
    let scene: ProveScene
    let logger: Logger

    private func kafka(_ brokers: String) throws -> KafkaSettings {
        try Streams.kafkaSettings(brokers, scene.settings)
    }

    func make() throws {
        let admin = try KafkaAdmin(
            settings: try kafka(scene.settings.text("stream.brokers")), logger: logger)
        try admin.createTopics(
            ["stream.topic", "stream.anomalies", "stream.deadletters"].map {
                .init(name: scene.settings.text($0), partitions: scene.options.partitions)
            })
    }

    func remove() {
        guard let settings = try? kafka(scene.settings.text("stream.brokers")),
            let admin = try? KafkaAdmin(settings: settings, logger: logger)
        else { return }
        let names = ["stream.topic", "stream.anomalies", "stream.deadletters"].map { scene.settings.text($0) }
        try? admin.deleteTopics(names, timeoutMilliseconds: 5_000)
    }

    /// Every committed message of a topic.
    ///
    /// A transaction that a killed worker has left open holds readers back until the broker ends it, and the stack's broker
    /// misleads whoever waits for that (scripts/stack). So when there are fewer messages than expected the topic is read
    /// anew, from its beginning, until that must be over.
    func read(_ setting: String, expected: Int) throws -> [ProveRecord] {
        var found = try readOnce(setting, expected: expected)
        for _ in 0..<2 where found.count < expected {
            Thread.sleep(forTimeInterval: 10)
            let again = try readOnce(setting, expected: expected)
            if again.count > found.count { found = again }
        }
        return found
    }

    /// Until there are as many as expected and a while longer, so that one too many is seen, or nothing has come for a
    /// long while.
    private func readOnce(_ setting: String, expected: Int) throws -> [ProveRecord] {
        var settings = try kafka(scene.directBrokers)
        // The stack's broker answers with all there is of a partition.
        settings.extra.merge(["receive.message.max.bytes": "1000000000"]) { mine, _ in mine }
        let consumer = try KafkaConsumer(
            settings: settings, groupID: "prove-\(scene.run)-\(UUID().uuidString)",
            topics: [scene.settings.text(setting)], logger: logger)
        defer { consumer.close(timeoutMilliseconds: 2_000) }
        var found: [ProveRecord] = []
        let end = ContinuousClock.now + .seconds(600)
        var last = ContinuousClock.now
        while ContinuousClock.now < end {
            let messages = try? consumer.poll(maximumCount: 2_000, timeoutMilliseconds: 200)
            if let messages, messages.count > 0 {
                last = .now
                for index in 0..<messages.count {
                    found.append(
                        ProveRecord(
                            place: ProvePlace(
                                partition: messages.topicPartition(index).partition,
                                offset: messages.offset(index)), payload: Array(messages.payload(index)),
                            timestampMilliseconds: messages.timestampMilliseconds(index) ?? 0,
                            headers: messages.headers(index)))
                }
            }
            let quiet: Duration = found.count >= expected ? .seconds(1.5) : .seconds(6)
            if ContinuousClock.now - last > quiet { return found }
        }
        throw ProveFailure("\(scene.settings.text(setting)) could not be read to its end in 10 minutes")
    }

    /// The place that a dead letter names in its headers.
    static func source(_ letter: ProveRecord) throws -> ProvePlace {
        func number(_ name: String) -> Int64? {
            let value = letter.headers.first { $0.name == "__connect.errors.\(name)" }?.value
            return value.flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
        }
        guard let partition = number("partition").flatMap({ Int32(exactly: $0) }),
            let offset = number("offset")
        else { throw ProveFailure("the dead letter at \(letter.place) does not say where it comes from") }
        return ProvePlace(partition: partition, offset: offset)
    }
}
