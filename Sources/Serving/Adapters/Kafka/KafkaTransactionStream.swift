import Foundation
import Kafka
import Logging
import Metrics
import Synchronization

/// Transactions from a Kafka topic, verdicts to others, offsets in the same Kafka transaction.
///
/// The consumer's rebalances are eager: a batch may span partitions and is read ahead, so that a rebalance drops
/// what is read and not yet delivered, and every partition starts anew at its committed offset.
public final class KafkaTransactionStream: TransactionStream {
    public enum DeliveryGuarantee: String, Sendable, CaseIterable {
        case exactlyOnce = "exactly-once"
        /// For brokers without transactions: after a crash the same bytes may be published again.
        case atLeastOnce = "at-least-once"
    }

    /// What to do with a partition whose committed offset lies beyond its end: the log was cut, or the topic made
    /// anew. Reading from the start would count its records twice if it was cut.
    public enum BeyondEnd: String, Sendable, CaseIterable {
        /// Nothing is read of it, and it is said, until the log has grown to the offset or somebody decides.
        case wait
        /// Reading goes on at the log's end.
        case end
    }

    public struct Settings: Sendable {
        public var kafka: KafkaSettings
        public var group: String
        public var topic: String
        public var verdictTopic: String
        public var deadLetterTopic: String
        public var guarantee: DeliveryGuarantee
        /// Unique to this worker and the same after its restart, which then ends what the killed one left open.
        public var instance: String
        /// How long one delivery may take. After it the session ends: its clients are left behind, and new ones
        /// end its transaction. The broker ends a transaction that nobody ends two seconds later
        /// (`transaction.timeout.ms`): so long a killed worker keeps its partitions from whoever takes them over.
        public var deliveryTimeout = Duration.seconds(10)
        /// What becomes of a partition whose committed offset lies beyond the log's end.
        public var beyondEnd = BeyondEnd.wait

        public init(
            kafka: KafkaSettings, group: String = "ml-service", topic: String = "transactions",
            verdictTopic: String = "anomalies", deadLetterTopic: String = "transactions.dlq",
            guarantee: DeliveryGuarantee = .exactlyOnce, instance: String
        ) {
            self.kafka = kafka
            self.group = group
            self.topic = topic
            self.verdictTopic = verdictTopic
            self.deadLetterTopic = deadLetterTopic
            self.guarantee = guarantee
            self.instance = instance
        }
    }

    let settings: Settings
    let consumer: KafkaConsumer
    let producer: KafkaProducer
    let assignments: KafkaAssignments
    let logger: Logger
    let state = Mutex(State())
    let lag = PartitionLag()

    struct State {
        var trouble: String?
        /// The delivery under way.
        var open: OpenDelivery?
        /// Since when the broker has refused this assignment's offsets.
        var refused: (assignment: UInt64, since: ContinuousClock.Instant)?
        var refusedOutputs: RefusedOutputs?
        /// Partitions that were told to pause. librdkafka remembers it of each, assigned or not.
        var paused: Set<TopicPartition> = []
        /// Read, and not handed out yet.
        var held: [Held] = []
        /// What keeps partitions from being read, and is not dealt with yet.
        var failures: [(failure: KafkaReadFailure, assignment: UInt64)] = []
        /// Partitions whose offset lies beyond the log's end.
        var standing: [TopicPartition: Standing] = [:]
        /// When a delivery that is under way is to be given up; nil: nobody has asked the stream to stop.
        var stopBy: ContinuousClock.Instant?
    }

    struct Held {
        enum Content {
            case messages(KafkaMessages)
            /// Records that cannot be read, at these offsets.
            case unreadable(KafkaReadFailure, at: Range<Int64>)
        }
        let content: Content
        /// The assignment that it was read under.
        let assignment: UInt64
    }

    struct Standing {
        let offset: Int64
        let end: Int64
        let assignment: UInt64
        var checked = ContinuousClock.now
    }

    public var location: String { "kafka://\(settings.kafka.bootstrapServers)/\(settings.topic)" }

    /// Joins the group. Blocks until the broker has fenced an older producer of this instance.
    ///
    /// - Throws: `SessionEnded`: a wrong setting, or a broker that is away.
    public init(_ settings: Settings, logger: Logger) throws {
        self.settings = settings
        self.logger = logger
        let assignments = KafkaAssignments()
        self.assignments = assignments
        do {
            let isTransactional = settings.guarantee == .exactlyOnce
            var producerSettings = settings.kafka
            if producerSettings.extra["transaction.timeout.ms"] == nil {
                let timeout = Int((settings.deliveryTimeout + .seconds(2)) / .milliseconds(1))
                producerSettings.extra["transaction.timeout.ms"] = "\(timeout)"
            }
            producer = try KafkaProducer(
                settings: producerSettings,
                transactionalID: isTransactional ? "\(settings.group)-\(settings.instance)" : nil,
                logger: logger)
            if isTransactional { try producer.initTransactions(timeoutMilliseconds: 5_000) }
            var consumerSettings = settings.kafka
            consumerSettings.extra["partition.assignment.strategy"] = "range"
            // A static member: after a restart it has its partitions at once, where a new member would wait for the
            // killed one's session to end; and a second process with this instance is fenced.
            consumerSettings.extra["group.instance.id"] = settings.instance
            consumer = try KafkaConsumer(
                settings: consumerSettings, groupID: settings.group, topics: [settings.topic],
                onAssigned: { assignments.changed(to: $0) },
                onRevoked: { _, _ in assignments.changed(to: nil) }, logger: logger)
        } catch {
            throw error.endingSession
        }
    }

    /// Properties that the stream's promises rest on, besides those that the Kafka module keeps to itself.
    private static let fixedProperties: Set = ["partition.assignment.strategy", "group.instance.id"]

    /// Tries the settings without contacting anybody.
    ///
    /// - Throws: `KafkaError` naming the property that is unknown, wrong, or not to be set.
    public static func check(_ settings: KafkaSettings, logger: Logger) throws(KafkaError) {
        if let name = settings.extra.keys.sorted().first(where: fixedProperties.contains) {
            throw KafkaError(notToBeSet: name)
        }
        try settings.check(logger: logger)
    }

    public var isFinished: Bool { false }

    /// Whether the group has given this worker partitions to read.
    public var hasPartitions: Bool { !consumer.assignment.isEmpty }

    public var trouble: String? {
        let assignment = assignments.current
        return state.withLock { state in
            if let trouble = state.trouble { return trouble }
            if let (partition, standing) = state.standing.sorted(by: { $0.key < $1.key }).first(where: {
                $0.value.assignment == assignment
            }) {
                return """
                    \(partition) is not read: its committed offset \(standing.offset) lies beyond the log's end \
                    \(standing.end); was the log cut, or the topic made anew? stream.beyondend=end goes on at its end
                    """
            }
            guard let open = state.open, .now - open.since > .seconds(3) else { return nil }
            return "a delivery has been waiting for the broker or the windows for more than 3 s"
        }
    }

    public func isCurrent(_ assignment: UInt64) -> Bool { assignments.current == assignment }

    public func committedOffsets(of partitions: [Int32]) throws -> [Int32: Int64] {
        let sources = partitions.map { TopicPartition(topic: settings.topic, partition: $0) }
        do {
            let committed = try consumer.committed(sources, timeoutMilliseconds: 3_000)
            return Dictionary(uniqueKeysWithValues: committed.map { ($0.key.partition, $0.value) })
        } catch  where !error.isHopeless && !error.isFatal {
            throw DeliveryError.unanswered(error)
        } catch {
            throw error.endingSession
        }
    }

    public func stop() {
        state.withLock { $0.stopBy = $0.stopBy ?? .now + Self.stoppingTimeout }
    }

    /// After `stop` the group is left, and the others have the partitions at once. Otherwise a new session follows, and
    /// the member keeps its place for it.
    public func close() {
        // The consumer's end takes the partitions away, which would wait for a delivery that nobody ends.
        abandon()
        lag.forget()
        if let stopBy = state.withLock({ $0.stopBy }) {
            let remaining = Int((stopBy + Self.closingTimeout - .now) / .milliseconds(1))
            consumer.close(timeoutMilliseconds: max(500, remaining), isLeaving: true)
        } else {
            consumer.close(timeoutMilliseconds: 2_000)
        }
        producer.abandon()
    }

    /// How long a delivery may go on after `stop`.
    static let stoppingTimeout = Duration.seconds(3)
    /// How long after that the group may take to be left. With the ends of both clients, a second each at most, it is
    /// less than the time in which the process is to end.
    static let closingTimeout = Duration.milliseconds(3_500)

    func setTrouble(_ text: String?) {
        let isNew = state.withLock { state in
            defer { state.trouble = text }
            return state.trouble == nil && text != nil
        }
        if isNew, let text { logger.warning("the stream is held up", metadata: ["reason": "\(text)"]) }
    }
}

extension KafkaError {
    /// As the end of a session: a new one helps against all that nobody needs to change a setting or a right for.
    var endingSession: SessionEnded {
        SessionEnded(
            self, isRetryable: !isHopeless, remainder: isFenced ? .fenced : isFatal ? .nothing : .abort)
    }
}
