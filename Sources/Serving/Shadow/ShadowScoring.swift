import Foundation
import Logging
import Metrics
import Models
import Outcomes
import Retrying
import Synchronization

/// Scores what the active global model has scored with a candidate as well, and counts what differs. Thread-safe.
///
/// It sees batches after they have been delivered, on a thread of its own, and publishes nothing: no verdict depends on it.
/// A candidate that does not keep up misses batches; one that throws ends its shadow. Counts are statistics of this
/// process since it began.
///
///     shadow.refresh()       // takes up the plan that stands in the store
///     shadow.note(scored)    // after each delivered batch; returns at once
///     shadow.run()           // on a thread of its own, until stop()
public final class ShadowScoring: Sendable {
    private struct Shadow {
        let plan: ShadowPlan
        /// nil: it could not be loaded.
        let model: ReadyModel?
        var counts: ShadowCounts?
        var transactions = 0
        var skipped = 0
        var elapsed = Duration.zero
        var ending: String?
    }

    private let store: ShadowStore
    private let router: ModelRouter
    private let references: CurrentReferences?
    private let logger: Logger
    private let now: @Sendable () -> Int64
    /// The latest one; kept when it has ended, to be asked about.
    private let state = Mutex<Shadow?>(nil)
    private let queue = BoundedQueue<ScoredBatch>(capacity: 4)
    private let stopping = StopSignal()
    private let scored = Counter(label: "ml_shadow_transactions_total")
    private let skipped = Counter(label: "ml_shadow_transactions_skipped_total")

    /// - Parameters:
    ///   - references: For a candidate that looks at tables beside an active version that does not.
    ///   - now: Milliseconds since 1970 UTC.
    public init(
        store: ShadowStore, router: ModelRouter, references: CurrentReferences?, logger: Logger,
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) {
        self.store = store
        self.router = router
        self.references = references
        self.logger = logger
        self.now = now
    }

    // MARK: Starting and ending

    /// Looks which candidate is to score here: loads a new one, lets go of one that was stopped. Blocks on the store. A store
    /// that is away changes nothing.
    public func refresh() {
        do {
            let plan = try store.current(now: now())
            let standing = state.withLock { $0 }
            if let standing, standing.plan != plan {
                end(
                    standing.plan,
                    standing.plan.endsMilliseconds <= now() ? "its time is over" : "it was stopped")
            }
            guard let plan, standing?.plan != plan else { return }
            begin(plan)
        } catch {
            logger.warning("the shadow's plan cannot be read", metadata: ["reason": "\(error)"])
        }
    }

    private func begin(_ plan: ShadowPlan) {
        var shadow: Shadow
        do {
            shadow = Shadow(plan: plan, model: try router.model(of: .global, version: plan.version))
        } catch {
            // A store that is away is asked again at the next look.
            if error.isPassing { return }
            shadow = Shadow(plan: plan, model: nil)
            shadow.ending = "it cannot be loaded: \(error)"
        }
        logger.notice(
            "a shadow begins",
            metadata: ["version": "\(plan.version)", "trouble": "\(shadow.ending ?? "none")"])
        state.withLock { [shadow] in $0 = shadow }
    }

    private func end(_ plan: ShadowPlan, _ reason: String) {
        let isNews = state.withLock { shadow in
            guard shadow?.plan == plan, shadow?.ending == nil else { return false }
            shadow?.ending = reason
            return true
        }
        if isNews {
            logger.notice(
                "a shadow has ended", metadata: ["version": "\(plan.version)", "reason": "\(reason)"])
        }
    }

    // MARK: Scoring

    /// Takes note of a delivered batch. Returns at once.
    public func note(_ batch: ScoredBatch) {
        guard state.withLock({ $0 != nil && $0?.ending == nil }) else { return }
        guard !queue.put(batch, timeoutMilliseconds: 0) else { return }
        state.withLock { $0?.skipped += batch.count }
        skipped.increment(by: batch.count)
    }

    /// Scores what is noted, until `stop` is called. Blocks.
    public func run() { while let batch = queue.take() { score(batch) } }

    /// Looks for plans every so often, until `stopFollowing` is called. Blocks.
    public func follow(everySeconds seconds: Int) {
        stopping.untilGiven(every: .seconds(seconds)) { refresh() }
    }

    public func stop() { queue.closeAndDrop() }

    /// Apart from `stop`: a service that ends before it is told to ends the whole process as failed.
    public func stopFollowing() { stopping.give() }

    func score(_ batch: ScoredBatch) {
        guard let shadow = state.withLock({ $0 }), shadow.ending == nil, let candidate = shadow.model else {
            return
        }
        guard shadow.plan.endsMilliseconds > now() else { return end(shadow.plan, "its time is over") }
        let global = batch.groups.filter { $0.model.tenant == .global && !$0.rows.isEmpty }
        guard let active = global.first?.model else { return }
        guard active.version != candidate.version else { return end(shadow.plan, "it serves now") }
        let rows = Array(
            global.filter { $0.model.version == active.version }.flatMap(\.rows)
                .prefix(shadow.plan.maximumTransactions - shadow.transactions))
        do {
            let start = ContinuousClock.now
            let scores = try scores(of: candidate, batch, rows)
            count(batch, rows, scores, candidate, active, ContinuousClock.now - start, shadow.plan)
        } catch {
            end(shadow.plan, "it failed: \(error)")
        }
    }

    private func scores(of candidate: ReadyModel, _ batch: ScoredBatch, _ rows: [Int32]) throws -> [Double] {
        var routed = RoutedBatch(
            windowed: batch.windowed, groups: [RouteGroup(model: candidate, fallback: nil, rows: rows)])
        if routed.windowed.references == nil, let table = references?.current {
            routed = routed.referring(to: BatchReferences(ready: table, ageHours: 0), global: nil)
        }
        return try ScoreStage.scores(of: routed.groups[0], routed.windowed)
    }

    private func count(
        _ batch: ScoredBatch, _ rows: [Int32], _ scores: [Double], _ candidate: ReadyModel,
        _ active: ReadyModel, _ elapsed: Duration, _ plan: ShadowPlan
    ) {
        scored.increment(by: rows.count)
        let isFull = state.withLock { shadow in
            guard var changed = shadow, changed.plan == plan, changed.ending == nil else { return false }
            shadow = nil  // the counts are changed in place
            var counts = changed.counts ?? ShadowCounts(active: active)
            changed.counts = nil
            if counts.active.version != active.version { counts = ShadowCounts(active: active) }
            counts.add(batch, rows: rows, scores: scores, candidate: candidate)
            changed.counts = counts
            changed.transactions += rows.count
            changed.elapsed += elapsed
            shadow = changed
            return changed.transactions >= plan.maximumTransactions
        }
        if isFull { end(plan, "it has scored \(plan.maximumTransactions) transactions") }
    }

    // MARK: What came of it

    /// nil: that version has not been a shadow here lately.
    public func report(version: Int) -> ShadowReport? {
        guard let shadow = state.withLock({ $0 }), shadow.plan.version == version else { return nil }
        var report = ShadowReport(shadow.plan)
        let (seconds, attoseconds) = shadow.elapsed.components
        report.ending = shadow.ending
        report.candidateBudget = shadow.model?.brief.contamination
        report.skipped = shadow.skipped
        report.seconds = Double(seconds) + Double(attoseconds) * 1e-18
        guard let counts = shadow.counts else { return report }
        report.activeVersion = counts.active.version
        report.activeBudget = counts.active.brief.contamination
        report.transactions = counts.transactions
        report.activeAlerts = counts.activeAlerts
        report.candidateAlerts = counts.candidateAlerts
        report.newAlerts = counts.newAlerts
        report.droppedAlerts = counts.droppedAlerts
        report.new = counts.new
        report.dropped = counts.dropped
        report.rankCorrelation = counts.rankCorrelation
        return report
    }

    /// Takes a user's transactions out of those that are shown.
    public func erase(userID: String) { state.withLock { $0?.counts?.erase(userID: userID) } }
}
