/// The settings as docs/configuration.md shows them.
extension Setting {
    /// Before the first dot of the key; settings without one belong together.
    var group: String { key.contains(".") ? String(key.prefix { $0 != "." }) : "" }

    /// What the settings of each group are about, in the order of the page.
    static let groups: [(name: String, title: String)] = [
        ("data", "`data`: this machine's state"),
        ("", "Times"),
        ("stream", "`stream`: where transactions come from and verdicts go"),
        ("registry", "`registry`: schemas of the records"),
        ("batch", "`batch`: how much is scored together"),
        ("publish", "`publish`: how verdicts look"),
        ("redis", "`redis`: users' windows, jobs, events"),
        ("windows", "`windows`: what is remembered of users"),
        ("store", "`store`: where models are"),
        ("lake", "`lake`: where transactions of the past are"),
        ("s3", "`s3`: how buckets are reached"),
        ("labels", "`labels`: what transactions turned out to be"),
        ("references", "`references`: tables of what labels say"),
        ("training", "`training`: jobs"),
        ("models", "`models`: memory, cache, signatures"),
        ("flood", "`flood`: when a model alerts far too often"),
        ("rules", "`rules`: what analysts say"),
        ("alerts", "`alerts`: groups of them"),
        ("http", "`http`: the API"),
        ("admin", "`admin`: its key"),
        ("promote", "`promote`: who lets a model serve"),
        ("webhooks", "`webhooks`: word to people"),
        ("telemetry", "`telemetry`: spans"),
        ("plugins", "`plugins`: detectors from outside"),
        ("snapshot", "`snapshot`: windows in memory"),
        ("log", "`log`"),
    ]

    /// Enough to serve a topic; everything else is embedded or has its default.
    static let minimalExample = """
        {
          "stream": { "brokers": "kafka:9092" },
          "redis": { "url": "redis://redis:6379/0" },
          "store": { "uri": "s3://bank-ml/models" },
          "lake": { "uri": "s3://bank-ml/lake" }
        }
        """

    static let fullExample = """
        {
          "data": { "directory": "/var/lib/ml-service" },
          "timezone": "Europe/Amsterdam",
          "stream": {
            "brokers": "kafka-1:9093,kafka-2:9093", "group": "ml-service", "workers": 2,
            "topic": "transactions", "anomalies": "anomalies", "deadletters": "transactions.dlq",
            "properties": {
              "security.protocol": "sasl_ssl", "ssl.ca.location": "/etc/ml-service/ca.pem",
              "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "scoring", "sasl.password": "..."
            }
          },
          "redis": {
            "url_file": "/run/secrets/redis-url", "ca": "/etc/ml-service/ca.pem", "prefix": "ml:"
          },
          "store": { "uri": "s3://bank-ml/models" },
          "lake": { "uri": "s3://bank-ml/lake", "onbadfile": "skip" },
          "s3": {
            "endpoint": "https://s3.example.com", "region": "eu-west-1",
            "accesskey_file": "/run/secrets/s3-access", "secretkey_file": "/run/secrets/s3-secret"
          },
          "training": { "schedule": "0 3 * * *", "days": 45 },
          "references": { "lag": 7, "hours": 1 },
          "models": { "memory": 1073741824, "hmackey_file": "/run/secrets/hmac" },
          "flood": { "policy": "rollback", "factor": 5 },
          "http": {
            "host": "0.0.0.0", "port": 8443, "publicread": "no", "keys": "/etc/ml-service/keys.json",
            "certificate": "/etc/ml-service/http.pem", "certificatekey": "/etc/ml-service/http.key"
          },
          "promote": { "identities": 2 },
          "webhooks": {
            "url": "https://hooks.example.com/ml", "secret_file": "/run/secrets/webhooks"
          },
          "telemetry": { "otlp": "http://collector:4318" },
          "log": { "level": "notice" }
        }
        """

    /// docs/configuration.md, from the table of settings alone: no file and no variable is looked at.
    static func documentation() -> String {
        let tables = groups.map { group in
            let rows = all.filter { $0.group == group.name }.map(\.row)
            return """
                ### \(group.title)

                | name in the file | variable | kind | default | meaning |
                |---|---|---|---|---|
                \(rows.joined(separator: "\n"))
                """
        }
        return """
            # Configuration

            \(head)

            ### The least

                \(minimalExample.replacing("\n", with: "\n    "))

            ### Much of it

                \(fullExample.replacing("\n", with: "\n    "))

            ## All settings

            Those marked *secret* may come from a file, too.

            \(tables.joined(separator: "\n\n"))

            """
    }

    private static let head = """
        Every setting has a default. Without any configuration all parts are embedded: an in-process Kafka, windows in memory,
        models and lake in directories. Naming a broker, a Redis or a bucket switches that part. This page is written by
        `ml-service settings --markdown`; `ml-service settings` shows the values in force, and
        `ml-service doctor --config FILE` tries every part that they name.

        ## Where a value comes from

        Of several the last one counts:

        | | how | example |
        |---|---|---|
        | 1 | the default | |
        | 2 | the configuration file, JSON, named by `--config` or else by `ML_SERVICE_CONFIG` | `{"http": {"port": 9000}}` |
        | 3 | a variable of the environment | `ML_SERVICE_HTTP_PORT=9000` |
        | 4 | `--set`, which may be repeated | `--set http.port=9000` |
        | 5 | a command's own option, where it has one for the setting | `--store`, `--lake`, `--data` |

        - **Names** are dotted. In the file they may be nested: `{"http": {"port": 9000}}` is `{"http.port": 9000}`. A variable has
          the name in capitals with `_` for the dot, behind `ML_SERVICE_`.
        - **Values** in the file are texts or numbers; `true`, `false`, `null` and lists are refused. An empty text is no value: it
          counts as if it were not given. Only of a setting without a default, of `labels.topic` and of `redis.prefix` it says that
          there is none.
        - **Secrets** need not stand in the file, the environment or a command line: with `_file` (`_FILE`) behind its name a setting
          names a file that holds the secret, at most 64 KiB: `admin.key_file` in the file and behind `--set`,
          `ML_SERVICE_ADMIN_KEY_FILE`. The end of a line behind it is left out. A secret and its file together are an error, wherever
          they come from. Values of secrets are shown nowhere, only that they are set.
        - **What is unknown is refused**: a name in the file or behind `--set` that is no setting, one that stands twice in the file, and
          a value of the wrong kind or out of range end the command with 64 and a line that names it. Behind `--set` the last counts. A variable that begins with
          `ML_SERVICE_` and is no setting is warned of by `serve`, as orchestrators set such ones.
        - **Librdkafka's properties** (`stream.properties`) are an object in the file, in which `true` and `false` are allowed, or
          `name=value;name=value` elsewhere.
        - **`--set`** is taken by all commands but `generate`, `keys`, `api` and `detectors verify`, which need no settings. In `evaluate` it sets a
          parameter of the detector.
        - **When it is read**: at the start. What is read again while `serve` runs: `http.keys`, `http.certificate`, its key and
          `http.clientca` when they change, and `redis.ca`, `redis.certificate` and its key with each new connection.
        - DATA below stands for the value of `data.directory`.

        ## Examples
        """

    private var row: String {
        let cells = [
            "`\(key)`", "`\(environmentName)`", kind.documented, documentedDefault,
            meaning.replacing("|", with: "\\|"),
        ]
        return "| \(cells.joined(separator: " | ")) |"
    }

    private var documentedDefault: String {
        guard !defaultValue.isEmpty else { return "" }
        guard meaning.hasPrefix("bytes"), let bytes = Int(defaultValue), bytes % (1 << 20) == 0 else {
            return "`\(defaultValue)`"
        }
        return bytes % (1 << 30) == 0
            ? "`\(defaultValue)` (\(bytes >> 30) GiB)" : "`\(defaultValue)` (\(bytes >> 20) MiB)"
    }
}

extension Setting.Kind {
    /// As `words`, shorter where the head of the page says it.
    fileprivate var documented: String {
        switch self {
        case .secret: "text, *secret*"
        case .properties: "names and values, *secret*"
        case .choice(let choices): choices.map { "`\($0)`" }.joined(separator: ", ")
        default: words
        }
    }
}
