import Foundation
import Kafka
import Logging
import Redis
import Serving
import Synchronization

/// The stream and the windows that the settings name, ready to be opened.
struct Streams {
    let windows: any WindowStore
    /// nil: the windows are not in this process's memory.
    let snapshots: WindowSnapshots?
    let open: @Sendable () throws -> any TransactionStream
    /// For people.
    let description: String

    init(_ settings: Settings, data: DataDirectory, logger: Logger) throws {
        let memory = settings.optionalText("redis.url") == nil ? MemoryWindowStore() : nil
        let windows: any WindowStore
        var snapshots: WindowSnapshots?
        var checkpoint: [UInt8]?
        let snapshotPath = data.file("windows.snapshot")
        if let memory {
            windows = memory
            checkpoint = try memory.restore(from: snapshotPath) ?? []
            snapshots = WindowSnapshots(
                memory, path: snapshotPath, intervalSeconds: settings.integer("snapshot.seconds"),
                logger: logger)
        } else {
            windows = RedisWindowStore(
                connection: RedisConnection(address: try Parts.redisAddress(settings.text("redis.url"))),
                prefix: settings.text("redis.prefix"))
        }
        self.windows = windows
        self.snapshots = snapshots

        if let input = settings.optionalText("stream.file") {
            try FileTransactionStream.checkReadable(input)
            if let saved = checkpoint, !FileTransactionStream.canResume(saved, input: input) {
                try memory?.forgetOffsets()
                checkpoint = []
            }
            open = Self.file(input, settings, data: data, checkpoint: checkpoint)
            description = input
        } else if let brokers = settings.optionalText("stream.brokers") {
            let kafka = try Self.kafkaSettings(brokers, settings)
            let openStream = Self.kafka(
                kafka, settings, instance: try data.instance(), guarantee: nil, logger: logger, keep: nil)
            let haveTopics = Mutex(settings.integer("stream.partitions") == 0)
            open = {
                try haveTopics.withLock { haveTopics in
                    if !haveTopics { haveTopics = try Self.makeTopics(kafka, settings, logger: logger) }
                }
                return try openStream()
            }
            description = "kafka://\(brokers)/\(settings.text("stream.topic"))"
            if memory != nil {
                logger.warning(
                    "windows are in memory: a crash loses what came since the last snapshot; name a Redis (redis.url)"
                )
            }
        } else {
            // Offsets of an in-process cluster begin anew with each process.
            try memory?.forgetOffsets()
            let partitions = max(1, settings.integer("stream.partitions"))
            let topics = ["stream.topic", "stream.anomalies", "stream.deadletters"].map {
                MockKafkaCluster.Topic(settings.text($0), partitions: partitions)
            }
            let cluster = try MockKafkaCluster(topics: topics, logger: logger)
            let kafka = KafkaSettings(bootstrapServers: cluster.bootstrapServers)
            open = Self.kafka(
                kafka, settings, instance: try data.instance(), guarantee: .atLeastOnce, logger: logger,
                keep: cluster)
            description = "kafka://\(cluster.bootstrapServers)/\(settings.text("stream.topic")) (in process)"
        }
    }

    /// Forgets a user.
    var removeWindow: @Sendable (String) throws -> Void {
        { [windows] userID in try windows.remove(userID: userID) }
    }

    private static func file(
        _ input: String, _ settings: Settings, data: DataDirectory, checkpoint: [UInt8]?
    ) -> @Sendable () throws -> any TransactionStream {
        let pace = settings.real("stream.rate")
        let files = FileTransactionStream.Settings(
            input: input, verdicts: settings.optionalText("stream.output") ?? data.file("anomalies.jsonl"),
            deadLetters: data.file("deadletters.jsonl"),
            checkpointPath: checkpoint == nil ? data.file("stream.checkpoint") : nil,
            recordsPerSecond: pace > 0 ? pace : nil)
        // A later session goes on where the one before it stood.
        let last = Mutex<FileTransactionStream?>(nil)
        return {
            try last.withLock { last in
                let stream = try FileTransactionStream(files, checkpoint: try last?.checkpoint ?? checkpoint)
                last = stream
                return stream
            }
        }
    }

    private static func kafka(
        _ kafka: KafkaSettings, _ settings: Settings, instance: String,
        guarantee: KafkaTransactionStream.DeliveryGuarantee?, logger: Logger, keep: MockKafkaCluster?
    ) -> @Sendable () throws -> any TransactionStream {
        let stream = KafkaTransactionStream.Settings(
            kafka: kafka, group: settings.text("stream.group"), topic: settings.text("stream.topic"),
            verdictTopic: settings.text("stream.anomalies"),
            deadLetterTopic: settings.text("stream.deadletters"),
            guarantee: guarantee ?? .init(rawValue: settings.text("stream.delivery")) ?? .exactlyOnce,
            instance: instance)
        return { try withExtendedLifetime(keep) { try KafkaTransactionStream(stream, logger: logger) } }
    }

    static func kafkaSettings(_ brokers: String, _ settings: Settings) throws -> KafkaSettings {
        var kafka = KafkaSettings(bootstrapServers: brokers)
        for pair in settings.text("stream.properties").split(separator: ";") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw UsageError("stream.properties: '\(pair)' is not name=value") }
            kafka.extra[String(parts[0])] = String(parts[1])
        }
        return kafka
    }

    /// - Returns: Whether there is no need to try again.
    /// - Throws: `KafkaError` when no broker answers.
    private static func makeTopics(
        _ kafka: KafkaSettings, _ settings: Settings, logger: Logger
    ) throws -> Bool {
        let admin = try KafkaAdmin(settings: kafka, logger: logger)
        let names = [
            "stream.topic", "stream.anomalies", "stream.deadletters", "labels.topic", "labels.deadletters",
        ]
        let topics = names.compactMap { settings.optionalText($0) }.map {
            KafkaAdmin.NewTopic(name: $0, partitions: settings.integer("stream.partitions"))
        }
        do {
            try admin.createTopics(topics, timeoutMilliseconds: 10_000)
        } catch  where error.isRetryable {
            throw error
        } catch {
            // Perhaps nobody may make topics here, and they are there already; reading says if not.
            logger.warning("topics could not be made", metadata: ["reason": "\(error)"])
        }
        return true
    }
}
