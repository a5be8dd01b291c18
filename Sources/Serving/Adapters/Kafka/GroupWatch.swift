import Kafka
import Logging
import Metrics
import Retrying

/// Asks now and then how far the group has come in each partition of the topic, and says which stand still: also those
/// that no worker reads, of which no worker has anything to say. Every worker asks for itself: three requests, four times
/// within the bound.
public final class GroupWatch: Sendable {
    private let group: KafkaGroup
    private let topic: String
    private let bound: Duration
    private let status: ServingStatus
    private let logger: Logger
    private let stopping = StopSignal()
    /// Milliseconds; a process that is told to end waits for one of them at most.
    private static let timeout = 2_000
    private let gauge = Gauge(label: "ml_partitions_standing")

    /// - Parameter bound: How long a partition may make no progress.
    /// - Throws: `KafkaError` for a wrong setting.
    public init(
        _ kafka: KafkaSettings, group: String, topic: String, bound: Duration, status: ServingStatus,
        logger: Logger
    ) throws {
        self.group = try KafkaGroup(group, settings: kafka, logger: logger)
        self.topic = topic
        self.bound = bound
        self.status = status
        self.logger = logger
    }

    public func stop() { stopping.give() }

    /// Blocks until `stop` is called.
    public func run() {
        var progress = GroupProgress()
        stopping.untilGiven(every: bound / 4) { look(&progress, at: .now) }
    }

    func look(_ progress: inout GroupProgress, at now: ContinuousClock.Instant) {
        do {
            let partitions = try group.partitionCount(topic: topic, timeoutMilliseconds: Self.timeout)
            let committed = try group.committedOffsets(
                topic: topic, partitions: partitions, timeoutMilliseconds: Self.timeout)
            let ends = try group.ends(topic: topic, partitions: partitions, timeoutMilliseconds: Self.timeout)
            progress.note(committed: committed, ends: ends, at: now)
        } catch {
            // The stream itself says that the broker is away.
            logger.debug("the group's offsets cannot be had", metadata: ["reason": "\(error)"])
            progress.forget()
        }
        let standing = progress.standing(longerThan: bound, at: now)
        gauge.record(standing.count)
        let trouble = standing.isEmpty ? nil : Self.text(standing, group: group.name, topic: topic)
        if status.setStanding(trouble), let trouble { logger.error("\(trouble)") }
    }

    private static func text(
        _ standing: [GroupProgress.Standing], group: String, topic: String
    ) -> String {
        let named = standing.prefix(5).map {
            "partition \($0.partition) for \($0.duration.components.seconds) s at offset \($0.committed.map { "\($0)" } ?? "none") of \($0.end)"
        }
        let more = standing.count > 5 ? " and \(standing.count - 5) more" : ""
        return
            "group \(group) makes no progress in \(topic), though records have come: \(named.joined(separator: ", "))\(more); does every member of the group still run?"
    }
}
