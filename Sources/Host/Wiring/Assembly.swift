import Foundation
import Logging
import Management
import Models
import NIOPosix
import ObjectStore
import Outcomes
import Rules
import ServiceLifecycle
import Serving
import Training

/// What a `serve` is made of, wired to each other. What lives long is a service; they end in the reverse of the order in
/// which they are listed.
struct Assembly {
    let settings: Settings
    let roles: Set<Serve.Role>
    let threads: NIOThreadPool
    let display: ServingDisplay?
    let data: DataDirectory
    let parts: Parts
    let lake: any ObjectStore
    let labels: LabelBook
    let jobs: any JobStore
    let references: CurrentReferences
    let rules: CurrentRules
    let groups: AlertGroups
    let events: EventHub

    var logger: Logger { parts.logger }

    /// Opens what is kept on this machine and in the store.
    ///
    /// - Throws: `UsageError` and others for what the settings name and is not to be had.
    init(
        _ settings: Settings, _ roles: Set<Serve.Role>, threads: NIOThreadPool, display: ServingDisplay?
    ) throws {
        self.settings = settings
        self.roles = roles
        self.threads = threads
        self.display = display
        data = try DataDirectory(settings.text("data.directory"))
        parts = try Parts(settings)
        let logger = parts.logger
        let strangers = Settings.unknownVariables(ProcessInfo.processInfo.environment)
        if !strangers.isEmpty {
            logger.warning(
                "variables that name no setting", metadata: ["names": "\(strangers.joined(separator: " "))"])
        }
        for warning in try Plaintext.warnings(settings) { logger.warning("\(warning)") }
        _ = try parts.promotion.start(logger: logger)
        lake = try Parts.objectStore(
            settings.optionalText("lake.uri") ?? settings.dataPath("lake"), settings)
        labels = LabelBook(lake: lake, badFiles: settings.badFiles(), logger: logger)
        jobs = try Parts.jobStore(settings, data, logger: logger)
        references = CurrentReferences(
            store: try Parts.referenceStore(settings, isCached: true, seen: parts.cache), logger: logger)
        rules = CurrentRules(
            store: try Parts.ruleStore(settings), cachePath: settings.dataPath("rules.json"), logger: logger)
        groups = AlertGroups(windowSeconds: settings.integer("alerts.group"))
        events = EventHub(groups: groups)
    }

    func services(metrics: PrometheusRegistry) throws -> [any Service] {
        var services = plugins()
        if roles.contains(.training) { services += try training() }
        if roles != [.training] { services += followers() }
        let inference = roles.contains(.inference) ? try inference() : nil
        services += inference?.services ?? []
        services.append(modelFollower(inference))
        if roles.contains(.management) { services += try management(inference, metrics) }
        return services
    }

    private func plugins() -> [any Service] {
        let seconds = settings.integer("plugins.seconds")
        guard seconds > 0, !settings.text("plugins.folders").isEmpty else { return [] }
        return [PluginWatch(registry: parts.registry, interval: .seconds(seconds), threads: threads)]
    }

    /// Jobs, labels from their topic, and what is done by the clock.
    private func training() throws -> [any Service] {
        let worker = TrainingWorker(
            jobs: jobs, pipeline: try parts.pipeline(lakeURI: nil), name: try data.instance(), logger: logger)
        var services = [ThreadService("training", stop: { worker.stop() }, work: { worker.run() })]
        if let brokers = settings.optionalText("stream.brokers"),
            let topic = settings.optionalText("labels.topic")
        {
            let labels = LabelWorker(
                LabelWorker.Settings(
                    kafka: try Streams.kafkaSettings(brokers, settings),
                    group: settings.text("stream.group") + "-labels", topic: topic,
                    deadLetterTopic: settings.text("labels.deadletters")), book: labels, logger: logger)
            services.append(ThreadService("labels", stop: { labels.stop() }, work: { labels.run() }))
        }
        if let words = settings.optionalText("training.schedule") {
            let schedule = TrainingSchedule(
                try CronWords(words), days: settings.integer("training.days"), jobs: jobs, lake: lake,
                objects: parts.models.objects, logger: logger)
            services.append(
                ThreadService("training schedule", stop: { schedule.stop() }, work: { schedule.run() }))
        }
        if settings.text("references.refresh") == "on" {
            let schedule = ReferenceSchedule(
                refresh: try Parts.referenceRefresh(settings), lake: lake,
                hours: settings.integer("references.hours"), logger: logger)
            services.append(
                ThreadService("references", stop: { schedule.stop() }, work: { schedule.run() }))
        }
        return services
    }

    /// Rules and reference tables, which are read once before the first batch, so that it does not depend on a thread's luck.
    private func followers() -> [any Service] {
        rules.refresh()
        references.refresh()
        let (rules, references) = (rules, references)
        let ruleSeconds = settings.integer("rules.seconds")
        let referenceSeconds = settings.integer("references.seconds")
        return [
            ThreadService(
                "rule follower", stop: { rules.stop() }, work: { rules.follow(everySeconds: ruleSeconds) }),
            ThreadService(
                "reference follower", stop: { references.stop() },
                work: { references.follow(everySeconds: referenceSeconds) }),
        ]
    }

    /// Hears of promotions and of users who are erased.
    private func modelFollower(_ inference: Inference?) -> ThreadService {
        let (data, events) = (data, events)
        let follower = ModelFollower(
            events: parts.events, promotion: parts.promotion,
            pollSeconds: settings.integer("models.seconds"), logger: logger,
            erasures: inference.map { [objects = parts.models.objects] inference in
                ErasureFollower(notices: ErasureNotices(objects: objects)) {
                    _ = try inference.streams.removeWindow($0)
                    _ = try inference.recent.erase(userID: $0)
                    inference.shadow.erase(userID: $0)
                    events.erase(userID: $0)
                }
            }, onHeard: { events.note($0) })
        return ThreadService(
            "model follower", stop: { follower.stop() },
            work: { withExtendedLifetime(data) { follower.run() } })
    }
}
