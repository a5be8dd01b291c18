import Foundation
import Logging
import Management
import Models
import Outcomes
import ServiceLifecycle
import Serving
import Training

/// The role `management`: the HTTP API, the console, and who is told of events.
extension Assembly {
    /// - Parameter inference: nil: another process scores.
    func management(_ inference: Inference?, _ metrics: PrometheusRegistry) throws -> [any Service] {
        let streams = inference?.streams
        let useCases = ManagementServices(
            jobs: jobs, registry: parts.registry, models: parts.models, catalogue: parts.catalogue,
            promotion: parts.promotion, serving: inference?.status, watch: inference?.watch,
            shadow: inference?.shadow, recent: inference?.recent, windows: try windowAccess(streams),
            scoring: try onDemandScoring(streams), labels: labels,
            labelled: LabelledTransactions(
                lake: lake, book: labels, zone: try settings.zone(), badFiles: settings.badFiles()),
            rules: try Parts.ruleStore(settings), currentRules: rules, events: events, audit: audit,
            metrics: metrics, keys: try Self.keys(settings, logger: logger),
            auditLog: try Self.auditLog(settings, data, logger),
            promotionIdentities: settings.integer("promote.identities"), threads: threads)
        var services: [any Service] = [
            JobWatch(jobs: jobs, hub: events, threads: threads), AnswerUpkeep(useCases, logger: logger),
        ]
        if let target = try Self.webhookTarget(settings) {
            services.append(Webhooks(target, hub: events, logger: logger))
        }
        services.append(try Self.http(settings, useCases, logger: logger, display: display))
        return services
    }

    /// Scores for the API, against what this process scores the stream with, or against the Redis that others do.
    /// nil: windows are in the memory of another process.
    private func onDemandScoring(_ streams: Streams?) throws -> OnDemandScoring? {
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
            settings: try workerSettings(), now: now)
    }

    /// From the stream's file, or else from the lake.
    private var audit: @Sendable ([UInt8]) throws -> VerdictAudit {
        let file = settings.optionalText("stream.file").flatMap { $0 == "-" ? nil : $0 }
        return { [settings] verdict in
            try AuditSession.run(try RecordedVerdict(json: verdict), stream: file, settings)
        }
    }

    /// How this process reads and removes a user's window: in what it scores with, or in the Redis that others score with.
    /// nil: windows are in the memory of another process.
    private func windowAccess(_ streams: Streams?) throws -> WindowAccess? {
        if settings.optionalText("redis.url") != nil {
            // A connection of its own, so that the stream does not wait.
            let store = try Streams.redisWindows(settings)
            return WindowAccess(
                location: store.location, look: { try store.look(at: $0) },
                remove: { WindowAccess.Removal(removed: try store.remove(userID: $0)) })
        }
        guard let windows = streams?.windows, let remove = streams?.removeWindow else { return nil }
        return WindowAccess(
            location: windows.location, look: { try windows.look(at: $0) },
            remove: { WindowAccess.Removal(removed: try remove($0)) })
    }
}
