import Foundation
import Kafka
import Logging
import ObjectStore

/// What `make fixtures` wrote: a stream, its lake, models, and the verdicts of replay.
enum Fixtures {
    static let folder = ServiceProcess.root.appending(path: "fixtures")

    static func lines(_ name: String) throws -> [String] {
        try String(contentsOf: folder.appending(path: name), encoding: .utf8).split(separator: "\n").map(
            String.init)
    }

    /// How many versions the global model has.
    static var globalVersions: Int {
        get throws {
            let names = try FileManager.default.contentsOfDirectory(
                atPath: folder.appending(path: "store/models/global").path)
            return names.count { $0.hasSuffix(".model") }
        }
    }

    /// Copies a folder of the fixtures into an object store.
    static func upload(_ name: String, to store: any ObjectStore) throws {
        let root = folder.appending(path: name)
        let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            guard !file.hasDirectoryPath else { continue }
            let key = String(file.standardizedFileURL.path.dropFirst(root.standardizedFileURL.path.count + 1))
            try store.put(key, [UInt8](Data(contentsOf: file)), if: .always)
        }
    }

    static func s3(prefix: String) throws -> any ObjectStore {
        let settings = try Stack.s3Settings
        return try makeObjectStore(
            uri: "s3://\(try Stack.variable("S3_BUCKET"))/\(prefix)",
            settings: S3Settings(
                endpoint: settings["s3.endpoint"], region: settings["s3.region"] ?? "us-east-1",
                credentials: S3Credentials(
                    accessKey: settings["s3.accesskey"] ?? "", secretKey: settings["s3.secretkey"] ?? "")))
    }

    /// The verdicts without the part that names the stream, in one order.
    static func comparable(_ verdicts: [String]) -> [String] {
        verdicts.map { $0.replacing(/"source":\{[^}]*\}/, with: "") }.sorted()
    }
}

/// A new set of topics, groups and prefixes for one test, on the real servers.
struct Deployment {
    let run = UUID().uuidString.lowercased()
    let folder: URL
    let partitions: Int

    init(partitions: Int = 4) throws {
        self.partitions = partitions
        folder = FileManager.default.temporaryDirectory.appending(path: "ml-service-test-\(run)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func topic(_ name: String) -> String { "\(name)-\(run)" }

    func settings(_ more: [String: String] = [:]) throws -> [String: String] {
        let bucket = try Stack.variable("S3_BUCKET")
        return try [
            "stream.brokers": Stack.brokers, "redis.url": Stack.redis, "redis.prefix": "\(run):",
            "windows.warm": "never",
            "store.uri": "s3://\(bucket)/\(run)",
            "lake.uri": "s3://\(bucket)/\(run)/lake", "stream.topic": topic("transactions"),
            "stream.anomalies": topic("anomalies"), "stream.deadletters": topic("dlq"),
            // This broker answers a reader of an empty topic at once, which would then ask without a pause.
            "labels.topic": "", "stream.group": "group-\(run)", "stream.partitions": "\(partitions)",
        ].merging(Stack.s3Settings) { $1 }.merging(more) { $1 }
    }

    private var kafka: KafkaSettings { get throws { KafkaSettings(bootstrapServers: try Stack.brokers) } }

    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Produces lines keyed by the user they name, as the documentation asks for.
    ///
    /// - Parameter key: In place of the user.
    func produce(_ lines: [String], key: String? = nil) throws {
        let admin = try KafkaAdmin(settings: try kafka, logger: Self.logger)
        try admin.createTopics([.init(name: topic("transactions"), partitions: partitions)])
        let producer = try KafkaProducer(settings: try kafka, logger: Self.logger)
        for line in lines {
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            try producer.produce(
                topic: topic("transactions"), key: key ?? object?["user_id"] as? String ?? "nobody",
                payload: Array(line.utf8))
        }
        try producer.flush()
        try producer.close()
    }

    /// Reads committed messages of a topic from its beginning until there are so many, and a moment longer, so that
    /// one too many would be seen; gives up when none more has come for a while.
    ///
    /// From a reader that is behind an abort this broker hides what the same producer commits later (see
    /// scripts/stack). So a reader that falls silent too early is followed by a new one, which begins at offset 0.
    func messages(_ name: String, count: Int, timeoutSeconds: Double = 90) throws -> [Message] {
        var most: [Message] = []
        var deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        repeat {
            let found = try messagesOfOneReader(name, count: count, silence: .seconds(10))
            guard found.count > most.count else { continue }
            most = found
            deadline = .now + .seconds(timeoutSeconds)
        } while most.count < count && .now < deadline
        return most
    }

    private func messagesOfOneReader(_ name: String, count: Int, silence: Duration) throws -> [Message] {
        let consumer = try KafkaConsumer(
            settings: try kafka, groupID: "reader-\(UUID().uuidString)", topics: [topic(name)],
            logger: Self.logger)
        defer { consumer.close() }
        var found: [Message] = []
        var deadline = ContinuousClock.now + silence
        var isComplete = false
        while ContinuousClock.now < deadline {
            guard let messages = try? consumer.poll(maximumCount: 1_000, timeoutMilliseconds: 200) else {
                continue
            }
            for index in 0..<messages.count {
                found.append(
                    Message(
                        key: String(decoding: messages.key(index), as: UTF8.self),
                        value: String(decoding: messages.payload(index), as: UTF8.self),
                        headers: messages.headers(index).map {
                            ($0.name, String(decoding: $0.value ?? [], as: UTF8.self))
                        }))
            }
            if messages.count > 0, !isComplete { deadline = .now + silence }
            if found.count >= count, !isComplete {
                isComplete = true
                deadline = .now + .seconds(1)
            }
        }
        return found
    }

    /// The messages' bytes alone.
    func consume(_ name: String, count: Int, timeoutSeconds: Double = 90) throws -> [String] {
        try messages(name, count: count, timeoutSeconds: timeoutSeconds).map(\.value)
    }

    struct Message {
        let key: String
        let value: String
        let headers: [(name: String, value: String)]
    }
}
