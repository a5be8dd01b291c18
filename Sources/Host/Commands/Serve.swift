import ArgumentParser
import Foundation
import Glibc
import Hummingbird
import Logging
import Management
import Metrics
import Models
import NIOPosix
import Outcomes
import Redis
import Rules
import ServiceLifecycle
import Serving
import Training

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score a stream, train models and answer HTTP, until stopped.",
        discussion: """
            With no configuration everything is embedded: an in-process Kafka, windows in memory with a snapshot,
            models and lake in directories. Naming a broker, a Redis or a bucket switches that part.

            EXAMPLE
              ml-service serve --stream demo/stream.jsonl --show
              ml-service serve --config service.json --role inference,management
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Read transactions from this JSONL file, or - for standard input (stream.file).")
    var stream: String?

    @Option(help: "Records a second at most, for a file (stream.rate).")
    var rate: Double?

    @Option(help: "What this process does: inference, training, management; comma-separated.")
    var role = "inference,training,management"

    @Flag(help: "Show throughput and anomalies as they come, on standard output.")
    var show = false

    @Option(
        help: ArgumentHelp(
            "What the transactions are, as CSV with transaction_id and is_fraud: shows precision and recall at the end.",
            valueName: "file"))
    var labels: String?

    private enum Role: String, CaseIterable { case inference, training, management }

    func run() async throws {
        let roles = try Set(
            role.split(separator: ",").map { name in
                guard let role = Role(rawValue: String(name)) else {
                    throw UsageError("there is no role \(name); roles are inference, training, management")
                }
                return role
            })
        let settings = try await common.settings(["stream.file": stream, "stream.rate": rate.map { "\($0)" }])
        let registry = PrometheusRegistry()
        MetricsSystem.bootstrap(registry)
        let threads = NIOThreadPool(numberOfThreads: 4)
        threads.start()
        defer { threads.shutdownGracefully { _ in } }
        let tally = try labels.map { try LabelTally(path: $0) }
        let display = show || tally != nil ? ServingDisplay(tally: tally, showsLines: show) : nil
        let services = try await threads.runIfActive {
            try Self.services(settings, roles, metrics: registry, threads: threads, display: display)
        }
        var configuration = ServiceGroupConfiguration(
            services: services.list.map {
                // A stream that has ended ends neither training nor the API.
                .init(
                    service: $0, successTerminationBehavior: .ignore,
                    failureTerminationBehavior: .gracefullyShutdownGroup)
            }, logger: services.logger)
        configuration.gracefulShutdownSignals = [.sigint, .sigterm]
        // Kubernetes and systemd wait longer; whoever restarts a worker waits for this.
        configuration.maximumGracefulShutdownDuration = .seconds(9)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch is ThreadLeftBehind {
            // A thread hangs in a library: nothing that ends in order would come to an end beside it.
            display?.finish()
            Glibc._exit(ExitStatus.failed.rawValue)
        }
        display?.finish()
    }

    private struct Wired: Sendable {
        let list: [any Service]
        let logger: Logger
    }

    /// Everything that lives long, wired. Shut-down is this list reversed.
    private static func services(
        _ settings: Settings, _ roles: Set<Role>, metrics: PrometheusRegistry, threads: NIOThreadPool,
        display: ServingDisplay?
    ) throws -> Wired {
        let data = try DataDirectory(settings.text("data.directory"))
        let parts = try Parts(settings)
        let logger = parts.logger
        let strangers = Settings.unknownVariables(ProcessInfo.processInfo.environment)
        if !strangers.isEmpty {
            logger.notice(
                "variables that name no setting", metadata: ["names": "\(strangers.joined(separator: " "))"])
        }
        for warning in try Plaintext.warnings(settings) { logger.warning("\(warning)") }
        _ = try parts.promotion.start(logger: logger)
        var services: [any Service] = []

        let seconds = settings.integer("plugins.seconds")
        if seconds > 0, !settings.text("plugins.folders").isEmpty {
            services.append(
                PluginWatch(registry: parts.registry, interval: .seconds(seconds), threads: threads))
        }

        let lake = try Parts.objectStore(
            settings.optionalText("lake.uri") ?? settings.dataPath("lake"), settings)
        let book = LabelBook(lake: lake)
        let jobs = try Parts.jobStore(settings, data, logger: logger)
        if roles.contains(.training) {
            let worker = TrainingWorker(
                jobs: jobs, pipeline: try parts.pipeline(lakeURI: nil), name: try data.instance(),
                logger: logger)
            services.append(ThreadService("training", stop: { worker.stop() }, work: { worker.run() }))
            if let brokers = settings.optionalText("stream.brokers"),
                let topic = settings.optionalText("labels.topic")
            {
                let labels = LabelWorker(
                    LabelWorker.Settings(
                        kafka: try Streams.kafkaSettings(brokers, settings),
                        group: settings.text("stream.group") + "-labels", topic: topic,
                        deadLetterTopic: settings.text("labels.deadletters")), book: book, logger: logger)
                services.append(ThreadService("labels", stop: { labels.stop() }, work: { labels.run() }))
            }
            if let words = settings.optionalText("training.schedule") {
                let schedule = TrainingSchedule(
                    try CronWords(words), days: settings.integer("training.days"), jobs: jobs, lake: lake,
                    objects: parts.models.objects, logger: logger)
                services.append(
                    ThreadService(
                        "training schedule", stop: { schedule.stop() }, work: { schedule.run() }))
            }
            if settings.text("references.refresh") == "on" {
                let schedule = ReferenceSchedule(
                    refresh: try Parts.referenceRefresh(settings), lake: lake,
                    hours: settings.integer("references.hours"), logger: logger)
                services.append(
                    ThreadService("references", stop: { schedule.stop() }, work: { schedule.run() }))
            }
        }

        let references = CurrentReferences(
            store: try Parts.referenceStore(settings, isCached: true, seen: parts.cache), logger: logger)
        let rules = CurrentRules(
            store: try Parts.ruleStore(settings), cachePath: settings.dataPath("rules.json"), logger: logger)
        if roles != [.training] {
            rules.refresh()
            let ruleSeconds = settings.integer("rules.seconds")
            services.append(
                ThreadService(
                    "rule follower", stop: { rules.stop() },
                    work: { rules.follow(everySeconds: ruleSeconds) }))
            // Before the first batch, so that it does not depend on a thread's luck.
            references.refresh()
            let referenceSeconds = settings.integer("references.seconds")
            services.append(
                ThreadService(
                    "reference follower", stop: { references.stop() },
                    work: { references.follow(everySeconds: referenceSeconds) }))
        }

        let groups = AlertGroups(windowSeconds: settings.integer("alerts.group"))
        let events = EventHub(groups: groups)
        var status: ServingStatus?
        var streams: Streams?
        var watch: ModelWatch?
        var recent: RecentAnomalies?
        var shadow: ShadowScoring?
        if roles.contains(.inference) {
            let serving = ServingStatus()
            var watching = ModelWatch.Settings()
            watching.floodFactor = settings.real("flood.factor")
            let models = ModelWatch(watching)
            let wired = try Streams(settings, data: data, logger: logger)
            display?.begin(stream: wired.description, status: serving)
            let anomalies = try RecentAnomalies(
                path: data.file("anomalies.sqlite"), groups: groups, logger: logger)
            services.append(
                ThreadService("recent anomalies", stop: { anomalies.stop() }, work: { anomalies.run() }))
            let candidate = ShadowScoring(
                store: ShadowStore(objects: parts.models.objects), router: parts.router,
                references: references, logger: logger)
            let pollSeconds = settings.integer("models.seconds")
            services.append(
                ThreadService("shadow", stop: { candidate.stop() }, work: { candidate.run() }))
            services.append(
                ThreadService(
                    "shadow follower", stop: { candidate.stopFollowing() },
                    work: { candidate.follow(everySeconds: pollSeconds) }))
            let spans = try spanExport(settings, logger: logger)
            if let spans { services.append(spans) }
            services.append(
                try scoring(
                    settings, wired, parts, references, rules, serving, models, candidate, anomalies, events,
                    spans,
                    display))
            if let watch = try groupWatch(settings, serving, logger) {
                services.append(
                    ThreadService("group watch", stop: { watch.stop() }, work: { watch.run() }))
            }
            services.append(
                FloodGuard(
                    watch: models, promotion: parts.promotion, catalogue: parts.catalogue,
                    policy: FloodPolicy(rawValue: settings.text("flood.policy")) ?? .report, events: events,
                    interval: .seconds(settings.integer("flood.seconds")), threads: threads, logger: logger))
            recent = anomalies
            shadow = candidate
            status = serving
            watch = models
            streams = wired
        }
        let windows = streams?.windows
        let follower = ModelFollower(
            events: parts.events, promotion: parts.promotion,
            pollSeconds: settings.integer("models.seconds"), logger: logger,
            erasures: windows.map { [recent, shadow] windows in
                ErasureFollower(notices: ErasureNotices(objects: parts.models.objects)) {
                    try windows.remove(userID: $0)
                    _ = try recent?.erase(userID: $0)
                    shadow?.erase(userID: $0)
                    events.erase(userID: $0)
                }
            }, onHeard: { events.note($0) })
        services.append(
            ThreadService(
                "model follower", stop: { follower.stop() },
                work: { withExtendedLifetime(data) { follower.run() } }))

        if roles.contains(.management) {
            let useCases = ManagementServices(
                jobs: jobs, registry: parts.registry, models: parts.models, catalogue: parts.catalogue,
                promotion: parts.promotion, serving: status, watch: watch, shadow: shadow, recent: recent,
                windows: try windowErasing(settings, streams),
                scoring: try onDemandScoring(settings, streams, parts, references, rules), labels: book,
                labelled: LabelledTransactions(lake: lake, book: book, zone: try settings.zone()),
                rules: try Parts.ruleStore(settings), currentRules: rules, events: events,
                audit: audit(settings), metrics: metrics,
                keys: try keys(settings, logger: logger), auditLog: try auditLog(settings, data, logger),
                promotionIdentities: settings.integer("promote.identities"), threads: threads)
            services.append(JobWatch(jobs: jobs, hub: events, threads: threads))
            if let url = settings.optionalText("webhooks.url") {
                let target = try webhookTarget(url, secret: settings.optionalText("webhooks.secret"))
                services.append(Webhooks(target, hub: events, logger: logger))
            }
            services.append(try http(settings, useCases, logger: logger, display: display))
        }
        return Wired(list: services, logger: logger)
    }

    private static func scoring(
        _ settings: Settings, _ streams: Streams, _ parts: Parts, _ references: CurrentReferences,
        _ rules: CurrentRules, _ status: ServingStatus, _ watch: ModelWatch, _ shadow: ShadowScoring,
        _ recent: RecentAnomalies, _ events: EventHub, _ spans: SpanExport?,
        _ display: ServingDisplay?
    ) throws -> ThreadService {
        var scoring = try workerSettings(settings)
        scoring.schemas = try Parts.schemaRegistry(settings, logger: parts.logger)
        if let spans { scoring.onTraced = { spans.note($0) } }
        scoring.isInformed = { [promotion = parts.promotion] in promotion.isInformed && rules.isKnown }
        scoring.prepareWindows = streams.warming(settings, logger: parts.logger)
        let snapshots = streams.snapshots
        let workerSettings = scoring
        let sessions = streams.sessions.map { session in
            ScoringWorker(
                makeStream: session.open, windows: session.windows, router: parts.router,
                references: references, rules: rules, settings: workerSettings, status: status,
                logger: parts.logger,
                onDelivered: { (scored: ScoredBatch, stream: any TransactionStream) in
                    snapshots?.writeIfDue(stream)
                    watch.observe(scored)
                    shadow.note(scored)
                    recent.note(scored)
                    events.note(scored)
                    display?.show(scored)
                },
                onEnded: { (stream: any TransactionStream) in snapshots?.write(stream) })
        }
        let workers = ScoringWorkers(sessions)
        return ThreadService(
            "scoring", stop: { workers.stop() },
            work: {
                try workers.run()
                display?.endStream()
            })
    }

    /// nil: there is no group of others, or nobody wants to know.
    private static func groupWatch(
        _ settings: Settings, _ status: ServingStatus, _ logger: Logger
    ) throws -> GroupWatch? {
        let seconds = settings.integer("stream.standing")
        guard seconds > 0, settings.optionalText("stream.file") == nil,
            let brokers = settings.optionalText("stream.brokers")
        else { return nil }
        return try GroupWatch(
            try Streams.kafkaSettings(brokers, settings), group: settings.text("stream.group"),
            topic: settings.text("stream.topic"), bound: .seconds(seconds), status: status, logger: logger)
    }

    private static func workerSettings(_ settings: Settings) throws -> ScoringWorker.Settings {
        var scoring = ScoringWorker.Settings()
        scoring.zone = try settings.zone()
        scoring.limits = BatchLimits(
            records: settings.integer("batch.records"), sizeBytes: settings.integer("batch.bytes"),
            waitMilliseconds: settings.integer("batch.milliseconds"))
        scoring.referenceAgeHours = settings.integer("references.age")
        scoring.publish = PublishedVerdicts(rawValue: settings.text("stream.publish")) ?? .anomalies
        if settings.text("publish.cloudevents") == "on" {
            scoring.eventGroups = AlertGroups(windowSeconds: settings.integer("alerts.group"))
        }
        scoring.windows = Streams.windowStage(settings)
        return scoring
    }

    /// Scores for the API, against what this process scores the stream with, or against the Redis that others do.
    /// nil: windows are in the memory of another process.
    private static func onDemandScoring(
        _ settings: Settings, _ streams: Streams?, _ parts: Parts, _ references: CurrentReferences,
        _ rules: CurrentRules
    ) throws -> OnDemandScoring? {
        // A connection of its own, so that the stream does not wait.
        let windows: any WindowStore
        if settings.optionalText("redis.url") != nil {
            windows = try Streams.redisWindows(settings)
        } else if let own = streams?.windows {
            windows = own
        } else {
            return nil
        }
        // Records of a file have no time at which the stream took them in.
        var now: (@Sendable () -> Int64)?
        if settings.optionalText("stream.file") == nil {
            now = { Int64(Date().timeIntervalSince1970 * 1_000) }
        }
        return OnDemandScoring(
            windows: windows, router: parts.router, references: references, rules: rules,
            settings: try workerSettings(settings), now: now)
    }

    /// From the stream's file, or else from the lake.
    private static func audit(_ settings: Settings) -> @Sendable ([UInt8]) throws -> VerdictAudit {
        let file = settings.optionalText("stream.file").flatMap { $0 == "-" ? nil : $0 }
        return { verdict in
            try AuditSession.run(try RecordedVerdict(json: verdict), stream: file, settings)
        }
    }

    /// How this process removes a user's window: from what it scores with, or from the Redis that others score with.
    /// nil: windows are in the memory of another process.
    private static func windowErasing(_ settings: Settings, _ streams: Streams?) throws -> WindowErasing? {
        if settings.optionalText("redis.url") != nil {
            // A connection of its own, so that the stream does not wait.
            let store = try Streams.redisWindows(settings)
            return WindowErasing(
                location: store.location, isThere: { try store.holds($0) },
                remove: { WindowErasing.Removal(removed: try store.remove(userID: $0)) })
        }
        guard let windows = streams?.windows, let remove = streams?.removeWindow else { return nil }
        return WindowErasing(
            location: windows.location, isThere: { try windows.holds($0) },
            remove: { WindowErasing.Removal(removed: try remove($0)) })
    }
}

extension WindowStore {
    fileprivate func holds(_ userID: String) throws -> Bool {
        var keys = UserKeys()
        Array(userID.utf8).withUnsafeBufferPointer { keys.append($0) }
        var isThere = false
        try read(
            keys, partitions: [], partition: { _, _ in },
            user: { _, stored in
                if case .none = stored { isThere = false } else { isThere = true }
            })
        return isThere
    }
}
