/// What one of those who submit jobs may ask for, so that none keeps the others out of the queue, and how long what became
/// of jobs is kept. Submitters are told apart by the names of their API keys; whoever has none, the schedule for one, is
/// bound by the queue's size alone.
public struct JobLimits: Sendable, Hashable {
    /// Jobs that may wait at a time.
    public var waiting: Int
    /// Jobs within an hour, whatever became of them.
    public var anHour: Int
    /// Days that a job is kept after its end, with its idempotency key.
    public var keptDays: Int

    public init(waiting: Int = 10_000, anHour: Int = 20_000, keptDays: Int = 90) {
        self.waiting = waiting
        self.anHour = anHour
        self.keptDays = keptDays
    }

    var keptMilliseconds: Int64 { Int64(keptDays) * 86_400_000 }

    func tooManyWait(_ submitter: String) -> TrainingError {
        .tooManyJobs("\(waiting) training jobs of \(submitter) wait already", retrySeconds: 30)
    }

    /// - Parameter oldest: When the oldest of the last so many came, within the hour before `now`. Milliseconds.
    func tooManyWithinAnHour(_ submitter: String, oldest: Int64, now: Int64) -> TrainingError {
        let hour: Int64 = 3_600_000
        let wait = min(hour, max(0, oldest - (now - hour)))
        return .tooManyJobs(
            "\(submitter) has submitted \(anHour) training jobs within an hour",
            retrySeconds: Int(wait / 1_000) + 1)
    }
}
