import Models

extension Setting {
    static let all: [Setting] = [
        Setting(
            key: "data.directory", kind: .text, defaultValue: ".data",
            meaning: "local state: model cache, jobs, windows, and what the embedded defaults keep"),
        Setting(
            key: "timezone", kind: .text, defaultValue: "",
            meaning:
                "place (Europe/Amsterdam) whose clock gave times that do not say their zone; none: they are refused"
        ),
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
            key: "stream.partitions", kind: .integer(0...10_000), defaultValue: "8",
            meaning: "partitions of a topic that does not exist and is made at start; 0: make none"),
        Setting(
            key: "stream.workers", kind: .integer(1...64), defaultValue: "1",
            meaning:
                "scoring workers in this process that share the topic's partitions, two threads each; "
                + "with stream.brokers and redis.url, else one"),
        Setting(key: "stream.group", kind: .text, defaultValue: "ml-service", meaning: "consumer group"),
        Setting(
            key: "stream.delivery", kind: .choice(["exactly-once", "at-least-once"]),
            defaultValue: "exactly-once",
            meaning: "at-least-once where the broker has no transactions: duplicates are byte-identical"),
        Setting(
            key: "stream.beyondend", kind: .choice(["wait", "end"]), defaultValue: "wait",
            meaning:
                "a partition whose committed offset lies beyond its end: wait and say so, or go on at its end"
        ),
        Setting(
            key: "stream.standing", kind: .integer(0...86_400), defaultValue: "60",
            meaning:
                "seconds without progress of the group in a partition that gets records, until /readyz says so; 0: not asked"
        ),
        Setting(
            key: "stream.publish", kind: .choice(["anomalies", "all"]), defaultValue: "anomalies",
            meaning: "which verdicts are published"),
        Setting(
            key: "stream.properties", kind: .properties, defaultValue: "",
            meaning:
                "further librdkafka properties: an object in the file, or name=value;name=value, kept secret"),
        Setting(
            key: "registry.url", kind: .text, defaultValue: "",
            meaning:
                "schema registry of records that Confluent's serialisers wrote, https://registry:8081; none: of those JSON alone is read"
        ),
        Setting(
            key: "registry.user", kind: .text, defaultValue: "",
            meaning: "user of the schema registry, or the id of an API key; none: no authentication"),
        Setting(
            key: "registry.password", kind: .secret, defaultValue: "",
            meaning: "its password, or the API key's secret"),
        Setting(
            key: "registry.ca", kind: .text, defaultValue: "",
            meaning:
                "PEM file of the authorities that the registry's certificate may be of; none: the system's"),
        Setting(
            key: "batch.records", kind: .integer(1...100_000), defaultValue: "16000",
            meaning: "records in a batch at most; so many are taken together only when the service is behind"),
        Setting(
            key: "batch.bytes", kind: .integer(1_024...(64 << 20)), defaultValue: "\(4 << 20)",
            meaning: "bytes in a batch at most"),
        Setting(
            key: "batch.milliseconds", kind: .integer(1...10_000), defaultValue: "2",
            meaning: "how long a batch is kept open after its first record"),
        Setting(
            key: "publish.cloudevents", kind: .choice(["on", "off"]), defaultValue: "off",
            meaning: "verdicts carry the attributes of CloudEvents 1.0 as headers (ce_id, ...), for Kafka"),
        Setting(
            key: "redis.url", kind: .secret, defaultValue: "",
            meaning:
                "redis://[user:password@]host:port/db, rediss:// for TLS, or unix:///path; none: windows in memory with a snapshot"
        ),
        Setting(
            key: "redis.ca", kind: .text, defaultValue: "",
            meaning:
                "with rediss://: PEM file of the authorities that its certificate may be of; none: the system's"
        ),
        Setting(
            key: "redis.certificate", kind: .text, defaultValue: "",
            meaning: "with rediss://: PEM file of the certificate that this service shows; none: none"),
        Setting(
            key: "redis.certificatekey", kind: .text, defaultValue: "", meaning: "PEM file of its key"),
        Setting(
            key: "redis.prefix", kind: .text, defaultValue: "ml:",
            meaning: "of the keys of windows and events, so that services can share a Redis"),
        Setting(
            key: "windows.skew", kind: .integer(1...(366 * 86_400)), defaultValue: "86400",
            meaning:
                "seconds an event may be dated ahead of its stream's time; further ahead it moves no window"),
        Setting(
            key: "windows.cold", kind: .integer(0...1_000_000), defaultValue: "5",
            meaning: "users with fewer transactions in the 30 days before are marked cold; 0: nobody is"),
        Setting(
            key: "windows.warm", kind: .choice(["first-start", "never"]), defaultValue: "first-start",
            meaning:
                "first-start: windows are filled from the lake (if lake.uri names one) before the first batch"
        ),
        Setting(
            key: "windows.days", kind: .integer(31...3_650), defaultValue: "35",
            meaning: "days that Redis keeps a window which nobody writes; windows reach back 30"),
        Setting(
            key: "windows.memory", kind: .integer((16 << 20)...Int.max), defaultValue: "\(2 << 30)",
            meaning: "bytes of windows in memory; above it idle users' go first"),
        Setting(
            key: "store.uri", kind: .text, defaultValue: "",
            meaning: "where models are: a directory or s3://bucket/prefix; default DATA/store"),
        Setting(
            key: "lake.uri", kind: .text, defaultValue: "",
            meaning:
                "where processed/yyyy/mm/dd/*.parquet are: a directory or s3://bucket/prefix; default DATA/lake"
        ),
        Setting(
            key: "lake.onbadfile", kind: .choice(["fail", "skip"]), defaultValue: "fail",
            meaning:
                "a file of raw/ or the lake that cannot be read: ends etl and the training job, or is left out and named"
        ),
        Setting(
            key: "labels.topic", kind: .text, defaultValue: "labels",
            meaning: "topic of labels, read by the training role; empty: none"),
        Setting(
            key: "labels.deadletters", kind: .text, defaultValue: "labels.dlq",
            meaning: "topic of messages that are no labels"),
        Setting(
            key: "training.schedule", kind: .text, defaultValue: "",
            meaning:
                "when the training role retrains the global model and users with new transactions, in UTC and the words of cron: 0 3 * * *, or @daily; none: never"
        ),
        Setting(
            key: "training.days", kind: .integer(1...3_660), defaultValue: "45",
            meaning: "days of the lake, the last ones, that training by schedule learns from"),
        Setting(
            key: "training.keepdays", kind: .integer(1...3_660), defaultValue: "90",
            meaning: "days that a training job is listed after its end, with its idempotency key"),
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
            key: "rules.seconds", kind: .integer(1...86_400), defaultValue: "5",
            meaning: "how often serving looks for newer rules"),
        Setting(
            key: "alerts.group", kind: .integer(1...(366 * 86_400)), defaultValue: "3600",
            meaning: "seconds of event time within which alerts of one user are one group"),
        Setting(
            key: "s3.endpoint", kind: .text, defaultValue: "",
            meaning: "https://host[:port] of an S3-compatible store; none: Amazon's for the region"),
        Setting(
            key: "s3.ca", kind: .text, defaultValue: "",
            meaning: "PEM file of the authorities that the store's certificate may be of; none: the system's"),
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
            key: "http.certificate", kind: .text, defaultValue: "",
            meaning:
                "PEM file of the HTTP API's certificate and its chain, read again when it changes; none: no TLS"
        ),
        Setting(
            key: "http.certificatekey", kind: .text, defaultValue: "", meaning: "PEM file of its key"),
        Setting(
            key: "http.clientca", kind: .text, defaultValue: "",
            meaning:
                "PEM file of authorities; clients must show a certificate of one of them; none: they need none"
        ),
        Setting(
            key: "http.connections", kind: .integer(8...100_000), defaultValue: "256",
            meaning:
                "connections to the HTTP API at most; fewer where that leaves the process no 512 file handles"
        ),
        Setting(
            key: "http.publicread", kind: .choice(["auto", "yes", "no"]), defaultValue: "auto",
            meaning:
                "whether looking needs no key; auto: on a loopback address, asked by its name, it needs none"),
        Setting(
            key: "http.auditlog", kind: .text, defaultValue: "",
            meaning:
                "file of what was changed over HTTP by whom; default DATA/audit.log; the word none: no log is kept"
        ),
        Setting(
            key: "http.keys", kind: .text, defaultValue: "",
            meaning: "file of further keys with names and scopes; `ml-service keys make` writes entries"),
        Setting(
            key: "telemetry.otlp", kind: .text, defaultValue: "",
            meaning:
                "OpenTelemetry collector that gets a span a batch, http://collector:4318; none: no spans"
        ),
        Setting(
            key: "telemetry.ca", kind: .text, defaultValue: "",
            meaning:
                "PEM file of the authorities that the collector's certificate may be of; none: the system's"),
        Setting(
            key: "webhooks.url", kind: .text, defaultValue: "",
            meaning:
                "where promotions, models that the gate refused, alert floods and failed jobs are posted to; none: nowhere"
        ),
        Setting(
            key: "webhooks.ca", kind: .text, defaultValue: "",
            meaning: "PEM file of the authorities that its certificate may be of; none: the system's"),
        Setting(
            key: "webhooks.secret", kind: .secret, defaultValue: "",
            meaning: "signs them (Standard Webhooks): whsec_ and 24 to 64 bytes in base64"),
        Setting(
            key: "admin.key", kind: .secret, defaultValue: "",
            meaning: "key that changing HTTP calls need; none: they are refused"),
        Setting(
            key: "promote.identities", kind: .integer(1...2), defaultValue: "1",
            meaning: "2: a promotion over HTTP waits until a key of another name confirms it"),
        Setting(
            key: "plugins.folders", kind: .text, defaultValue: "",
            meaning: "folders of detector plugins, colon-separated, besides the executable's own"),
        Setting(
            key: "plugins.allowed", kind: .text, defaultValue: "",
            meaning: "SHA-256 of the plugins of those folders that may be loaded; none: whatever lies there"),
        Setting(
            key: "plugins.isolation", kind: .choice(["none", "process"]), defaultValue: "none",
            meaning:
                "process: the plugins of those folders run in processes of their own, which may crash, without network and files"
        ),
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
            key: "models.userbytes", kind: .integer((64 << 10)...(1 << 30)), defaultValue: "\(16 << 20)",
            meaning: "bytes that a user's model may have; a larger one is neither stored nor loaded"),
        Setting(
            key: "models.usertotal", kind: .integer((64 << 10)...Int.max), defaultValue: "\(256 << 20)",
            meaning: "bytes that all stored versions of a user's model may have together"),
        Setting(
            key: "training.waiting", kind: .integer(1...1_000_000), defaultValue: "10000",
            meaning: "training jobs of one API key that may wait at a time"),
        Setting(
            key: "training.hourly", kind: .integer(1...1_000_000), defaultValue: "20000",
            meaning: "training jobs that one API key may submit within an hour"),
        Setting(
            key: "models.seconds", kind: .integer(1...86_400), defaultValue: "10",
            meaning: "how often serve looks into the catalogue for promotions that it has not heard of"),
        Setting(
            key: "models.hmackey", kind: .secret, defaultValue: "",
            meaning: "signs artifacts and rules, and refuses those that are not signed with it"),
        Setting(
            key: "models.oldhmackeys", kind: .secret, defaultValue: "",
            meaning: "keys that signed before it and still verify, separated by spaces or line ends"),
        Setting(
            key: "flood.policy", kind: .choice(FloodPolicy.allCases.map(\.rawValue)), defaultValue: "report",
            meaning:
                "when a model's alerts of the last hour, by event time, exceed its budget by the factor, with at least 500 transactions of it in that hour: report, rollback to the version before, or cap: lower the threshold so that the budget holds"
        ),
        Setting(
            key: "flood.factor", kind: .real(1...1_000), defaultValue: "5",
            meaning: "times its alert budget that a model may raise"),
        Setting(
            key: "flood.seconds", kind: .integer(1...3_600), defaultValue: "10",
            meaning: "how often alert rates are looked at and drift is exported"),
        Setting(
            key: "snapshot.seconds", kind: .integer(1...86_400), defaultValue: "10",
            meaning: "how often windows in memory are written to the data directory"),
        Setting(
            key: "log.level", kind: .choice(["trace", "debug", "info", "notice", "warning", "error"]),
            defaultValue: "notice", meaning: "least level of the log, which goes to standard error"),
    ]
}

extension Setting {
    static func named(_ key: String) -> Setting? {
        if let setting = all.first(where: { $0.key == key }) { return setting }
        // `admin.key_file` names the file of `admin.key`.
        guard key.hasSuffix("_file"), let secret = named(String(key.dropLast(5))), secret.isSecret else {
            return nil
        }
        return Setting(
            key: key, kind: .text, defaultValue: "", meaning: "file that holds \(secret.key)")
    }
}
