import DetectorAPI
import Features
import Foundation
import Lake
import Models
import ObjectStore
import Plugins

/// lake -> prepare -> fit -> evaluate -> store -> promote.
public final class TrainingPipeline: Sendable {
    public struct Settings: Sendable {
        /// Days before the range that fill the windows.
        public var warmUpDays = 30
        /// The last part of the range, by time, that judges the model.
        public var holdoutShare = 0.2
        /// Rows of each part at most; more are sampled.
        public var maximumRows = 200_000
        /// Rows of a user's part at most, when all users are trained.
        public var maximumUserRows = 2_000
        /// Training rows that a user's model needs.
        public var minimumUserRows = 100

        public init() {}
    }

    private let lake: LakeReader
    private let store: ModelStore
    private let promotion: Promotion
    private let router: ModelRouter
    public let registry: DetectorRegistry
    private let settings: Settings
    private let now: @Sendable () -> Int64

    public init(
        lake: any ObjectStore, store: ModelStore, promotion: Promotion, router: ModelRouter,
        registry: DetectorRegistry, settings: Settings = Settings(),
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) {
        self.lake = LakeReader(store: lake)
        self.store = store
        self.promotion = promotion
        self.router = router
        self.registry = registry
        self.settings = settings
        self.now = now
    }

    /// Runs a request to its end, blocking the thread.
    ///
    /// - Parameters:
    ///   - jobID: Written into the artifacts: a job that is run again takes what it has stored already.
    ///   - report: The stage and the finished part of it.
    public func run(
        _ request: TrainingRequest, jobID: String, isCancelled: @escaping @Sendable () -> Bool,
        report: @escaping @Sendable (TrainingStage, Double) -> Void
    ) throws -> TrainingOutcome {
        let (detector, parameters) = try request.check(registry)
        let run = Run(
            request: request, jobID: jobID, detector: detector, parameters: parameters,
            isCancelled: isCancelled,
            report: report)
        return request.allUsers ? try trainUsers(run) : try trainOne(run)
    }

    private struct Run {
        let request: TrainingRequest
        let jobID: String
        let detector: LoadedDetector
        let parameters: ParameterValues
        let isCancelled: @Sendable () -> Bool
        let report: @Sendable (TrainingStage, Double) -> Void

        var days: ClosedRange<LakeDay> { request.from...request.to }
    }

    private func splitMilliseconds(_ days: ClosedRange<LakeDay>) -> Int64 {
        let start = days.lowerBound.startMilliseconds
        let end = days.upperBound.adding(days: 1).startMilliseconds
        return start + Int64((Double(end - start) * (1 - settings.holdoutShare)).rounded())
    }

    // MARK: One tenant

    private func trainOne(_ run: Run) throws -> TrainingOutcome {
        if let stored = try storedBefore(run) { return try promote([stored], earned: [stored.tenant], run) }
        var rows = SplitRows(capacity: settings.maximumRows, seed: run.request.seed)
        let split = splitMilliseconds(run.days)
        _ = try prepare(
            lake, days: run.days, warmUpDays: settings.warmUpDays, userID: run.request.userID,
            isCancelled: run.isCancelled, progress: { run.report(.prepare, $0) },
            body: { rows.add($0, splitMilliseconds: split) })
        guard rows.training.count > 0 else {
            let whose = run.request.userID.map { " of user \($0)" } ?? ""
            throw TrainingError.noData(
                "the lake has no transactions\(whose) from \(run.request.from) to \(run.request.to)")
        }
        let fitted = try fit(rows, run, seed: run.request.seed)
        run.report(.evaluate, 0)
        var metrics = try evaluate(fitted, holdout: rows.holdout, contamination: run.request.contamination)
        if rows.holdout.count > 1 {
            let other = try fit(rows, run, seed: run.request.seed &+ 1)
            metrics["score_stability"] = try scoreStability(fitted, other, holdout: rows.holdout)
        }
        var isEarned = true
        if run.request.userID != nil, let global = try router.globalModel() {
            let comparison = try EarnedComparison(fitted, own: metrics, global: global, holdout: rows.holdout)
            isEarned = record(comparison, in: &metrics)
        }
        run.report(.store, 0)
        let header = try publish(fitted, run, userID: run.request.userID, rows: rows, metrics: metrics)
        return try promote([header], earned: isEarned ? [header.tenant] : [], run)
    }

    private func fit(_ rows: SplitRows, _ run: Run, seed: UInt64) throws -> FittedModel {
        try Training.fit(
            rows, detector: run.detector.detector, parameters: run.parameters, seed: seed,
            contamination: run.request.contamination, isCancelled: run.isCancelled,
            progress: { run.report(.fit, $0) })
    }

    /// - Returns: Whether the user's model is to be promoted.
    private func record(_ comparison: EarnedComparison?, in metrics: inout [String: Double]) -> Bool {
        guard let comparison else { return false }
        metrics["earned_own_\(comparison.measure)"] = comparison.own
        metrics["earned_global_\(comparison.measure)"] = comparison.global
        return comparison.isEarned
    }

    // MARK: Everybody

    private func trainUsers(_ run: Run) throws -> TrainingOutcome {
        guard let global = try router.globalModel() else {
            throw TrainingError.noData(
                "users' models are judged against the global one: train and promote that first")
        }
        var users: [String: SplitRows] = [:]
        let split = splitMilliseconds(run.days)
        let capacity = settings.maximumUserRows
        _ = try prepare(
            lake, days: run.days, warmUpDays: settings.warmUpDays, userID: nil, isCancelled: run.isCancelled,
            progress: { run.report(.prepare, $0) },
            body: { row in
                let user = row.transactions.text(.userID, row.row) ?? ""
                users[user, default: SplitRows(capacity: capacity, seed: run.request.seed)]
                    .add(row, splitMilliseconds: split)
            })
        var headers: [ArtifactHeader] = []
        var earned: Set<Tenant> = []
        let enough = users.filter { $0.value.training.count >= settings.minimumUserRows }.sorted {
            $0.key < $1.key
        }
        for (index, (user, rows)) in enough.enumerated() {
            if run.isCancelled() { throw TrainingError.cancelled }
            let fitted = try Training.fit(
                rows, detector: run.detector.detector, parameters: run.parameters, seed: run.request.seed,
                contamination: run.request.contamination, isCancelled: run.isCancelled, progress: { _ in })
            var metrics = try evaluate(
                fitted, holdout: rows.holdout, contamination: run.request.contamination)
            let comparison = try EarnedComparison(fitted, own: metrics, global: global, holdout: rows.holdout)
            let isEarned = record(comparison, in: &metrics)
            let header = try publish(fitted, run, userID: user, rows: rows, metrics: metrics)
            if isEarned { earned.insert(header.tenant) }
            headers.append(header)
            run.report(.fit, Double(index + 1) / Double(enough.count))
        }
        var outcome = try promote(headers, earned: earned, run)
        outcome.metrics = [
            "users": Double(users.count), "users_with_enough_history": Double(enough.count),
            "users_with_an_earned_model": Double(earned.count),
        ]
        return outcome
    }

    // MARK: Store and promote

    /// What this job has stored in an earlier attempt.
    private func storedBefore(_ run: Run) throws -> ArtifactHeader? {
        guard let last = try store.versions(of: run.request.tenant).last,
            let header = try? store.header(of: run.request.tenant, version: last), header.jobID == run.jobID
        else { return nil }
        return header
    }

    private func publish(
        _ fitted: FittedModel, _ run: Run, userID: String?, rows: SplitRows, metrics: [String: Double]
    ) throws -> ArtifactHeader {
        let tenant = userID.map(Tenant.user) ?? .global
        let header = ArtifactHeader(
            userID: userID, detectorID: run.detector.info.id, detectorVersion: run.detector.info.version,
            parameters: run.parameters.values.mapValues { "\($0)" }, seed: run.request.seed,
            preprocessing: fitted.preprocessing, threshold: fitted.threshold,
            contamination: run.request.contamination,
            trainingRange: .init(from: "\(run.request.from)", to: "\(run.request.to)"),
            rowCount: rows.rowCount,
            metrics: metrics, parent: router.snapshot().version(of: tenant), createdMilliseconds: now(),
            jobID: run.jobID)
        return try store.publish(header, payload: fitted.model.encode())
    }

    private func promote(_ headers: [ArtifactHeader], earned: Set<Tenant>, _ run: Run) throws
        -> TrainingOutcome
    {
        run.report(.promote, 0)
        var promoted: Set<Tenant> = []
        if run.request.promote {
            let versions = headers.filter { earned.contains($0.tenant) }.map { ($0.tenant, $0.version) }
            let changes = try promotion.promote(
                Dictionary(versions) { $1 }, by: "training", reason: "job \(run.jobID)")
            promoted = Set(changes.map(\.tenant))
        }
        run.report(.promote, 1)
        return TrainingOutcome(
            models: headers.map {
                .init(
                    tenant: $0.tenant.description, version: $0.version,
                    isPromoted: promoted.contains($0.tenant))
            },
            metrics: headers.count == 1 ? headers[0].metrics : [:])
    }
}

/// Stages of a training job, in order.
public enum TrainingStage: String, Codable, Sendable, CaseIterable {
    case prepare, fit, evaluate, store, promote
}

/// What a training job made.
public struct TrainingOutcome: Codable, Sendable, Hashable {
    public struct Model: Codable, Sendable, Hashable {
        public let tenant: String
        public let version: Int
        public let isPromoted: Bool
    }

    public var models: [Model]
    public var metrics: [String: Double]
}
