import Foundation
import Synchronization

/// Keeps the leases of jobs that run together, from a thread of its own: a stage may be silent for longer than a lease.
final class Leases: Sendable {
    private struct Running {
        let claimed: ClaimedJob
        var stage: TrainingStage?
        var progress = 0.0
        var isLost = false
    }

    private struct State {
        var running: [Running]
        var isEnded = false
        var written = ContinuousClock.now
        /// Since when the leases run at least.
        var renewed: ContinuousClock.Instant
    }

    private let jobs: any JobStore
    private let state: Mutex<State>
    private let ended = DispatchSemaphore(value: 0)
    /// How often progress is written at most: each job is a row.
    private let progressInterval: Duration

    /// How often leases are renewed at least.
    static let renewalMilliseconds = Int(JobBounds.leaseMilliseconds / 6)
    /// What is written after so long needs a new lease first.
    private static let trusted = Duration.milliseconds(JobBounds.leaseMilliseconds / 2)

    /// - Parameter since: Before the jobs were claimed.
    init(jobs: any JobStore, claimed: [ClaimedJob], since: ContinuousClock.Instant = .now) {
        self.jobs = jobs
        state = Mutex(State(running: claimed.map { Running(claimed: $0) }, renewed: since))
        progressInterval = .milliseconds(max(250, claimed.count / 4))
    }

    /// Somebody else has the job of that place among those claimed, or it was cancelled.
    func isLost(_ place: Int) -> Bool { state.withLock { $0.running[place].isLost } }

    func start() {
        let thread = Thread { [self] in
            while ended.wait(timeout: .now() + .milliseconds(Self.renewalMilliseconds)) == .timedOut {
                // A store that cannot be written now may be a moment later; one that says no has given the job away.
                state.withLock { if !$0.isEnded { try? renew(&$0) } }
            }
        }
        thread.name = "training lease"
        thread.start()
    }

    func end() {
        state.withLock { $0.isEnded = true }
        ended.signal()
    }

    func report(_ place: Int, _ stage: TrainingStage, _ progress: Double) {
        state.withLock { state in
            // Of one job each stage is written; of many they would be more writes than work.
            let isNew = state.running.count == 1 && state.running[place].stage != stage
            state.running[place].stage = stage
            state.running[place].progress = progress
            if isNew || ContinuousClock.now - state.written > progressInterval { try? renew(&state) }
        }
    }

    /// Makes sure that a job is still this worker's, by a new lease if the last one is not fresh: the process may have been
    /// paused for longer than that.
    ///
    /// - Throws: `TrainingError.cancelled`; what the store throws.
    func confirm(_ claimed: ClaimedJob) throws {
        try state.withLock { state in
            if ContinuousClock.now - state.renewed > Self.trusted { try renew(&state) }
            let job = state.running.first { $0.claimed.job.id == claimed.job.id }
            guard let job, !job.isLost else { throw TrainingError.cancelled }
        }
    }

    private func renew(_ state: inout State) throws {
        let now = ContinuousClock.now
        state.written = now
        let held = state.running.indices.filter { !state.running[$0].isLost }
        let progress = held.map { place in
            let job = state.running[place]
            return JobProgress(claimed: job.claimed, stage: job.stage, progress: job.progress)
        }
        guard !held.isEmpty else { return }
        let areHeld = try jobs.renew(progress)
        state.renewed = now
        for (place, isHeld) in zip(held, areHeld) where !isHeld { state.running[place].isLost = true }
    }
}
