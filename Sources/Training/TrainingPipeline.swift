import DetectorAPI
import Exact
import Foundation
import Lake
import Models
import ObjectStore
import Outcomes
import Plugins
import Transactions

/// lake -> prepare -> fit -> evaluate -> store -> promote.
///
/// Immutable; blocks the thread that runs it.
public final class TrainingPipeline: Sendable {
    public struct Settings: Sendable {
        /// Days before the range that fill the windows.
        public var warmUpDays = 30
        /// The last part of the range, by time, that judges the model. 0 to 1.
        public var holdoutShare = 0.2
        /// Rows of each part at most; more are sampled.
        public var maximumRows = 200_000
        /// Rows of each part of a user at most, when all users are trained.
        public var maximumUserRows = 2_000
        /// Training rows that a model needs when it is asked for by name, the global one say.
        public var minimumRows = 20
        /// Rows in range that a user's model needs when all users are trained; half of them before the holdout.
        public var minimumUserRows = 100
        /// Rows since the day that the request names, where it names one.
        public var minimumNewRows = 20
        /// By how much a user's model must beat the global one.
        public var earnedMargin = 0.01
        /// Parts of the users that are trained at once, each on a thread of its own. Models do not depend on it.
        public var threads = 4
        /// Rows kept in memory while the lake is read; beyond that they go to temporary files.
        public var memoryBytes = 256 << 20
        /// Days after which reference tables count a transaction, and hours between two of them: as tables are served.
        public var referenceLagDays = 7
        public var referenceHours = 1
        /// Where the temporary files go.
        public var scratchFolder = FileManager.default.temporaryDirectory.path
        /// Of times in the lake that do not say theirs; nil: timestamps are UTC, texts are refused.
        public var zone: PlaceZone?
        /// What becomes of a job when a file of the lake cannot be read.
        public var badFiles = BadFiles.fail

        public init() {}
    }

    let lake: LakeReader
    let labels: LabelFiles
    let store: ModelStore
    let promotion: Promotion
    let router: ModelRouter
    public let registry: DetectorRegistry
    let settings: Settings
    let now: @Sendable () -> Int64

    /// - Parameter now: Epoch milliseconds, for the artifacts' headers.
    public init(
        lake: any ObjectStore, store: ModelStore, promotion: Promotion, router: ModelRouter,
        registry: DetectorRegistry, settings: Settings = Settings(),
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) {
        self.lake = LakeReader(store: lake, zone: settings.zone).onBadFile(settings.badFiles)
        labels = LabelFiles(lake: lake, badFiles: settings.badFiles)
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
    ///   - journal: What earlier attempts have finished.
    ///   - isCancelled: Asked now and then.
    ///   - report: Told the stage and the finished part of it, 0 to 1.
    /// - Throws: `TrainingError`; errors of the lake's files, the stores and the detector.
    public func run(
        _ request: TrainingRequest, jobID: String, journal: any TrainingJournal = MemoryJournal(),
        isCancelled: @escaping @Sendable () -> Bool,
        report: @escaping @Sendable (TrainingStage, Double) -> Void
    ) throws -> TrainingOutcome {
        do {
            if let backtest = request.backtest {
                return try compare(backtest, request, isCancelled: isCancelled, report: report)
            }
            let run = Run(
                request: request, jobID: jobID, journal: journal,
                candidates: try request.candidates(registry),
                erased: try ErasedMeanwhile(
                    store.objects, isResumed: request.allUsers && journal.isResumed),
                isCancelled: isCancelled, report: report)
            if request.allUsers { return try trainUsers(run) }
            guard request.userID != nil else { return try trainGlobal(run) }
            guard let result = try trainNamed([0: run])[0] else { throw TrainingError.cancelled }
            return try result.get()
        } catch LakeError.cancelled {
            throw TrainingError.cancelled
        }
    }

    /// One run's request, checked, and whom to tell.
    struct Run {
        let request: TrainingRequest
        let jobID: String
        let journal: any TrainingJournal
        /// At least one.
        let candidates: [Candidate]
        let erased: ErasedMeanwhile
        let isCancelled: @Sendable () -> Bool
        let report: @Sendable (TrainingStage, Double) -> Void

        /// - Parameter leftOut: Names of features that the model is not to see.
        func fitSettings(_ candidate: Candidate, leftOut: Set<String> = []) -> FitSettings {
            let info = candidate.detector.info
            return FitSettings(
                detector: candidate.detector.detector, parameters: candidate.parameters, seed: request.seed,
                contamination: request.contamination,
                encoding: request.encoding ?? (info.uses.contains(.categories) ? .native : .oneHot),
                leftOut: leftOut.union(request.leftOut(usesReferences: info.learnsFromReferences)),
                isCancelled: isCancelled)
        }

        func checkCancellation() throws {
            if isCancelled() { throw TrainingError.cancelled }
        }
    }

    // MARK: The global model

    private func trainGlobal(_ run: Run) throws -> TrainingOutcome {
        let stage = StoreStage(store: store, jobID: run.jobID)
        let header: ArtifactHeader
        var notes: [String] = []
        var reading: LakeReading?
        if let stored = try stage.stored(run.request.tenant) {
            header = stored
        } else {
            let history = try scan(run)
            notes = try lakeNotes(history, run)
            reading = history.reading
            let known = history.known
            let set = try prepare(history, run)
            let chosen = try choose(set, run)
            run.report(.evaluate, 0)
            let serving = try refitted(chosen, set, run)
            header = try stage.publish(
                try judgedHeader(chosen, serving, set, known, run), serving.model, run.journal)
        }
        // A stored model that has not been promoted is not fitted again: its header says whether it may be.
        let isPromoted = run.request.promotes(header)
        if isPromoted {
            run.report(.promote, 0)
            try run.journal.confirm()
            try PromoteStage(promotion: promotion).run([header.tenant: header.version])
        }
        run.report(.promote, 1)
        if run.request.promotion == .gated, let note = lostComparison(header) { notes.append(note) }
        return outcome(header, isPromoted: isPromoted, notes: notes, reading)
    }

    /// That a candidate was kept back because the active version could not be loaded; nil: it was not for that.
    private func lostComparison(_ header: ArtifactHeader) -> String? {
        guard let parent = header.parent, header.gate.contains(Gate.noComparison) else { return nil }
        let reason = router.quarantinedModels.first { $0.tenant == .global && $0.version == parent }?.reason
        let why = reason.map { ": \($0)" } ?? ""
        return
            "v\(parent) of the global model is active and cannot be loaded\(why); so v\(header.version) is "
            + "compared with nothing and kept back: put v\(parent) back from a copy and train again, or promote by "
            + "hand: ml-service models promote v\(header.version)"
    }

    /// What a job for one tenant answers.
    func outcome(
        _ header: ArtifactHeader, isPromoted: Bool, notes: [String], _ reading: LakeReading?
    ) -> TrainingOutcome {
        var outcome = TrainingOutcome(
            models: [
                .init(tenant: header.tenant.description, version: header.version, isPromoted: isPromoted)
            ],
            metrics: header.metrics, detector: header.detectorID, candidates: header.candidates,
            gate: header.gate, notes: notes)
        outcome.reading = reading
        return outcome
    }

    func lakeNotes(_ history: History, _ run: Run) throws -> [String] {
        let lines = try LakeNotes(lake, run.request.from...run.request.to, history).lines
        return lines
            + (run.request.asOfMilliseconds.map { ["labels as they were known at \(EventTime.format($0))"] }
                ?? [])
    }

    /// What is known of a model before it is stored: its figures on the holdout, whether it may serve, and what its
    /// training rows looked like.
    func judgedHeader(
        _ chosen: Chosen, _ serving: FittedModel, _ set: PreparedSet, _ known: KnownLabels, _ run: Run
    ) throws -> ArtifactHeader {
        let userID = run.request.userID
        var metrics = chosen.scores.metrics(
            threshold: chosen.fitted.threshold, contamination: run.request.contamination)
        if let userID {
            let comparison = try earned(chosen.scores, chosen.fitted, set, run)
            metrics.merge(comparison.metrics) { $1 }
            metrics.merge(
                try standing(userID, set, global: comparison.global, run)?.metrics ?? [:]
            ) { $1 }
        }
        metrics.merge(known.metrics) { $1 }
        metrics["score_stability"] = try Stability.acrossSeeds(chosen.fitted, set, chosen.settings)
        metrics["score_shift"] = try scoreShift(chosen, serving, set)
        var header = header(chosen.candidate, serving, set, userID: userID, metrics: metrics, run)
        header.candidates = chosen.table
        header.deciles = chosen.scores.deciles
        if userID == nil {
            let active = try router.globalModel()
            let figures = try active.map { active in
                try HoldoutScores(active.model, active.plan, set).metrics(
                    threshold: active.threshold, contamination: run.request.contamination)
            }
            header.gate = Gate.checks(metrics, active: figures, contamination: run.request.contamination)
            if let parent = header.parent, active?.version != parent { header.gate.append(Gate.noComparison) }
            header.profile = TrainingProfile(serving, set.training)
        }
        try run.checkCancellation()
        run.report(.store, 0)
        return header
    }

    /// How far the scores of the holdout lie from those of the training rows; nil without rows.
    ///
    /// A detector that learns from labels scores rows that it has learned from apart from all others, whatever they are
    /// like. Of it both parts are taken from the model that has learned from both.
    private func scoreShift(_ chosen: Chosen, _ serving: FittedModel, _ set: PreparedSet) throws -> Double? {
        guard chosen.candidate.detector.info.learnsFromReferences else {
            return ScoreMetrics.stabilityIndex(
                reference: chosen.fitted.trainingScores, current: chosen.scores.scores)
        }
        func scores(_ rows: RowTable) throws -> [Double] {
            let known = rows.gathering(rows.labels.indices.filter { rows.labels[$0] >= 0 })
            return try score(
                serving.model, known.encoded(serving.plan), columns: serving.plan.columnCount)
        }
        let holdout = try scores(set.holdout)
        guard holdout.count >= Gate.minimumRows else { return nil }
        return try ScoreMetrics.stabilityIndex(reference: scores(set.training), current: holdout)
    }

    func scan(_ run: Run) throws -> History {
        run.report(.lake, 0)
        let days = run.request.from...run.request.to
        let scan = try historyScan(
            days, asOf: run.request.asOfMilliseconds,
            usesReferences: try needsReferences
                || run.candidates.contains { $0.detector.info.learnsFromReferences })
        let history = try scan.run(isCancelled: run.isCancelled, progress: { run.report(.lake, $0) })
        guard history.span != nil else {
            throw TrainingError.noTransactions(days, try LakeNotes(lake, days, history).lines)
        }
        return history
    }

    /// Whether the model that new ones are judged against looks at references: without them it would look worse than it is.
    var needsReferences: Bool { get throws { try router.globalModel()?.plan.usesReferences ?? false } }

    /// The days with the labels that were known at a moment.
    func historyScan(
        _ days: ClosedRange<LakeDay>, userIDs: Set<String>? = nil, asOf: Int64?, usesReferences: Bool
    ) throws -> HistoryScan {
        var past = ReferencePast.Settings()
        past.lagDays = settings.referenceLagDays
        past.tableHours = settings.referenceHours
        return HistoryScan(
            reader: lake, days: days, warmUpDays: settings.warmUpDays, userIDs: userIDs,
            scratch: settings.scratchFolder, memoryBytes: settings.memoryBytes,
            labels: try LabelIndex(labels, asOf: asOf ?? .max),
            references: usesReferences ? ReferencePast(past) : nil)
    }

    private func prepare(_ history: History, _ run: Run) throws -> PreparedSet {
        run.report(.prepare, 0)
        var rows = splitRows(history.span, capacity: settings.maximumRows, run)
        let fold = HistoryFold(startMilliseconds: run.request.from.startMilliseconds)
        try history.takeAll(
            { try fold.run($0, isCancelled: run.isCancelled) { rows.add($0, window: $1) } },
            progress: { run.report(.prepare, $0) })
        let set = rows.finish(history.categories)
        guard set.training.count >= settings.minimumRows else {
            throw TrainingError.noData(
                "the lake has \(set.training.count) transactions before the holdout from \(run.request.from) to "
                    + "\(run.request.to); a model needs \(settings.minimumRows): widen the range")
        }
        return set
    }

    /// The split is that of the rows that are there, of all users together.
    func splitRows(_ span: ClosedRange<Int64>?, capacity: Int, _ run: Run) -> SplitRows {
        SplitRows(
            capacity: capacity, seed: run.request.seed,
            splitMilliseconds: span.map {
                SplitRows.split($0, holdoutShare: settings.holdoutShare)
            } ?? .max)
    }

    // MARK: Judging and storing

    /// 1 when a user's model beat the global one, 0 when it did not; not there for the global model.
    static let earned = "earned"

    /// How a user's model does beside the global one, on the user's holdout. Without a global model nothing is earned.
    func earned(
        _ own: HoldoutScores, _ fitted: FittedModel, _ set: PreparedSet, _ run: Run
    ) throws -> (metrics: [String: Double], global: HoldoutScores?) {
        var metrics = [Self.earned: 0.0]
        var judgedGlobal: HoldoutScores?
        if let global = try router.globalModel(), !own.scores.isEmpty {
            let theirs = try HoldoutScores(global.model, global.plan, set)
            judgedGlobal = theirs
            if let comparison = EarnedComparison(
                own: own, global: theirs, threshold: fitted.threshold,
                contamination: run.request.contamination, margin: settings.earnedMargin)
            {
                metrics[Self.earned] = comparison.isEarned ? 1 : 0
                metrics.merge(comparison.metrics) { $1 }
            }
        }
        return (metrics, judgedGlobal)
    }

    func header(
        _ candidate: Candidate, _ fitted: FittedModel, _ set: PreparedSet, userID: String?,
        metrics: [String: Double], _ run: Run
    ) -> ArtifactHeader {
        let tenant = userID.map(Tenant.user) ?? .global
        let detector = candidate.detector
        var header = ArtifactHeader(
            userID: userID, detectorID: detector.info.id, detectorVersion: detector.info.version,
            detectorSHA256: detector.sha256.isEmpty ? nil : detector.sha256,
            parameters: candidate.parameters.values.mapValues { "\($0)" }, seed: run.request.seed,
            preprocessing: fitted.preprocessing, threshold: fitted.threshold,
            severity: SeverityTable(trainingScores: fitted.usualScores),
            contamination: run.request.contamination,
            trainingRange: .init(from: "\(run.request.from)", to: "\(run.request.to)"),
            rowCount: set.rowCount, metrics: metrics, parent: router.snapshot().version(of: tenant),
            createdMilliseconds: now(), jobID: run.jobID)
        header.labelsAsOfMilliseconds = run.request.asOfMilliseconds
        return header
    }
}
