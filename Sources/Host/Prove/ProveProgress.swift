import Foundation
import Kafka
import Logging

/// How far the workers have come: the group's committed offsets. Used from one thread.
final class ProveProgress {
    typealias Offsets = [Int32: Int64]

    private let group: KafkaGroup
    /// Why the group's offsets were not to be had, and how often in a row.
    private(set) var failure: (reason: String, times: Int)?
    private let topic: String
    private let partitions: Int
    /// The last that was known; nothing moves it back while the broker does not answer.
    private(set) var known: Offsets = [:]

    init(_ scene: ProveScene, logger: Logger) throws {
        var kafka = try Streams.kafkaSettings(scene.directBrokers, scene.settings)
        kafka.extra["session.timeout.ms"] = nil
        kafka.extra["heartbeat.interval.ms"] = nil
        group = try KafkaGroup(scene.settings.text("stream.group"), settings: kafka, logger: logger)
        topic = scene.settings.text("stream.topic")
        partitions = scene.options.partitions
    }

    @discardableResult
    func look() -> Offsets {
        do {
            let found = try group.committedOffsets(
                topic: topic, partitions: partitions, timeoutMilliseconds: 2_000)
            known.merge(found, uniquingKeysWith: max)
            failure = nil
        } catch {
            failure = ("\(error)", (failure?.times ?? 0) + 1)
        }
        return known
    }

    /// The ends of the topic's partitions.
    func ends() throws -> Offsets { try group.ends(topic: topic, partitions: partitions) }

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
