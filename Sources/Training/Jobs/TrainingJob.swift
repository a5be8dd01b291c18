/// A training job as its users see it.
public struct TrainingJob: Codable, Sendable, Hashable {
    public enum State: String, Codable, Sendable, CaseIterable {
        case queued, running, succeeded, failed, cancelled

        public var isFinal: Bool { self == .succeeded || self == .failed || self == .cancelled }
    }

    public var id: String
    public var request: TrainingRequest
    public var state = State.queued
    public var stage: TrainingStage?
    /// Of the stage, 0 to 1.
    public var progress = 0.0
    /// Versions and metrics, once it has succeeded.
    public var outcome: TrainingOutcome?
    /// Why it failed, or why it waits for another attempt.
    public var error: String?
    /// How often it has been begun; more than one after a crash.
    public var attempts = 0
    /// Epoch milliseconds, as the following.
    public var createdMilliseconds: Int64
    /// Of the latest attempt.
    public var startedMilliseconds: Int64?
    public var updatedMilliseconds: Int64
    public var finishedMilliseconds: Int64?

    init(id: String, request: TrainingRequest, createdMilliseconds: Int64) {
        self.id = id
        self.request = request
        self.createdMilliseconds = createdMilliseconds
        updatedMilliseconds = createdMilliseconds
    }
}

extension TrainingJob {
    mutating func begin(_ now: Int64) {
        state = .running
        attempts += 1
        error = nil
        startedMilliseconds = now
        updatedMilliseconds = now
    }

    mutating func end(_ result: Result<TrainingOutcome, any Error>) {
        switch result {
        case .success(let outcome):
            state = .succeeded
            self.outcome = outcome
        case .failure(TrainingError.cancelled): state = .cancelled
        case .failure(let error):
            state = .failed
            self.error = "\(error)"
        }
    }

    /// It has taken too many workers down.
    mutating func failAfterStrikes() {
        state = .failed
        error = "it was begun \(attempts) times and did not end" + (error.map { ": \($0)" } ?? "")
    }

    mutating func close(_ now: Int64) {
        updatedMilliseconds = now
        finishedMilliseconds = now
    }
}

/// A job that a worker holds: it may write to it until the lease ends and somebody else takes it over.
public struct ClaimedJob: Sendable {
    let job: TrainingJob
    let worker: String

    /// Numbers the holders of a job, so that one that was taken for dead cannot write.
    var attempt: Int { job.attempts }
}
