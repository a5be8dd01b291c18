import Foundation
import Logging
import Metrics
import Synchronization

/// Runs jobs one after the other, on the thread that calls `run`.
public final class TrainingWorker: Sendable {
    private let jobs: JobStore
    private let pipeline: TrainingPipeline
    /// The same after a restart of the same process, which then takes its own jobs back at once.
    private let name: String
    private let logger: Logger
    private let isStopping = Mutex(false)
    private let succeeded = Counter(label: "ml_training_jobs_total", dimensions: [("state", "succeeded")])
    private let failed = Counter(label: "ml_training_jobs_total", dimensions: [("state", "failed")])

    public init(jobs: JobStore, pipeline: TrainingPipeline, name: String, logger: Logger) {
        self.jobs = jobs
        self.pipeline = pipeline
        self.name = name
        self.logger = logger
    }

    public func stop() { isStopping.withLock { $0 = true } }

    private var isStopped: Bool { isStopping.withLock { $0 } }

    /// Blocks until `stop` is called; a job that is running then is begun again after the next start.
    public func run() {
        do {
            try jobs.release(worker: name)
        } catch {
            logger.error("the job store cannot be used", metadata: ["error": "\(error)"])
        }
        while !isStopped {
            do {
                if let job = try jobs.claim(worker: name) {
                    try run(job)
                } else {
                    Thread.sleep(forTimeInterval: 0.1)
                }
            } catch {
                logger.error("the job store cannot be used", metadata: ["error": "\(error)"])
                Thread.sleep(forTimeInterval: 1)
            }
        }
    }

    private func run(_ job: TrainingJob) throws {
        logger.info("training begins", metadata: ["job": "\(job.id)", "attempt": "\(job.attempts)"])
        let progress = JobProgress(job: job, jobs: jobs, worker: name)
        do {
            let outcome = try pipeline.run(
                job.request, jobID: job.id, isCancelled: { [self] in isStopped || progress.isLost },
                report: { progress.report($0, $1) })
            progress.finish(.succeeded, outcome: outcome, error: nil)
            succeeded.increment()
            logger.info("training succeeded", metadata: ["job": "\(job.id)"])
        } catch  where isStopped || progress.isLost {
            logger.info("training stopped", metadata: ["job": "\(job.id)"])
        } catch {
            progress.finish(.failed, outcome: nil, error: "\(error)")
            failed.increment()
            logger.warning("training failed", metadata: ["job": "\(job.id)", "error": "\(error)"])
        }
    }
}

/// Writes a running job's progress now and then, which also keeps its lease.
private final class JobProgress: Sendable {
    private struct State {
        var job: TrainingJob
        var written = ContinuousClock.now
        var isLost = false
    }

    private let state: Mutex<State>
    private let jobs: JobStore
    private let worker: String

    init(job: TrainingJob, jobs: JobStore, worker: String) {
        state = Mutex(State(job: job))
        self.jobs = jobs
        self.worker = worker
    }

    var isLost: Bool { state.withLock { $0.isLost } }

    func report(_ stage: TrainingStage, _ fraction: Double) {
        state.withLock { state in
            let isNew = state.job.stage != stage
            state.job.stage = stage
            state.job.progress = fraction
            guard isNew || ContinuousClock.now - state.written > .milliseconds(250) else { return }
            write(&state)
        }
    }

    func finish(_ outcome: TrainingJob.State, outcome result: TrainingOutcome?, error: String?) {
        state.withLock { state in
            state.job.state = outcome
            state.job.outcome = result
            state.job.error = error
            state.job.finishedMilliseconds = Int64(Date().timeIntervalSince1970 * 1_000)
            write(&state)
        }
    }

    private func write(_ state: inout State) {
        state.written = .now
        // A store that cannot be written now may be a moment later; one that says no has given the job away.
        if let isOurs = try? jobs.update(state.job, worker: worker) { state.isLost = !isOurs }
    }
}
