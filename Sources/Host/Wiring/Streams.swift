import Exact
import Foundation
import Kafka
import Logging
import Redis
import Serving
import Synchronization

/// The stream and the windows that the settings name, ready to be opened.
struct Streams {
    /// What one scoring worker opens, and where it keeps windows.
    struct Session {
        let windows: any WindowStore
        let open: @Sendable () throws -> any TransactionStream
    }

    /// One for each scoring worker; they share the partitions of the stream.
    let sessions: [Session]
    /// nil: the windows are not in this process's memory.
    let snapshots: WindowSnapshots?
    /// Of times that do not say theirs.
    let zone: PlaceZone?
    /// For people.
    let description: String

    /// The first worker's: what they hold is the same for all.
    var windows: any WindowStore { sessions[0].windows }

    init(_ settings: Settings, data: DataDirectory, logger: Logger) throws {
        let memory =
            settings.optionalText("redis.url") == nil
            ? MemoryWindowStore(maximumSizeBytes: settings.integer("windows.memory")) : nil
        let windows: any WindowStore
        var snapshots: WindowSnapshots?
        var checkpoint: [UInt8]?
        let snapshotPath = data.file("windows.snapshot")
        if let memory {
            windows = memory
            checkpoint = try Self.restore(memory, from: snapshotPath, logger: logger)
            snapshots = WindowSnapshots(
                memory, path: snapshotPath, intervalSeconds: settings.integer("snapshot.seconds"),
                place: checkpoint ?? [], logger: logger)
        } else {
            windows = try Self.redisWindows(settings)
            Self.warnOfEvictions(windows, logger: logger)
        }
        self.snapshots = snapshots
        zone = try settings.zone()

        if let input = settings.optionalText("stream.file") {
            try FileTransactionStream.checkReadable(input)
            if let saved = checkpoint, !FileTransactionStream.canResume(saved, input: input) {
                // Of another file, which the stream says too; what it wrote stays.
                memory?.forgetOffsets()
                if input == "-" || !FileTransactionStream.isCheckpoint(saved) { checkpoint = [] }
            }
            let open = Self.file(
                input, settings, data: data, checkpoint: checkpoint, snapshots: snapshots, zone: zone,
                logger: logger)
            sessions = [Session(windows: windows, open: open)]
            description = input
        } else if let brokers = settings.optionalText("stream.brokers") {
            let kafka = try Self.kafkaSettings(brokers, settings)
            do {
                try KafkaTransactionStream.check(kafka, logger: logger)
            } catch {
                throw UsageError("stream.brokers, stream.properties: \(error.message)")
            }
            let haveTopics = Mutex(settings.integer("stream.partitions") == 0)
            let isPlaced = Mutex(memory == nil)
            let (saved, kept) = (checkpoint ?? [], snapshots)
            let instance = try data.instance()
            // A snapshot is of one stream, so windows in memory have one worker.
            let workers = memory == nil ? settings.integer("stream.workers") : 1
            sessions = try (0..<workers).map { number in
                let openStream = Self.kafka(
                    kafka, settings, instance: number == 0 ? instance : "\(instance)-\(number)",
                    guarantee: nil, logger: logger, keep: nil)
                return Session(windows: number == 0 ? windows : try Self.redisWindows(settings)) {
                    try isPlaced.withLock { isPlaced in
                        guard !isPlaced, let memory, let kept else { return }
                        try Self.place(memory, kept, saved: saved, kafka, settings, logger: logger)
                        isPlaced = true
                    }
                    try haveTopics.withLock { haveTopics in
                        if !haveTopics {
                            haveTopics = try Self.makeTopics(kafka, settings, logger: logger)
                        }
                    }
                    return try openStream()
                }
            }
            description = "kafka://\(brokers)/\(settings.text("stream.topic"))"
            if memory != nil {
                logger.warning(
                    "windows are in memory: a crash loses what came since the last snapshot; name a Redis (redis.url)"
                )
            }
        } else {
            // Offsets of an in-process cluster begin anew with each process.
            memory?.forgetOffsets()
            let partitions = max(1, settings.integer("stream.partitions"))
            let topics = ["stream.topic", "stream.anomalies", "stream.deadletters"].map {
                MockKafkaCluster.Topic(settings.text($0), partitions: partitions)
            }
            let cluster = try MockKafkaCluster(topics: topics, logger: logger)
            let kafka = KafkaSettings(bootstrapServers: cluster.bootstrapServers)
            let open = Self.kafka(
                kafka, settings, instance: try data.instance(), guarantee: .atLeastOnce, logger: logger,
                keep: cluster)
            sessions = [Session(windows: windows, open: open)]
            description = "kafka://\(cluster.bootstrapServers)/\(settings.text("stream.topic")) (in process)"
        }
    }

    /// Windows in the Redis that the settings name.
    static func redisWindows(_ settings: Settings) throws -> RedisWindowStore {
        var windows = RedisWindowStore.Settings()
        windows.prefix = settings.text("redis.prefix")
        windows.service = windowService(settings)
        windows.keptSeconds = settings.integer("windows.days") * 86_400
        let address = try Parts.redisAddress(settings.text("redis.url"), settings)
        return RedisWindowStore(connection: RedisConnection(address: address), settings: windows)
    }

    /// What tells this service's windows from those of others in the same Redis.
    private static func windowService(_ settings: Settings) -> String {
        let stream =
            settings.optionalText("stream.file").map { "file:\($0)" } ?? settings.text("stream.topic")
        return "\(settings.text("stream.group"))/\(stream)"
    }

    static func windowStage(_ settings: Settings) -> WindowStage.Settings {
        var stage = WindowStage.Settings()
        stage.skewMilliseconds = Int64(settings.integer("windows.skew")) * 1_000
        stage.coldBelow = settings.integer("windows.cold")
        return stage
    }

    /// - Returns: The stream's checkpoint.
    private static func restore(
        _ memory: MemoryWindowStore, from path: String, logger: Logger
    ) throws -> [UInt8] {
        guard let snapshot = try memory.restore(from: path) else { return [] }
        if let problem = snapshot.problem {
            logger.error("\(problem)", metadata: ["path": "\(path)"])
        }
        return snapshot.checkpoint
    }

    private static func warnOfEvictions(_ windows: any WindowStore, logger: Logger) {
        // A Redis that is away is reported by serving, which waits for it.
        guard let policy = try? windows.condition().evictionPolicy else { return }
        logger.warning(
            "Redis may throw windows away: set maxmemory-policy noeviction",
            metadata: ["maxmemory-policy": "\(policy)"])
    }

    /// Forgets a user, in memory and in the snapshot too; gives how many stored items that were.
    var removeWindow: @Sendable (String) throws -> Int {
        { [windows, snapshots] userID in
            let removed = try windows.remove(userID: userID)
            return removed + (try snapshots?.erase(userID: userID) ?? 0)
        }
    }

    /// The service's stream from its beginning, for a reader of its own that delivers nothing.
    static func rereading(_ settings: Settings, logger: Logger) throws -> any TransactionStream {
        if let input = settings.optionalText("stream.file") {
            try FileTransactionStream.checkReadable(input)
            var files = FileTransactionStream.Settings(input: input, verdicts: "/dev/null")
            files.skewMilliseconds = windowStage(settings).skewMilliseconds
            files.zone = try settings.zone()
            return try FileTransactionStream(files)
        }
        guard let brokers = settings.optionalText("stream.brokers") else {
            throw UsageError("there is no stream to read: name stream.brokers or stream.file")
        }
        let reader = UUID().uuidString.lowercased()
        let stream = KafkaTransactionStream.Settings(
            kafka: try kafkaSettings(brokers, settings),
            group: "\(settings.text("stream.group"))-rebuild-\(reader)", topic: settings.text("stream.topic"),
            guarantee: .atLeastOnce, instance: reader)
        return try KafkaTransactionStream(stream, logger: logger)
    }

    private static func file(
        _ input: String, _ settings: Settings, data: DataDirectory, checkpoint: [UInt8]?,
        snapshots: WindowSnapshots?, zone: PlaceZone?, logger: Logger
    ) -> @Sendable () throws -> any TransactionStream {
        let pace = settings.real("stream.rate")
        var files = FileTransactionStream.Settings(
            input: input, verdicts: settings.optionalText("stream.output") ?? data.file("anomalies.jsonl"),
            deadLetters: data.file("deadletters.jsonl"),
            checkpointPath: checkpoint == nil ? data.file("stream.checkpoint") : nil,
            recordsPerSecond: pace > 0 ? pace : nil)
        files.skewMilliseconds = windowStage(settings).skewMilliseconds
        files.looksAhead = input != "-"
        files.isGrowing = true
        files.zone = zone
        let stream = files
        // A later session goes on where the one before it stood.
        let last = Mutex<FileTransactionStream?>(nil)
        return {
            try last.withLock { last in
                let opened = try FileTransactionStream(stream, checkpoint: try last?.checkpoint ?? checkpoint)
                for notice in opened.notices { logger.warning("\(notice)") }
                if opened.isUnsaved { snapshots?.write(opened) }
                last = opened
                return opened
            }
        }
    }

    private static func kafka(
        _ kafka: KafkaSettings, _ settings: Settings, instance: String,
        guarantee: KafkaTransactionStream.DeliveryGuarantee?, logger: Logger, keep: MockKafkaCluster?
    ) -> @Sendable () throws -> any TransactionStream {
        var stream = KafkaTransactionStream.Settings(
            kafka: kafka, group: settings.text("stream.group"), topic: settings.text("stream.topic"),
            verdictTopic: settings.text("stream.anomalies"),
            deadLetterTopic: settings.text("stream.deadletters"),
            guarantee: guarantee ?? .init(rawValue: settings.text("stream.delivery")) ?? .exactlyOnce,
            instance: instance)
        stream.beyondEnd = .init(rawValue: settings.text("stream.beyondend")) ?? .wait
        let opened = stream
        return { try withExtendedLifetime(keep) { try KafkaTransactionStream(opened, logger: logger) } }
    }

    static func kafkaSettings(_ brokers: String, _ settings: Settings) throws -> KafkaSettings {
        var kafka = KafkaSettings(bootstrapServers: brokers)
        kafka.extra = try settings.properties("stream.properties")
        return kafka
    }

    /// Sees to it that offsets of another topic, group or cluster than this one are not taken for its own.
    ///
    /// - Parameter saved: What the snapshot of the windows says that they are of; empty: nothing.
    private static func place(
        _ memory: MemoryWindowStore, _ snapshots: WindowSnapshots, saved: [UInt8], _ kafka: KafkaSettings,
        _ settings: Settings, logger: Logger
    ) throws {
        let admin = try KafkaAdmin(settings: kafka, logger: logger)
        var place = KafkaPlace(
            topic: settings.text("stream.topic"), group: settings.text("stream.group"),
            cluster: admin.clusterID(timeoutMilliseconds: 2_000))
        let before = KafkaPlace(checkpoint: saved)
        let difference = before.map { $0.difference(from: place) } ?? "another stream"
        if !saved.isEmpty, let difference {
            memory.forgetOffsets()
            logger.warning(
                "the windows in memory are of another stream: they are kept, their offsets are not",
                metadata: ["of": "\(difference)"])
        } else if place.cluster == nil {
            place.cluster = before?.cluster
        }
        snapshots.move(to: try place.checkpoint)
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
            // Short, as nobody hears meanwhile that the process is to end: the next session tries again.
            try admin.createTopics(topics, timeoutMilliseconds: 3_000)
        } catch  where error.isRetryable {
            throw error
        } catch {
            // Perhaps nobody may make topics here, and they are there already; reading says if not.
            logger.warning("topics could not be made", metadata: ["reason": "\(error)"])
        }
        return true
    }
}
