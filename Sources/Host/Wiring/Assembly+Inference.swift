import Foundation
import Logging
import Management
import Models
import ServiceLifecycle
import Serving

/// The role `inference`: scoring, and what looks at its verdicts.
extension Assembly {
    struct Inference {
        let services: [any Service]
        let streams: Streams
        let status: ServingStatus
        let watch: ModelWatch
        let recent: RecentAnomalies
        let shadow: ShadowScoring
    }

    func inference() throws -> Inference {
        let status = ServingStatus()
        var watching = ModelWatch.Settings()
        watching.floodFactor = settings.real("flood.factor")
        let watch = ModelWatch(watching)
        let streams = try Streams(settings, data: data, logger: logger)
        display?.begin(stream: streams.description, status: status)
        let recent = try RecentAnomalies(path: data.file("anomalies.sqlite"), groups: groups, logger: logger)
        let shadow = ShadowScoring(
            store: ShadowStore(objects: parts.models.objects), router: parts.router, references: references,
            logger: logger)
        let pollSeconds = settings.integer("models.seconds")
        var services: [any Service] = [
            ThreadService("recent anomalies", stop: { recent.stop() }, work: { recent.run() }),
            ThreadService("shadow", stop: { shadow.stop() }, work: { shadow.run() }),
            ThreadService(
                "shadow follower", stop: { shadow.stopFollowing() },
                work: { shadow.follow(everySeconds: pollSeconds) }),
        ]
        let spans = try Self.spanExport(settings, logger: logger)
        if let spans { services.append(spans) }
        services.append(try scoring(streams, status, watch, recent, shadow, spans))
        if let standing = try groupWatch(status) {
            services.append(
                ThreadService("group watch", stop: { standing.stop() }, work: { standing.run() }))
        }
        services.append(
            FloodGuard(
                watch: watch, promotion: parts.promotion, catalogue: parts.catalogue, router: parts.router,
                policy: FloodPolicy(rawValue: settings.text("flood.policy")) ?? .report, events: events,
                interval: .seconds(settings.integer("flood.seconds")), threads: threads, logger: logger))
        return Inference(
            services: services, streams: streams, status: status, watch: watch, recent: recent,
            shadow: shadow)
    }

    private func scoring(
        _ streams: Streams, _ status: ServingStatus, _ watch: ModelWatch, _ recent: RecentAnomalies,
        _ shadow: ShadowScoring, _ spans: SpanExport?
    ) throws -> ThreadService {
        var scoring = try workerSettings()
        scoring.schemas = try Parts.schemaRegistry(settings, logger: logger)
        if let spans { scoring.onTraced = { spans.note($0) } }
        scoring.isInformed = { [promotion = parts.promotion, rules] in promotion.isInformed && rules.isKnown }
        scoring.history = Windows.history(settings, logger: logger)
        let snapshots = streams.snapshots
        let workerSettings = scoring
        let sessions = streams.sessions.map { session in
            ScoringWorker(
                makeStream: {
                    let stream = try session.open()
                    if let file = stream as? FileTransactionStream { recent.begin(file) }
                    return stream
                }, windows: session.windows, router: parts.router,
                references: references, rules: rules, settings: workerSettings, status: status,
                logger: logger,
                onDelivered: { [events, display] (scored: ScoredBatch, stream: any TransactionStream) in
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
            work: { [display] in
                try workers.run()
                display?.endStream()
            })
    }

    /// nil: there is no group of others, or nobody wants to know.
    private func groupWatch(_ status: ServingStatus) throws -> GroupWatch? {
        let seconds = settings.integer("stream.standing")
        guard seconds > 0, settings.optionalText("stream.file") == nil,
            let brokers = settings.optionalText("stream.brokers")
        else { return nil }
        return try GroupWatch(
            try Streams.kafkaSettings(brokers, settings), group: settings.text("stream.group"),
            topic: settings.text("stream.topic"), bound: .seconds(seconds), status: status, logger: logger)
    }

    func workerSettings() throws -> ScoringWorker.Settings {
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

    /// nil: nobody asks for spans.
    static func spanExport(_ settings: Settings, logger: Logger) throws -> SpanExport? {
        guard let endpoint = settings.optionalText("telemetry.otlp") else { return nil }
        try Parts.checkReadable("telemetry.ca", settings)
        do {
            return try SpanExport(
                endpoint: endpoint, authorities: settings.optionalText("telemetry.ca"), logger: logger)
        } catch let error as SpanExportError {
            throw UsageError("\(error)")
        }
    }
}
