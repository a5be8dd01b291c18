import Foundation
import Kafka
import Logging

/// How far the workers have come: the group's committed offsets. Used from one thread.
final class ProveProgress {
    typealias Offsets = [Int32: Int64]

    private var admin: KafkaAdmin
    private let kafka: KafkaSettings
    private let logger: Logger
    /// Why the group's offsets were not to be had, and how often in a row.
    private(set) var failure: (reason: String, times: Int)?
    private let group: String
    private let topic: String
    private let partitions: Int
    /// The last that was known; nothing moves it back while the broker does not answer.
    private(set) var known: Offsets = [:]

    init(_ scene: ProveScene, logger: Logger) throws {
        var kafka = try Streams.kafkaSettings(scene.directBrokers, scene.settings)
        kafka.extra["session.timeout.ms"] = nil
        kafka.extra["heartbeat.interval.ms"] = nil
        self.kafka = kafka
        self.logger = logger
        admin = try KafkaAdmin(settings: kafka, logger: logger)
        group = scene.settings.text("stream.group")
        topic = scene.settings.text("stream.topic")
        partitions = scene.options.partitions
    }

    @discardableResult
    func look() -> Offsets {
        do {
            let found = try admin.committedOffsets(
                group: group, topic: topic, partitions: partitions, timeoutMilliseconds: 2_000)
            known.merge(found, uniquingKeysWith: max)
            failure = nil
        } catch {
            let times = (failure?.times ?? 0) + 1
            failure = ("\(error)", times)
            // A client may go on asking for a coordinator that the broker's restart has taken away.
            if times % 5 == 0, let fresh = try? KafkaAdmin(settings: kafka, logger: logger) { admin = fresh }
        }
        return known
    }

    /// The ends of the topic's partitions.
    func ends() throws -> Offsets {
        var ends: Offsets = [:]
        for partition in 0..<Int32(partitions) {
            ends[partition] =
                try admin.watermarks(TopicPartition(topic: topic, partition: partition)).upperBound
        }
        return ends
    }

    /// Whether every partition that had something left to read has moved on from there.
    func hasMoved(from base: Offsets, ends: Offsets) -> Bool {
        let now = look()
        return ends.allSatisfy { partition, end in
            let before = base[partition] ?? 0
            return before >= end || (now[partition] ?? 0) > before
        }
    }

    func hasReached(_ ends: Offsets) -> Bool {
        let now = look()
        return ends.allSatisfy { (now[$0.key] ?? 0) >= $0.value }
    }
}
