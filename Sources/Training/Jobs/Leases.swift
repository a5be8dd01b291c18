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
    }

    private let jobs: JobStore
    private let state: Mutex<State>
    private let ended = DispatchSemaphore(value: 0)
    /// How often progress is written at most: each job is a row.
    private let progressInterval: Duration

    /// How often leases are renewed at least.
    private static let renewalMilliseconds = Int(JobStore.leaseMilliseconds / 6)

    init(jobs: JobStore, claimed: [ClaimedJob]) {
        self.jobs = jobs
        state = Mutex(State(running: claimed.map { Running(claimed: $0) }))
        progressInterval = .milliseconds(max(250, claimed.count / 4))
    }

    /// Somebody else has the job of that place among those claimed, or it was cancelled.
    func isLost(_ place: Int) -> Bool { state.withLock { $0.running[place].isLost } }

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

    func report(_ place: Int, _ stage: TrainingStage, _ progress: Double) {
        state.withLock { state in
            // Of one job each stage is written; of many they would be more writes than work.
            let isNew = state.running.count == 1 && state.running[place].stage != stage
            state.running[place].stage = stage
            state.running[place].progress = progress
            if isNew || ContinuousClock.now - state.written > progressInterval { renew(&state) }
        }
    }

    private func renew(_ state: inout State) {
        state.written = .now
        let held = state.running.indices.filter { !state.running[$0].isLost }
        let progress = held.map { place in
            let job = state.running[place]
            return JobStore.Progress(claimed: job.claimed, stage: job.stage, progress: job.progress)
        }
        // A store that cannot be written now may be a moment later; one that says no has given the job away.
        guard !held.isEmpty, let areHeld = try? jobs.renew(progress) else { return }
        for (place, isHeld) in zip(held, areHeld) where !isHeld { state.running[place].isLost = true }
    }
}
