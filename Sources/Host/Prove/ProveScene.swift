import Foundation

/// What a proof is to do.
struct ProveOptions: Sendable {
    var minutes: Double
    var seed: UInt64
    var workers: Int
    var partitions: Int
    /// Transactions a second.
    var rate: Int
    /// Servers of its own.
    var hasOwnServers: Bool
    var promotes: Bool
    var losesWindows: Bool
    /// Workers have disks of their own, which may be filled.
    var fillsDisks = false
}

/// The names, settings and files of one proof: topics, group, keys and store are its own.
struct ProveScene {
    let options: ProveOptions
    let run: String
    let folder: URL
    /// In force for workers, commands, and whoever promotes.
    let settings: Settings
    /// The broker without the proxy, for whoever only looks.
    let directBrokers: String

    /// Short enough to see that a worker is gone, and what Kafka allows at least.
    static let sessionSeconds = 6.0

    init(
        _ options: ProveOptions, _ base: Settings, run: String, folder: URL, servers: ProveServers?
    ) throws {
        self.options = options
        self.run = run
        self.folder = folder
        directBrokers = servers?.brokerAddress ?? base.text("stream.brokers")
        var properties = [
            "session.timeout.ms": "\(Int(Self.sessionSeconds * 1_000))", "heartbeat.interval.ms": "1500",
        ]
        properties.merge(try base.properties("stream.properties")) { $1 }
        let store = servers?.objects.uri ?? base.text("store.uri")
        let changes = [
            "stream.brokers": servers?.proxy.address ?? base.text("stream.brokers"),
            "redis.url": servers?.redisURL ?? base.text("redis.url"), "redis.prefix": "prove-\(run):",
            "stream.file": "", "stream.output": "", "stream.topic": "prove-\(run)-transactions",
            "stream.anomalies": "prove-\(run)-verdicts", "stream.deadletters": "prove-\(run)-dlq",
            "stream.group": "prove-\(run)", "stream.publish": "all", "stream.delivery": "exactly-once",
            "stream.partitions": "\(options.partitions)",
            "stream.properties": properties.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                .joined(separator: ";"),
            "labels.topic": "", "training.schedule": "", "references.refresh": "off",
            "store.uri": store.hasPrefix("s3://")
                ? "\(store)/prove-\(run)" : folder.appending(path: "store").path,
            "lake.uri": "", "windows.warm": "never", "batch.records": "500", "http.host": "127.0.0.1",
            "http.publicread": "yes", "http.auditlog": "none", "http.keys": "",
            "data.directory": folder.appending(path: "promoter").path, "log.level": "notice",
        ]
        settings = try base.changing(changes.merging(servers?.objects.settings ?? [:]) { $1 })
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Of a process of the service: this one's without its settings, and these settings.
    func environment(_ changes: [String: String]) throws -> [String: String] {
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("ML_SERVICE_") }
        let settings = try settings.changing(changes)
        for setting in Setting.all { environment[setting.environmentName] = settings.text(setting.key) }
        return environment
    }

    static var executable: String {
        get throws { try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") }
    }

    /// Runs a command of this service to its end.
    func command(
        _ name: String, _ arguments: [String], silence: Double, children: ProveChildren
    ) throws {
        let process = try ProveProcess(
            name, try Self.executable, arguments,
            environment: try environment(["data.directory": path("\(name)-data")]),
            log: path("\(name).log"), children: children)
        try process.succeed(silence: silence)
    }
}
