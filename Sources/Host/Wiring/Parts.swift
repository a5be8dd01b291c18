import Foundation
import Glibc
import Logging
import Models
import ObjectStore
import Outcomes
import Plugins
import Redis
import Rules
import SchemaRegistry
import Signing
import Training

/// What most commands are made of, wired from the settings.
struct Parts {
    let settings: Settings
    let logger: Logger
    let registry: DetectorRegistry
    let models: ModelStore
    let catalogue: Catalogue
    let cache: ModelCache
    let router: ModelRouter
    let events: any ModelEvents
    let promotion: Promotion

    /// Opens stores and caches and loads the detectors; nothing outside is contacted.
    ///
    /// - Parameter cachePath: In place of the cache in the data directory.
    init(_ settings: Settings, cachePath: String? = nil) throws {
        self.settings = settings
        logger = Parts.logger(settings)
        registry = try Parts.registry(settings, logger: logger)
        let storeURI = settings.optionalText("store.uri") ?? settings.dataPath("store")
        let keys = try Parts.signingKeys(settings)
        models = ModelStore(
            objects: try Parts.objectStore(storeURI, settings), keys: keys,
            limits: UserModelLimits(
                modelBytes: settings.integer("models.userbytes"),
                totalBytes: settings.integer("models.usertotal")))
        if cachePath == nil { try DataDirectory.make(settings.text("data.directory")) }
        cache = try ModelCache(
            path: cachePath ?? settings.dataPath("models.sqlite"),
            maximumSize: settings.integer("models.cache"), logger: logger)
        catalogue = Catalogue(objects: models.objects, sealing: Sealing(keys: keys, seen: cache))
        router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: settings.integer("models.memory"),
            logger: logger)
        if let url = settings.optionalText("redis.url") {
            events = RedisModelEvents(
                address: try Parts.redisAddress(url, settings), prefix: settings.text("redis.prefix"))
        } else {
            events = InProcessModelEvents()
        }
        promotion = Promotion(
            store: models, catalogue: catalogue, cache: cache, router: router, events: events)
    }

    func pipeline(lakeURI: String?) throws -> TrainingPipeline {
        let uri = lakeURI ?? settings.optionalText("lake.uri") ?? settings.dataPath("lake")
        var training = TrainingPipeline.Settings()
        training.referenceLagDays = settings.integer("references.lag")
        training.referenceHours = settings.integer("references.hours")
        training.zone = try settings.zone()
        training.badFiles = settings.badFiles()
        return TrainingPipeline(
            lake: try Parts.objectStore(uri, settings), store: models, promotion: promotion, router: router,
            registry: registry, settings: training)
    }

    /// - Parameters:
    ///   - isCached: Tables are mapped from files in the data directory.
    ///   - seen: What this machine remembers; nil: an older table than it has seen is believed.
    static func referenceStore(
        _ settings: Settings, isCached: Bool = false, seen: (any SeenGenerations)? = nil
    ) throws -> ReferenceStore {
        let uri = settings.optionalText("store.uri") ?? settings.dataPath("store")
        return ReferenceStore(
            objects: try objectStore(uri, settings),
            cacheFolder: isCached ? settings.dataPath("references") : nil,
            sealing: Sealing(keys: try signingKeys(settings), seen: seen))
    }

    static func ruleStore(_ settings: Settings) throws -> RuleStore {
        let uri = settings.optionalText("store.uri") ?? settings.dataPath("store")
        return RuleStore(
            objects: try objectStore(uri, settings), keys: try signingKeys(settings))
    }

    static func signingKeys(_ settings: Settings) throws -> SigningKeys {
        let older = settings.optionalText("models.oldhmackeys") ?? ""
        let newest = settings.optionalText("models.hmackey")
        guard newest != nil || older.isEmpty else {
            throw UsageError("models.oldhmackeys verify only: models.hmackey names the one that signs")
        }
        return SigningKeys(
            newest: newest, older: older.split(whereSeparator: \.isWhitespace).map(String.init))
    }

    static func referenceRefresh(_ settings: Settings) throws -> ReferenceRefresh {
        var refresh = ReferenceRefresh.Settings()
        refresh.lagDays = settings.integer("references.lag")
        refresh.zone = try settings.zone()
        refresh.badFiles = settings.badFiles()
        let lakeURI = settings.optionalText("lake.uri") ?? settings.dataPath("lake")
        return ReferenceRefresh(
            lake: try objectStore(lakeURI, settings), store: try referenceStore(settings), settings: refresh)
    }

    static func logger(_ settings: Settings) -> Logger {
        LoggingSystem.bootstrapOnce()
        var logger = Logger(label: "ml-service")
        logger.logLevel = Logger.Level(rawValue: settings.text("log.level")) ?? .info
        return logger
    }

    static func registry(_ settings: Settings, logger: Logger) throws -> DetectorRegistry {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folders = settings.text("plugins.folders").split(separator: ":").map(String.init)
        guard let allowed = PluginAllowance(parsing: settings.text("plugins.allowed")) else {
            throw UsageError("plugins.allowed is no list of SHA-256: sha256sum lib*.so writes them")
        }
        let registry = DetectorRegistry(
            ownFolder: (executable as NSString).deletingLastPathComponent, folders: folders, allowed: allowed,
            probe: PluginProbe(executable: executable, arguments: ["detectors", "probe"]),
            isolation: settings.text("plugins.isolation") != "process"
                ? nil
                : PluginIsolation(
                    executable: executable, arguments: ["detectors", "isolated"],
                    memoryMiB: settings.integer("plugins.memory")), logger: logger)
        registry.rescan()
        return registry
    }

    static func objectStore(_ uri: String, _ settings: Settings) throws -> any ObjectStore {
        var s3 = S3Settings()
        if let endpoint = settings.optionalText("s3.endpoint") { s3.endpoint = endpoint }
        s3.region = settings.text("s3.region")
        try checkReadable("s3.ca", settings)
        s3.certificateAuthorities = settings.optionalText("s3.ca")
        if let accessKey = settings.optionalText("s3.accesskey") {
            s3.credentials = S3Credentials(
                accessKey: accessKey, secretKey: settings.text("s3.secretkey"),
                sessionToken: settings.optionalText("s3.sessiontoken"))
        }
        return try makeObjectStore(uri: uri, settings: s3)
    }

    /// nil: none is configured.
    static func schemaRegistry(_ settings: Settings, logger: Logger) throws -> SchemaRegistry? {
        guard let url = settings.optionalText("registry.url") else { return nil }
        try checkReadable("registry.ca", settings)
        do {
            return try SchemaRegistry(
                url: url, user: settings.optionalText("registry.user"),
                password: settings.optionalText("registry.password"),
                certificateAuthorities: settings.optionalText("registry.ca"), logger: logger)
        } catch {
            throw UsageError("registry.url: \(error)")
        }
    }

    static func redisAddress(_ url: String, _ settings: Settings) throws -> RedisAddress {
        var address: RedisAddress
        do {
            address = try RedisAddress(parsing: url)
        } catch {
            throw UsageError("redis.url: \(error)")
        }
        let tls = RedisTLS(
            authorities: settings.optionalText("redis.ca"),
            certificate: settings.optionalText("redis.certificate"),
            key: settings.optionalText("redis.certificatekey"))
        if address.tls != nil {
            guard tls.key == nil || tls.certificate != nil else {
                throw UsageError("redis.certificatekey is of no certificate: set redis.certificate")
            }
            for key in ["redis.ca", "redis.certificate", "redis.certificatekey"] {
                try checkReadable(key, settings)
            }
            address.tls = tls
        } else if tls != RedisTLS() {
            throw UsageError("redis.ca and redis.certificate are for TLS: write rediss:// in redis.url")
        }
        return address
    }

    /// A file that the first connection would miss, perhaps hours later.
    static func checkReadable(_ key: String, _ settings: Settings) throws {
        guard let path = settings.optionalText(key), !FileManager.default.isReadableFile(atPath: path) else {
            return
        }
        throw UsageError("\(key): the file \(path) cannot be read")
    }
}

extension LoggingSystem {
    private static let once: Void = LoggingSystem.bootstrap {
        RepeatedLines(StreamLogHandler.standardError(label: $0))
    }

    /// Commands may be wired more than once in a process; logging may not.
    fileprivate static func bootstrapOnce() { once }
}
