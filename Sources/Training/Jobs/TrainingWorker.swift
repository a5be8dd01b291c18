import Foundation
import Lake
import Logging
import Metrics
import ObjectStore
import Retrying
import Synchronization

/// Runs jobs one after the other, on the thread that calls `run`, with a second thread that keeps the lease. Jobs of named
/// users that ask for the same days, detector and parameters are one pass over the lake.
///
/// Thread-safe. As a service: `run` on a thread of its own, `stop` on graceful shutdown.
public final class TrainingWorker: Sendable {
    private let jobs: any JobStore
    private let pipeline: TrainingPipeline
    private let name: String
    private let logger: Logger
    private let stopping = StopSignal()
    /// When it may look again for a job to help with.
    private let helpAgain = Mutex(ContinuousClock.now)

    /// How long an idle worker waits before it looks for a job again.
    private static let idleMilliseconds = 200
    private static let awayMilliseconds = 1_000
    private static let helpPause = Duration.seconds(5)
    /// A job whose store is away waits so long, and twice as long each further time.
    private static let retryMilliseconds: Int64 = 15_000

    /// - Parameter name: Its own among all workers of the job store; the same after a restart of the same process,
    ///   which then takes its jobs back at once.
    public init(jobs: any JobStore, pipeline: TrainingPipeline, name: String, logger: Logger) {
        self.jobs = jobs
        self.pipeline = pipeline
        self.name = name
        self.logger = logger
    }

    /// Makes `run` return soon. A job that is running goes back into the queue.
    public func stop() { stopping.give() }

    private var isStopped: Bool { stopping.isGiven }

    /// Blocks until `stop` is called.
    public func run() {
        while !isStopped, tryJobStore({ try jobs.release(worker: name) }) == nil {
            stopping.wait(.milliseconds(Self.awayMilliseconds))
        }
        while !isStopped {
            switch tryJobStore({ try runNext() }) {
            case true?: continue
            case false?: stopping.wait(.milliseconds(Self.idleMilliseconds))
            // It is away, say: no use in asking at once.
            case nil: stopping.wait(.milliseconds(Self.awayMilliseconds))
            }
        }
    }

    /// Runs the next job to its end, together with those that one pass over the lake can serve as well.
    ///
    /// - Returns: false when there was none.
    func runNext() throws -> Bool {
        let asked = ContinuousClock.now
        guard let first = try jobs.claim(worker: name) else { return try help() }
        let claimed = [first] + (try jobs.claimAlike(first))
        logger.info(
            "training begins",
            metadata: ["job": "\(first.job.id)", "attempt": "\(first.attempt)", "jobs": "\(claimed.count)"])
        let leases = Leases(jobs: jobs, claimed: claimed, since: asked)
        leases.start()
        defer { leases.end() }
        let results = run(claimed, leases)
        try end(claimed.indices.map { (claimed[$0], results[$0], leases.isLost($0)) })
        return true
    }

    /// - Returns: How each of the jobs ended.
    private func run(_ claimed: [ClaimedJob], _ leases: Leases) -> [Result<TrainingOutcome, any Error>] {
        guard claimed.count > 1 else {
            let (job, journal) = (claimed[0].job, JobJournal(jobs: jobs, claimed: claimed[0], leases: leases))
            return [
                Result {
                    try pipeline.run(
                        job.request, jobID: job.id, journal: journal,
                        isCancelled: { [self] in isStopped || leases.isLost(0) },
                        report: { leases.report(0, $0, $1) })
                }
            ]
        }
        do {
            return try pipeline.runTogether(
                claimed.enumerated().map { place, claimed in
                    TrainingPipeline.NamedJob(
                        claimed.job.request, jobID: claimed.job.id,
                        journal: JobJournal(jobs: jobs, claimed: claimed, leases: leases),
                        isCancelled: { [self] in isStopped || leases.isLost(place) },
                        report: { leases.report(place, $0, $1) })
                })
        } catch {
            return claimed.map { _ in .failure(error) }
        }
    }

    /// Works on parts of another worker's job for all users.
    ///
    /// - Returns: false when there is none.
    private func help() throws -> Bool {
        guard let store = jobs as? any PartStore, ContinuousClock.now >= helpAgain.withLock({ $0 }),
            let job = try store.joinable()
        else { return false }
        // After this one, whatever comes of it: a job that cannot be helped with is not asked about all the time.
        defer { helpAgain.withLock { $0 = .now + Self.helpPause } }
        let member = PartMember(helping: job.id, worker: name)
        guard try store.join(member, basis: try pipeline.basis(of: job.request)) else { return false }
        let lease = HelperLease(store, member)
        lease.start()
        defer { lease.end() }
        logger.info("training helps", metadata: ["job": "\(job.id)"])
        var metadata: Logger.Metadata = ["job": "\(job.id)"]
        do {
            let parts = try pipeline.help(
                job.request, jobID: job.id, journal: HelperJournal(store: store, member: member),
                isCancelled: { [self] in isStopped || lease.isLost })
            metadata["parts"] = "\(parts)"
        } catch TrainingError.cancelled {
            metadata["outcome"] = "stopped"
        } catch {
            // The job's holder meets the same, and says so.
            metadata["error"] = "\(error)"
        }
        logger.info("training has helped", metadata: metadata)
        return true
    }

    private func end(_ ended: [(ClaimedJob, Result<TrainingOutcome, any Error>, isLost: Bool)]) throws {
        var finished: [(ClaimedJob, Result<TrainingOutcome, any Error>)] = []
        for (claimed, result, isLost) in ended {
            var outcome = "succeeded"
            switch result {
            case .success: finished.append((claimed, result))
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
                finished.append((claimed, result))
            }
            Counter(label: "ml_training_jobs_total", dimensions: [("outcome", outcome)]).increment()
            var metadata: Logger.Metadata = ["job": "\(claimed.job.id)", "outcome": "\(outcome)"]
            if case .failure(let error) = result { metadata["error"] = "\(error)" }
            logger.log(level: outcome == "failed" ? .warning : .info, "training ended", metadata: metadata)
        }
        try jobs.finish(finished)
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
