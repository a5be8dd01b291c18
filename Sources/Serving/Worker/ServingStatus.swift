import Foundation
import Logging
import Metrics
import Models
import Synchronization

/// What serving is doing, for `/readyz`, `/metrics` and the console. Thread-safe.
public final class ServingStatus: Sendable {
    public enum Phase: Sendable, Hashable {
        case starting
        case running
        /// Not reading on until something outside comes back.
        case waiting(String)
        /// The stream has ended.
        case finished
        case stopped
    }

    public struct Totals: Sendable, Hashable {
        public var transactions = 0
        public var anomalies = 0
        public var deadLetters = 0
        public var scoredByOwnModel = 0
        public var late = 0
        public var windowsMoved = 0
        public var windowsAhead = 0
        /// Events dated in the future, which moved no window.
        public var future = 0
        /// Transactions scored from windows of which something is missing: damaged, lost or skipped.
        public var windowsIncomplete = 0
        /// Transactions of users with less history than configured.
        public var cold = 0
        /// Stored windows and records that were damaged.
        public var windowsDamaged = 0
        /// Times that the window store was found to have forgotten.
        public var windowLosses = 0
        /// Records that are not keyed by their user.
        public var wronglyKeyed = 0
        public var batches = 0
        /// Batches started again because a window had been changed by another worker.
        public var conflicts = 0
        /// Batches whose partitions were given up before they were delivered; their owner reads them again.
        public var batchesDropped = 0
        /// Times that serving waited for something outside, or began a new session.
        public var interruptions = 0

        public init() {}
    }

    /// The stages of a batch, and the thread time each has taken.
    public enum Stage: String, Sendable, CaseIterable {
        case consume, window, route, score, publish, deliver
    }

    /// One of the workers that share this status.
    struct Worker: Sendable {
        fileprivate let place: Int
    }

    private struct WorkerState {
        var phase = Phase.starting
        var streamTrouble: String?

        /// With what its stream says of itself.
        var whole: Phase {
            if phase == .running, let streamTrouble { return .waiting(streamTrouble) }
            return phase
        }
    }

    private struct State {
        var stageSeconds: [Stage: Double] = [:]
        var workers: [WorkerState] = []
        var saidWronglyKeyed = false
        var totals = Totals()
        /// What is wrong with windows, the latest.
        var windowTrouble: String?
        /// Which partitions the group does not get on in.
        var groupTrouble: String?
    }

    private let state = Mutex(State())
    private let counters: Counters

    /// - Parameter metrics: Of verdicts' delays; nil: the process's.
    public init(metrics: (any MetricsFactory)? = nil) { counters = Counters(metrics) }

    /// Of all workers together: waiting when one waits, then running when one runs, and finished when all are.
    public var phase: Phase {
        let phases = state.withLock { $0.workers.map(\.whole) }
        let waiting = phases.first { phase in
            if case .waiting = phase { true } else { false }
        }
        return waiting ?? [.running, .starting, .stopped, .finished].first(where: phases.contains)
            ?? .starting
    }

    public var totals: Totals { state.withLock { $0.totals } }

    /// A worker that counts here from now on.
    func join() -> Worker {
        state.withLock { state in
            state.workers.append(WorkerState())
            return Worker(place: state.workers.count - 1)
        }
    }

    func enter(_ phase: Phase, of worker: Worker) {
        state.withLock { state in
            if case .waiting = phase, state.workers[worker.place].phase != phase {
                state.totals.interruptions += 1
                counters.interruptions.increment()
            }
            state.workers[worker.place].phase = phase
        }
    }

    /// Seconds that each stage has taken so far.
    public var stageSeconds: [Stage: Double] { state.withLock { $0.stageSeconds } }

    /// Runs one stage and counts its time.
    func timing<Result>(_ stage: Stage, _ body: () throws -> Result) rethrows -> Result {
        let start = ContinuousClock.now
        defer { record([stage: ContinuousClock.now - start]) }
        return try body()
    }

    /// Counts what the stages of one attempt at a batch have taken.
    func record(_ spent: [Stage: Duration]) {
        for (stage, duration) in spent {
            state.withLock { $0.stageSeconds[stage, default: 0] += duration / .seconds(1) }
            counters.stages[stage]?.recordNanoseconds(Int64(duration / .nanoseconds(1)))
        }
    }

    func setStreamTrouble(_ trouble: String?, of worker: Worker) {
        state.withLock { $0.workers[worker.place].streamTrouble = trouble }
    }

    /// - Returns: Whether nobody has said before that the stream is not keyed by user.
    func saysWronglyKeyed() -> Bool {
        state.withLock { state in
            defer { state.saidWronglyKeyed = true }
            return !state.saidWronglyKeyed
        }
    }

    func countRetry() { counters.retries.increment() }

    func countConflict() {
        state.withLock { $0.totals.conflicts += 1 }
        counters.conflicts.increment()
    }

    func countDropped() {
        state.withLock { $0.totals.batchesDropped += 1 }
        counters.dropped.increment()
    }

    /// What is wrong with windows, for people: the latest that was found; nil: nothing was.
    public var windowTrouble: String? { state.withLock { $0.windowTrouble } }

    /// Which partitions the whole group makes no progress in, for people; nil: none that is known. It is no matter of this
    /// worker alone, and does not make it unready.
    public var groupTrouble: String? { state.withLock { $0.groupTrouble } }

    /// - Returns: Whether that is news.
    func setStanding(_ text: String?) -> Bool {
        state.withLock { state in
            defer { state.groupTrouble = text }
            return (state.groupTrouble == nil) != (text == nil)
        }
    }

    /// Counts and logs what was found wrong with stored windows.
    func report(_ notices: [WindowNotice], windows: String, logger: Logger) {
        for notice in notices {
            let message = notice.message(store: windows)
            state.withLock { state in
                if notice.isDamage { state.totals.windowsDamaged += 1 }
                if notice.isLoss { state.totals.windowLosses += 1 }
                if notice.isLoss || notice.isDamage { state.windowTrouble = message }
            }
            if notice.isDamage { counters.damaged.increment() }
            if notice.isLoss { counters.losses.increment() }
            logger.log(level: notice.isLoss || notice.isDamage ? .error : .warning, "\(message)")
        }
    }

    /// - Parameter hasProducedTimes: Records' times are those at which they were produced. A file's are guessed from the
    ///   events after them.
    func count(_ scored: ScoredBatch, hasProducedTimes: Bool) {
        var change = Totals()
        change.transactions = scored.count
        change.deadLetters = scored.windowed.consumed.deadLetters.count
        change.wronglyKeyed = scored.windowed.consumed.wronglyKeyed
        for group in scored.groups where group.model.tenant != .global {
            change.scoredByOwnModel += group.rows.count
        }
        for row in 0..<scored.count {
            if scored.isAnomaly(row) {
                change.anomalies += 1
                if let severity = scored.severity(row) { counters.severity.record(severity) }
            }
            let marks = scored.windowed.marks[row]
            guard !marks.isEmpty else { continue }
            if marks.contains(.late) { change.late += 1 }
            if marks.contains(.windowMoved) { change.windowsMoved += 1 }
            if marks.contains(.windowAhead) { change.windowsAhead += 1 }
            if marks.contains(.future) { change.future += 1 }
            if !marks.isDisjoint(with: [.windowDamaged, .windowsLost, .windowBehind]) {
                change.windowsIncomplete += 1
            }
            if marks.contains(.cold) { change.cold += 1 }
        }
        state.withLock { state in
            state.totals.transactions += change.transactions
            state.totals.deadLetters += change.deadLetters
            state.totals.scoredByOwnModel += change.scoredByOwnModel
            state.totals.anomalies += change.anomalies
            state.totals.late += change.late
            state.totals.windowsMoved += change.windowsMoved
            state.totals.windowsAhead += change.windowsAhead
            state.totals.future += change.future
            state.totals.windowsIncomplete += change.windowsIncomplete
            state.totals.cold += change.cold
            state.totals.wronglyKeyed += change.wronglyKeyed
            state.totals.batches += 1
        }
        counters.add(change)
        counters.add(scored)
        if hasProducedTimes { counters.addDelays(of: scored) }
        scored.countRulings()
    }
}

/// The same totals for Prometheus.
private struct Counters: Sendable {
    let transactions = Counter(label: "ml_transactions_total")
    let own = Counter(label: "ml_transactions_scored_by_user_model_total")
    let anomalies = Counter(label: "ml_anomalies_total")
    let severity = Recorder(label: "ml_anomaly_severity", aggregate: true)
    let late = Counter(label: "ml_transactions_late_total")
    let moved = Counter(label: "ml_windows_moved_total")
    let ahead = Counter(label: "ml_windows_ahead_total")
    let future = Counter(label: "ml_transactions_future_total")
    let incomplete = Counter(label: "ml_transactions_with_incomplete_windows_total")
    let cold = Counter(label: "ml_transactions_cold_total")
    let damaged = Counter(label: "ml_windows_damaged_total")
    let losses = Counter(label: "ml_window_losses_total")
    let wronglyKeyed = Counter(label: "ml_records_wrongly_keyed_total")
    let batches = Counter(label: "ml_batches_total")
    let conflicts = Counter(label: "ml_window_conflicts_total")
    let dropped = Counter(label: "ml_batches_dropped_total")
    let interruptions = Counter(label: "ml_serving_interruptions_total")
    let retries = Counter(label: "ml_batch_retries_total")
    let delay: Timer
    let delivered = Gauge(label: "ml_last_delivery_timestamp_seconds")
    let fallbacks = Dictionary(
        uniqueKeysWithValues: FallbackReason.allCases.map {
            (
                $0,
                Counter(
                    label: "ml_transactions_scored_by_fallback_total", dimensions: [("reason", $0.rawValue)])
            )
        })
    let stages = Dictionary(
        uniqueKeysWithValues: ServingStatus.Stage.allCases.map {
            ($0, Timer(label: "ml_stage_seconds", dimensions: [("stage", $0.rawValue)]))
        })

    init(_ metrics: (any MetricsFactory)?) {
        delay = Timer(label: "ml_verdict_delay_seconds", factory: metrics ?? MetricsSystem.factory)
    }

    func add(_ change: ServingStatus.Totals) {
        transactions.increment(by: change.transactions)
        own.increment(by: change.scoredByOwnModel)
        anomalies.increment(by: change.anomalies)
        late.increment(by: change.late)
        moved.increment(by: change.windowsMoved)
        ahead.increment(by: change.windowsAhead)
        future.increment(by: change.future)
        incomplete.increment(by: change.windowsIncomplete)
        cold.increment(by: change.cold)
        wronglyKeyed.increment(by: change.wronglyKeyed)
        batches.increment()
    }

    /// Of a batch that has just been delivered.
    func add(_ scored: ScoredBatch) {
        delivered.record(Date().timeIntervalSince1970)
        for group in scored.groups {
            if let fallback = group.fallback { fallbacks[fallback]?.increment(by: group.rows.count) }
        }
        let consumed = scored.windowed.consumed
        for letter in consumed.deadLetters {
            Counter(label: "ml_dead_letters_total", dimensions: [("reason", letter.reason)]).increment()
        }
    }

    /// Of a batch that has just been delivered.
    func addDelays(of scored: ScoredBatch) {
        let now = Date().timeIntervalSince1970
        let consumed = scored.windowed.consumed
        // A share of them has the same distribution, and costs the stream nothing that could be measured.
        for row in stride(from: 0, to: scored.count, by: 8) {
            guard let produced = consumed.recordMilliseconds(row) else { continue }
            delay.recordNanoseconds(Int64(max(0, min(now - Double(produced) / 1e3, 1e9)) * 1e9))
        }
    }
}
