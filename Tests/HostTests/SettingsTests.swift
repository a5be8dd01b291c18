import Foundation
import Synchronization
import Testing

@testable import Host

/// Settings mean one thing, secrets stay secret, and nothing is passed over in silence.
@Suite struct SettingsTests {
    private func file(_ text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "ml-settings-\(UUID().uuidString)")
            .path
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    private func load(
        _ text: String? = nil, environment: [String: String] = [:], flags: [String: String] = [:],
        notice: (String) -> Void = { _ in }
    ) async throws -> Settings {
        try await Settings.load(
            file: try text.map(file), flags: flags, environment: environment, notice: notice)
    }

    @Test func eachSourceStandsAboveTheOneBefore() async throws {
        let text = #"{"http": {"port": 1}, "redis.prefix": "f:", "stream": {"topic": "f"}}"#
        let settings = try await load(
            text, environment: ["ML_SERVICE_HTTP_PORT": "2", "ML_SERVICE_REDIS_PREFIX": "e:"],
            flags: ["http.port": "3"])
        #expect(settings.integer("http.port") == 3)
        #expect(settings.text("redis.prefix") == "e:")
        #expect(settings.text("stream.topic") == "f")
        #expect(settings.text("stream.group") == "ml-service")
    }

    @Test(arguments: [
        (#"{"http": {"prot": 1}}"#, "http.prot"), (#"{"http": {"port": true}}"#, "http.port"),
        (#"{"http": {"port": null}}"#, "http.port"), (#"{"http": {"port": [1]}}"#, "http.port"),
        (#"{"http": {"port": 1}, "http.port": 2}"#, "http.port"),
        (#"{"http": {"port": 1, "port": 2}}"#, "port"), (#"{"http": 1}"#, "http"),
        (#"{"stream": {"properties": {"a": [1]}}}"#, "stream.properties"), (#"["http"]"#, "JSON object"),
        (#"{"http": {"host_file": "x"}}"#, "http.host_file"), (#"{"http": {"port": 1.5}}"#, "http.port"),
    ])
    func whatIsNoSettingIsNamed(text: String, key: String) async throws {
        let error = await #expect(throws: UsageError.self) { try await load(text) }
        #expect(error?.description.contains(key) == true, "\(error?.description ?? "")")
    }

    @Test func misspeltVariablesAreNamed() {
        let environment = [
            "ML_SERVICE_REDISURL": "x", "ML_SERVICE_REDIS_URL": "x", "ML_SERVICE_CONFIG": "x", "HOME": "x",
            "ML_SERVICE_VECTOR_UNIT": "x", "ML_SERVICE_LIGHTGBM": "x",
        ]
        #expect(Settings.unknownVariables(environment) == ["ML_SERVICE_REDISURL"])
    }

    @Test func anEmptyTextIsNoValue() async throws {
        for setting in Setting.all {
            let isKept = ["labels.topic", "redis.prefix"].contains(setting.key)
            let settings = try await load(
                environment: [setting.environmentName: ""], flags: [setting.key: ""])
            #expect(settings.text(setting.key) == (isKept ? "" : setting.defaultValue), "\(setting.key)")
            let changed = try await load().changing([setting.key: ""])
            #expect(changed.text(setting.key) == settings.text(setting.key), "\(setting.key)")
        }
        // What stands below it counts; where nothing stands by default, it takes away.
        let text = #"{"http": {"host": "::1"}, "lake": {"uri": "s3://bank/lake"}}"#
        let settings = try await load(
            text,
            environment: [
                "ML_SERVICE_HTTP_HOST": "", "ML_SERVICE_ADMIN_KEY_FILE": "", "ML_SERVICE_REDIS_URL": "",
                "ML_SERVICE_REDIS_URL_FILE": try file("redis://bank"),
            ],
            flags: ["lake.uri": ""])
        #expect(settings.text("http.host") == "::1" && settings.optionalText("lake.uri") == nil)
        #expect(settings.optionalText("admin.key") == nil && settings.text("redis.url") == "redis://bank")
    }

    @Test(arguments: ["SSE2", "AVX-512", "avx", "Portable"])
    func anUnknownVectorUnitIsNamedAtTheStart(name: String) async throws {
        let error = await #expect(throws: UsageError.self) {
            try await load(environment: ["ML_SERVICE_VECTOR_UNIT": name])
        }
        #expect(error?.description.contains("'\(name)': it is one of portable, avx2, avx512, neon") == true)
        for known in ["portable", "avx2", "avx512", "neon", ""] {
            _ = try await load(environment: ["ML_SERVICE_VECTOR_UNIT": known])
        }
    }

    @Test(arguments: ["redis.ca", "redis.certificate", "s3.ca", "registry.ca", "webhooks.ca", "telemetry.ca"])
    func aFileThatCannotBeReadIsNamedAtTheStart(key: String) async throws {
        let settings = try await load(
            flags: [
                key: "/nowhere/file.pem", "registry.url": "https://registry.bank",
                "webhooks.url": "https://hooks.bank",
                "webhooks.secret": "whsec_" + Data(repeating: 1, count: 32).base64EncodedString(),
                "telemetry.otlp": "https://collector.bank",
            ])
        let error = #expect(throws: UsageError.self) {
            _ = try Parts.redisAddress("rediss://redis.bank", settings)
            _ = try Parts.objectStore("s3://bucket", settings)
            let logger = Parts.logger(settings)
            _ = try Parts.schemaRegistry(settings, logger: logger)
            _ = try Assembly.webhookTarget(settings)
            _ = try Assembly.spanExport(settings, logger: logger)
        }
        #expect(error?.description.contains("\(key): the file /nowhere/file.pem") == true)
    }

    /// Transactions and models lie in it.
    @Test func theDataDirectoryIsItsUsersAlone() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ml-data-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["a/b", "c/"] {
            let path = folder.appending(path: name).path
            try DataDirectory.make(path)
            try DataDirectory.make(path)
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o700)
        }
        #expect(throws: UsageError.self) { try DataDirectory.make("/proc/none/data") }
        #expect(throws: UsageError.self) { try DataDirectory.make("/dev/null/data") }
    }

    @Test func aFileThatCannotBeWrittenIsSaidInALine() throws {
        let path = "/proc/none/file"
        let error = #expect(throws: (any Error).self) { try Data().write(to: URL(filePath: path)) }
        let text = error.flatMap { MLService.fileProblem($0) } ?? ""
        #expect(text.hasPrefix(path) && text.count < 100, "\(text)")
    }

    // MARK: Secrets

    @Test(arguments: [
        ("key", "key", 0), ("key\n", "key", 1), ("key\r\n", "key", 1), ("two words", "two words", 0),
        (" key ", " key ", 0), ("a\nb\n\n", "a\nb", 1),
    ])
    func aLineEndBehindASecretIsNotPartOfIt(given: String, meant: String, notices: Int) async throws {
        for source in ["environment", "variable of a file", "file"] {
            let count = Mutex(0)
            let path = try file(given)
            let settings = try await load(
                source == "file" ? #"{"admin": {"key_file": "\#(path)"}}"# : nil,
                environment: source == "environment"
                    ? ["ML_SERVICE_ADMIN_KEY": given]
                    : source == "file" ? [:] : ["ML_SERVICE_ADMIN_KEY_FILE": path],
                notice: { _ in count.withLock { $0 += 1 } })
            #expect(settings.text("admin.key") == meant, "\(source)")
            #expect(count.withLock { $0 } == notices, "\(source)")
        }
    }

    @Test func everySecretCanComeFromAFileAndIsShownNowhere() async throws {
        let secrets = Setting.all.filter(\.isSecret)
        #expect(secrets.map(\.key).contains("s3.secretkey"))
        for setting in secrets {
            let value = "hush=hush"
            let settings = try await load(environment: [setting.environmentName + "_FILE": try file(value)])
            #expect(settings.text(setting.key) == value)
            let shown = settings.described.map { "\($0.setting.key) \($0.value)" }
            #expect(!shown.contains { $0.contains("hush") })
        }
        #expect(
            Settings.unknownVariables(["ML_SERVICE_ADMIN_KEY_FILE": "", "ML_SERVICE_HTTP_HOST_FILE": ""])
                == ["ML_SERVICE_HTTP_HOST_FILE"])
    }

    @Test func aFileOfASecretCanBeNamedOnTheCommandLine() async throws {
        for setting in Setting.all.filter(\.isSecret) {
            let options = try CommonOptions.parse(["--set", "\(setting.key)_file=\(try file("hush=hush"))"])
            #expect(try await options.settings(environment: [:]).text(setting.key) == "hush=hush")
        }
        let wrong = [
            "http.host_file=x", "admin.key_file_file=x", "admin.keyfile=x", "admin.key_file=/nowhere",
        ]
        for assignment in wrong {
            let error = await #expect(throws: UsageError.self) {
                try await CommonOptions.parse(["--set", assignment]).settings(environment: [:])
            }
            let key = String(assignment.prefix { $0 != "=" })
            #expect(error?.description.contains(key) == true, "\(error?.description ?? "")")
        }
    }

    @Test func twoSourcesOfOneSecretAreOneTooMany() async throws {
        let path = try file("x")
        await #expect(throws: UsageError.self) {
            try await load(environment: ["ML_SERVICE_ADMIN_KEY": "y", "ML_SERVICE_ADMIN_KEY_FILE": path])
        }
        await #expect(throws: UsageError.self) {
            try await load(environment: ["ML_SERVICE_ADMIN_KEY_FILE": "/nowhere/at all"])
        }
    }

    @Test func anErrorDoesNotShowASecret() async throws {
        for text in ["sasl.password=hush;hush-hush", "{\"a\": {\"b\": \"hush\"}}", "{hush"] {
            let error = await #expect(throws: UsageError.self) {
                try await load(environment: ["ML_SERVICE_STREAM_PROPERTIES": text])
            }
            #expect(error?.description.contains("hush") == false)
        }
    }

    // MARK: librdkafka's properties

    @Test func propertiesTakeAnyValue() async throws {
        let text =
            #"{"stream": {"properties": {"sasl.password": "a;b=c \"d\"", "linger.ms": 5, "enable.x": true}}}"#
        #expect(
            try await load(text).properties("stream.properties")
                == ["sasl.password": "a;b=c \"d\"", "linger.ms": "5", "enable.x": "true"])
        #expect(
            try await load(environment: ["ML_SERVICE_STREAM_PROPERTIES": "a=1;b=x=y"])
                .properties("stream.properties") == ["a": "1", "b": "x=y"])
        #expect(
            try await load(environment: ["ML_SERVICE_STREAM_PROPERTIES": #"{"a": "1;2"}"#])
                .properties("stream.properties") == ["a": "1;2"])
        #expect(try await load().properties("stream.properties").isEmpty)
    }
}
