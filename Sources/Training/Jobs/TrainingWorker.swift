import Foundation
import Lake
import Logging
import Metrics
import ObjectStore
import Retrying
import Synchronization

/// Runs jobs one after the other, on the thread that calls `run`, with a second thread that keeps the lease.
///
/// Thread-safe. As a service: `run` on a thread of its own, `stop` on graceful shutdown.
public final class TrainingWorker: Sendable {
    private let jobs: JobStore
    private let pipeline: TrainingPipeline
    private let name: String
    private let logger: Logger
    private let isStopping = Mutex(false)

    /// How long an idle worker waits before it looks for a job again.
    private static let idleMilliseconds = 200
    /// A job whose store is away waits so long, and twice as long each further time.
    private static let retryMilliseconds: Int64 = 15_000

    /// - Parameter name: Its own among all workers of the job store; the same after a restart of the same process,
    ///   which then takes its jobs back at once.
    public init(jobs: JobStore, pipeline: TrainingPipeline, name: String, logger: Logger) {
        self.jobs = jobs
        self.pipeline = pipeline
        self.name = name
        self.logger = logger
    }

    /// Makes `run` return soon. A job that is running goes back into the queue.
    public func stop() { isStopping.withLock { $0 = true } }

    private var isStopped: Bool { isStopping.withLock { $0 } }

    /// Blocks until `stop` is called.
    public func run() {
        tryJobStore { try jobs.release(worker: name) }
        while !isStopped {
            let isIdle = tryJobStore { try !runNext() } ?? true
            if isIdle { Thread.sleep(forTimeInterval: Double(Self.idleMilliseconds) / 1_000) }
        }
    }

    /// Runs the next job to its end.
    ///
    /// - Returns: false when there was none.
    func runNext() throws -> Bool {
        guard let claimed = try jobs.claim(worker: name) else { return false }
        logger.info(
            "training begins", metadata: ["job": "\(claimed.job.id)", "attempt": "\(claimed.attempt)"])
        let lease = Lease(jobs: jobs, claimed: claimed)
        lease.start()
        defer { lease.end() }
        let result = Result {
            try pipeline.run(
                claimed.job.request, jobID: claimed.job.id,
                journal: JobJournal(jobs: jobs, claimed: claimed),
                isCancelled: { [self] in isStopped || lease.isLost }, report: { lease.report($0, $1) })
        }
        try end(claimed, result, isLost: lease.isLost)
        return true
    }

    private func end(
        _ claimed: ClaimedJob, _ result: Result<TrainingOutcome, any Error>, isLost: Bool
    ) throws {
        var outcome = "succeeded"
        switch result {
        case .success: try jobs.finish(claimed, result)
        case .failure(TrainingError.cancelled) where isLost: outcome = "lost"
        case .failure(TrainingError.cancelled) where isStopped:
            outcome = "stopped"
            try jobs.giveBack(claimed, reason: nil)
        case .failure(let error) where error.isPassing:
            outcome = "postponed"
            let delay = Self.retryMilliseconds << Int64(min(claimed.attempt - 1, 6))
            try jobs.giveBack(claimed, reason: "\(error)", delayMilliseconds: delay)
        case .failure:
            outcome = "failed"
            try jobs.finish(claimed, result)
        }
        Counter(label: "ml_training_jobs_total", dimensions: [("outcome", outcome)]).increment()
        var metadata: Logger.Metadata = ["job": "\(claimed.job.id)", "outcome": "\(outcome)"]
        if case .failure(let error) = result { metadata["error"] = "\(error)" }
        logger.log(level: outcome == "failed" ? .warning : .info, "training ended", metadata: metadata)
    }

    @discardableResult
    private func tryJobStore<Value>(_ call: () throws -> Value) -> Value? {
        do {
            return try call()
        } catch {
            logger.error("the job store cannot be used", metadata: ["error": "\(error)"])
            return nil
        }
    }
}

/// Keeps a running job's lease from a thread of its own: a stage may be silent for longer than the lease.
private final class Lease: Sendable {
    private struct State {
        var stage: TrainingStage?
        var progress = 0.0
        var isLost = false
        var isEnded = false
        var written = ContinuousClock.now
    }

    private let jobs: JobStore
    private let claimed: ClaimedJob
    private let state = Mutex(State())
    private let ended = DispatchSemaphore(value: 0)

    /// How often progress is written at most, and the lease is renewed at least.
    private static let progressInterval = Duration.milliseconds(250)
    private static let renewalMilliseconds = Int(JobStore.leaseMilliseconds / 6)

    init(jobs: JobStore, claimed: ClaimedJob) {
        self.jobs = jobs
        self.claimed = claimed
    }

    /// Somebody else has the job, or it was cancelled.
    var isLost: Bool { state.withLock { $0.isLost } }

    func start() {
        let thread = Thread { [self] in
            while ended.wait(timeout: .now() + .milliseconds(Self.renewalMilliseconds)) == .timedOut {
                state.withLock { if !$0.isEnded { renew(&$0) } }
            }
        }
        thread.name = "training lease"
        thread.start()
    }

    func end() {
        state.withLock { $0.isEnded = true }
        ended.signal()
    }

    func report(_ stage: TrainingStage, _ progress: Double) {
        state.withLock { state in
            let isNew = state.stage != stage
            state.stage = stage
            state.progress = progress
            if isNew || ContinuousClock.now - state.written > Self.progressInterval { renew(&state) }
        }
    }

    private func renew(_ state: inout State) {
        state.written = .now
        // A store that cannot be written now may be a moment later; one that says no has given the job away.
        if let isHeld = try? jobs.renew(claimed, stage: state.stage, progress: state.progress), !isHeld {
            state.isLost = true
        }
    }
}
