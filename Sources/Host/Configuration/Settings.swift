import Configuration
import Foundation
import Models
import SystemPackage

/// Everything that can be configured, in one table: reading, `ml-service settings` and the unknown-key check
/// use it.
///
/// A value comes from the defaults, then the configuration file, then `ML_SERVICE_*`, then flags.
struct Setting: Sendable {
    enum Kind: Sendable {
        case text
        case secret
        case integer(ClosedRange<Int>)
        case real(ClosedRange<Double>)
        case choice([String])
    }

    /// Dotted, as in the file: `http.port`; the environment's name is `ML_SERVICE_HTTP_PORT`.
    let key: String
    let kind: Kind
    /// Empty: none.
    let defaultValue: String
    let meaning: String

    var environmentName: String {
        "ML_SERVICE_" + key.uppercased().replacing(".", with: "_")
    }
}

extension Setting {
    static let all: [Setting] = [
        Setting(
            key: "data.directory", kind: .text, defaultValue: ".data",
            meaning: "local state: model cache, jobs, windows, and what the embedded defaults keep"),
        Setting(
            key: "stream.brokers", kind: .text, defaultValue: "",
            meaning:
                "Kafka bootstrap servers, host:port,...; none: an in-process mock cluster, or stream.file"),
        Setting(
            key: "stream.file", kind: .text, defaultValue: "",
            meaning: "read transactions from this JSONL file, or - for standard input, in place of Kafka"),
        Setting(
            key: "stream.output", kind: .text, defaultValue: "",
            meaning:
                "with stream.file: where verdicts go; default DATA/anomalies.jsonl; - for standard output"),
        Setting(
            key: "stream.rate", kind: .real(0...1e9), defaultValue: "0",
            meaning: "with stream.file: records a second at most; 0: no limit"),
        Setting(key: "stream.topic", kind: .text, defaultValue: "transactions", meaning: "topic to consume"),
        Setting(
            key: "stream.anomalies", kind: .text, defaultValue: "anomalies", meaning: "topic of verdicts"),
        Setting(
            key: "stream.deadletters", kind: .text, defaultValue: "transactions.dlq",
            meaning: "topic of messages that are no transactions"),
        Setting(
            key: "labels.topic", kind: .text, defaultValue: "labels",
            meaning: "topic of labels, read by the training role; empty: none"),
        Setting(
            key: "labels.deadletters", kind: .text, defaultValue: "labels.dlq",
            meaning: "topic of messages that are no labels"),
        Setting(
            key: "stream.partitions", kind: .integer(0...10_000), defaultValue: "8",
            meaning: "partitions of a topic that does not exist and is made at start; 0: make none"),
        Setting(key: "stream.group", kind: .text, defaultValue: "ml-service", meaning: "consumer group"),
        Setting(
            key: "stream.delivery", kind: .choice(["exactly-once", "at-least-once"]),
            defaultValue: "exactly-once",
            meaning: "at-least-once where the broker has no transactions: duplicates are byte-identical"),
        Setting(
            key: "stream.publish", kind: .choice(["anomalies", "all"]), defaultValue: "anomalies",
            meaning: "which verdicts are published"),
        Setting(
            key: "stream.properties", kind: .secret, defaultValue: "",
            meaning: "further librdkafka properties, name=value;name=value: security.protocol=SASL_SSL;..."),
        Setting(
            key: "batch.records", kind: .integer(1...100_000), defaultValue: "2000",
            meaning: "records in a batch at most"),
        Setting(
            key: "batch.bytes", kind: .integer(1_024...(64 << 20)), defaultValue: "\(4 << 20)",
            meaning: "bytes in a batch at most"),
        Setting(
            key: "batch.milliseconds", kind: .integer(1...10_000), defaultValue: "2",
            meaning: "how long a batch is kept open after its first record"),
        Setting(
            key: "redis.url", kind: .secret, defaultValue: "",
            meaning:
                "redis://[user:password@]host:port/db or unix:///path; none: windows in memory with a snapshot"
        ),
        Setting(
            key: "redis.prefix", kind: .text, defaultValue: "ml:",
            meaning: "of the keys of windows and events, so that services can share a Redis"),
        Setting(
            key: "store.uri", kind: .text, defaultValue: "",
            meaning: "where models are: a directory or s3://bucket/prefix; default DATA/store"),
        Setting(
            key: "lake.uri", kind: .text, defaultValue: "",
            meaning:
                "where processed/yyyy/mm/dd/*.parquet are: a directory or s3://bucket/prefix; default DATA/lake"
        ),
        Setting(
            key: "s3.endpoint", kind: .text, defaultValue: "",
            meaning: "https://host[:port] of an S3-compatible store; none: Amazon's for the region"),
        Setting(
            key: "s3.region", kind: .text, defaultValue: "us-east-1", meaning: "region to sign for; R2: auto"),
        Setting(key: "s3.accesskey", kind: .secret, defaultValue: "", meaning: "access key id"),
        Setting(key: "s3.secretkey", kind: .secret, defaultValue: "", meaning: "secret access key"),
        Setting(
            key: "s3.sessiontoken", kind: .secret, defaultValue: "", meaning: "session token, if there is one"
        ),
        Setting(key: "http.host", kind: .text, defaultValue: "127.0.0.1", meaning: "address to listen on"),
        Setting(
            key: "http.port", kind: .integer(0...65_535), defaultValue: "8080",
            meaning: "port of the HTTP API; 0: any free one"),
        Setting(
            key: "admin.key", kind: .secret, defaultValue: "",
            meaning: "key that changing HTTP calls need; none: they are refused"),
        Setting(
            key: "plugins.folders", kind: .text, defaultValue: "",
            meaning: "folders of detector plugins, colon-separated, besides the executable's own"),
        Setting(
            key: "plugins.isolation", kind: .choice(["none", "process"]), defaultValue: "none",
            meaning: "process: the plugins of those folders run in processes of their own, which may crash"),
        Setting(
            key: "plugins.memory", kind: .integer(0...(1 << 20)), defaultValue: "4096",
            meaning: "MiB of address space of such a process; 0: no limit"),
        Setting(
            key: "plugins.seconds", kind: .integer(0...86_400), defaultValue: "30",
            meaning: "how often serve looks for new plugins; 0: only when POST /v1/detectors/rescan asks"),
        Setting(
            key: "models.memory", kind: .integer((16 << 20)...Int.max), defaultValue: "\(512 << 20)",
            meaning: "bytes of ready models kept in memory"),
        Setting(
            key: "models.cache", kind: .integer((16 << 20)...Int.max), defaultValue: "\(8 << 30)",
            meaning: "bytes of artifacts kept in the SQLite cache"),
        Setting(
            key: "models.hmackey", kind: .secret, defaultValue: "",
            meaning: "signs artifacts, and refuses those that are not signed with it"),
        Setting(
            key: "flood.policy", kind: .choice(FloodPolicy.allCases.map(\.rawValue)), defaultValue: "report",
            meaning:
                "when a model's alerts of the last hour, by event time, exceed its budget by the factor: report, rollback to the version before, or cap: lower the threshold so that the budget holds"
        ),
        Setting(
            key: "flood.factor", kind: .real(1...1_000), defaultValue: "5",
            meaning: "times its alert budget that a model may raise"),
        Setting(
            key: "flood.seconds", kind: .integer(1...3_600), defaultValue: "10",
            meaning: "how often alert rates are looked at and drift is exported"),
        Setting(
            key: "references.lag", kind: .integer(0...90), defaultValue: "7",
            meaning: "days after which reference tables count a transaction: about how late labels come"),
        Setting(
            key: "references.hours", kind: .choice(["1", "2", "3", "4", "6", "8", "12", "24"]),
            defaultValue: "1",
            meaning: "hours between two reference tables, in serving and in what training assumes"),
        Setting(
            key: "references.refresh", kind: .choice(["on", "off"]), defaultValue: "on",
            meaning: "off: the training role builds no tables by itself; ml-service references refresh does"),
        Setting(
            key: "references.seconds", kind: .integer(1...86_400), defaultValue: "5",
            meaning: "how often serving looks for a newer reference table"),
        Setting(
            key: "references.age", kind: .integer(1...10_000), defaultValue: "48",
            meaning: "hours after which a reference table counts as stale, and verdicts say so"),
        Setting(
            key: "snapshot.seconds", kind: .integer(1...86_400), defaultValue: "10",
            meaning: "how often windows in memory are written to the data directory"),
        Setting(
            key: "log.level", kind: .choice(["trace", "debug", "info", "notice", "warning", "error"]),
            defaultValue: "notice", meaning: "least level of the log, which goes to standard error"),
    ]
}

/// The settings in force.
struct Settings: Sendable {
    private let values: [String: String]

    /// - Parameters:
    ///   - file: A JSON configuration file, nested or with dotted keys; nil: `ML_SERVICE_CONFIG`, or none.
    ///   - flags: What the command line gave, by key.
    /// - Throws: `UsageError` naming the key and where to look.
    static func load(file: String?, flags: [String: String]) async throws -> Settings {
        let file = file ?? ProcessInfo.processInfo.environment["ML_SERVICE_CONFIG"]
        var providers: [any ConfigProvider] = [
            InMemoryProvider(
                name: "flags",
                values: Dictionary(
                    uniqueKeysWithValues: flags.map {
                        (
                            AbsoluteConfigKey($0.key.split(separator: ".").map(String.init)),
                            ConfigValue(.string($0.value), isSecret: false)
                        )
                    })),
            EnvironmentVariablesProvider().prefixKeys(with: ["ml", "service"]),
        ]
        if let file {
            try checkKeys(of: file)
            do {
                providers.append(try await FileProvider<JSONSnapshot>(filePath: FilePath(file)))
            } catch {
                throw UsageError("the configuration file \(file) cannot be read: \(error)")
            }
        }
        let reader = ConfigReader(providers: providers)
        var values: [String: String] = [:]
        for setting in Setting.all {
            let key = ConfigKey(setting.key)
            let text = reader.string(forKey: key) ?? reader.double(forKey: key).map(Self.plain)
            values[setting.key] = try setting.checked(text ?? setting.defaultValue)
        }
        return Settings(values: values)
    }

    /// `8080` for 8080.0.
    private static func plain(_ number: Double) -> String {
        Int(exactly: number).map { "\($0)" } ?? "\(number)"
    }

    /// A misspelt key would otherwise be ignored silently.
    private static func checkKeys(of file: String) throws {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw UsageError("there is no configuration file \(file)")
        }
        guard let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw UsageError("the configuration file \(file) is not a JSON object")
        }
        let known = Set(Setting.all.map(\.key))
        func visit(_ object: [String: Any], prefix: String) throws {
            for (name, value) in object.sorted(by: { $0.key < $1.key }) {
                let key = prefix + name
                if let inner = value as? [String: Any] {
                    try visit(inner, prefix: key + ".")
                } else if !known.contains(key) {
                    throw UsageError("\(file): there is no setting \(key); `ml-service settings` lists them")
                }
            }
        }
        try visit(root, prefix: "")
    }

    /// Variables that start as ours do and name no setting: a misspelt one, or what an orchestrator sets for a service
    /// of this name.
    static func unknownVariables(_ environment: [String: String]) -> [String] {
        let known = Set(Setting.all.map(\.environmentName) + ["ML_SERVICE_CONFIG"])
        return environment.keys.filter { $0.hasPrefix("ML_SERVICE_") && !known.contains($0) }.sorted()
    }

    func text(_ key: String) -> String { values[key] ?? "" }
    /// nil when empty.
    func optionalText(_ key: String) -> String? { values[key].flatMap { $0.isEmpty ? nil : $0 } }
    func integer(_ key: String) -> Int { Int(text(key)) ?? 0 }
    func real(_ key: String) -> Double { Double(text(key)) ?? 0 }

    /// A path below the data directory.
    func dataPath(_ name: String) -> String { text("data.directory") + "/" + name }

    /// Every setting with its value, secrets hidden.
    var described: [(setting: Setting, value: String)] {
        Setting.all.map { setting in
            let value = text(setting.key)
            if case .secret = setting.kind, !value.isEmpty { return (setting, "(set)") }
            return (setting, value)
        }
    }
}

extension Setting {
    /// - Throws: `UsageError` for a value of the wrong kind.
    fileprivate func checked(_ value: String) throws -> String {
        let isRight =
            switch kind {
            case .text, .secret: true
            case .integer(let range): Int(value).map(range.contains) ?? false
            case .real(let range): Double(value).map(range.contains) ?? false
            case .choice(let choices): choices.contains(value)
            }
        guard isRight else {
            throw UsageError("\(key) (\(environmentName)) cannot be '\(value)': it is \(kind.words)")
        }
        return value
    }
}

extension Setting.Kind {
    var words: String {
        switch self {
        case .text: "text"
        case .secret: "text, kept secret"
        case .integer(let range) where range.upperBound == .max: "a whole number from \(range.lowerBound)"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .real(let range): "a number from \(range.lowerBound) to \(range.upperBound)"
        case .choice(let choices): "one of \(choices.joined(separator: ", "))"
        }
    }
}

/// Wrong usage: exit code 64.
struct UsageError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
