/// Training jobs: durable, each run by one worker at a time.
///
/// Thread-safe, and safe for several processes; calls block. A worker holds a job by a lease, which it renews; when
/// the lease has ended the next worker takes the job over, and the first one can no longer write to it. Whatever the
/// store, those who submit jobs take turns, each with their oldest.
public protocol JobStore: Sendable {
    /// For people: where the jobs are.
    var location: String { get }

    // MARK: For its users

    /// Puts a request into the queue; the same key gives the same job.
    ///
    /// - Parameter submitter: Whose turn and limits it counts for; empty: nobody's.
    /// - Throws: `TrainingError.keyReused` when the key came with another request, `.queueFull`, `.tooManyJobs`; the
    ///   store's own errors, as all of these calls.
    @discardableResult
    func submit(_ request: TrainingRequest, key: String?, submitter: String) throws -> TrainingJob

    func job(id: String) throws -> TrainingJob?

    /// Newest first.
    ///
    /// - Parameter id: Only jobs older than this one; one that is not known has none. nil: from the newest on.
    func jobs(limit: Int, before id: String?) throws -> [TrainingJob]

    /// Cancels a job that has not ended; a running one stops soon. Others stay as they are.
    func cancel(id: String) throws

    /// Removes what names a user: their jobs, of which a running one stops soon, and their lines in what jobs for all
    /// users made.
    ///
    /// - Returns: How many jobs were removed or changed.
    func erase(userID: String) throws -> Int

    // MARK: For workers

    /// Takes a job that waits, or whose worker is dead; nil when there is none. Those who submit jobs take turns: the one
    /// whose latest job was begun longest ago is next, with their oldest.
    ///
    /// - Throws: `TrainingError.damagedJob`, or what decoding throws, for a record that was in the way, and is out of it
    ///   now.
    func claim(worker: String) throws -> ClaimedJob?

    /// Takes whatever else waits that one pass over the lake can serve together with a job that was just claimed: jobs of
    /// other named users that ask for the same. A job that has taken a worker down before runs alone, so that it does not
    /// take others with it.
    ///
    /// - Returns: The oldest first; none for a job of everybody's model.
    func claimAlike(_ claimed: ClaimedJob) throws -> [ClaimedJob]

    /// Renews leases and writes how far the jobs are.
    ///
    /// - Returns: For each whether it still is this worker's; else, or when it was cancelled: stop.
    func renew(_ running: [JobProgress]) throws -> [Bool]

    /// Ends jobs that this worker holds.
    ///
    /// - Returns: For each false when it is no longer this worker's; nothing was written of it then.
    @discardableResult
    func finish(_ ended: [(ClaimedJob, Result<TrainingOutcome, any Error>)]) throws -> [Bool]

    /// Puts a job back into the queue.
    ///
    /// - Parameters:
    ///   - reason: Why; nil: its worker ends in an orderly way, which is no strike against the job.
    ///   - delayMilliseconds: When another attempt makes sense.
    /// - Returns: false when it is no longer this worker's; nothing was written then.
    @discardableResult
    func giveBack(_ claimed: ClaimedJob, reason: String?, delayMilliseconds: Int64) throws -> Bool

    /// Writes down a part of a job for all users.
    ///
    /// - Returns: false when the job is no longer this worker's; nothing was written then.
    func finishPart(_ claimed: ClaimedJob, _ part: Int, _ result: UsersPart) throws -> Bool

    func parts(_ claimed: ClaimedJob) throws -> [Int: UsersPart]

    /// Ends the leases that a worker of an earlier run of this process held: it is known to be dead.
    func release(worker: String) throws
}

extension JobStore {
    public func jobs(limit: Int) throws -> [TrainingJob] { try jobs(limit: limit, before: nil) }
}

extension JobStore {
    @discardableResult
    public func submit(_ request: TrainingRequest, key: String? = nil) throws -> TrainingJob {
        try submit(request, key: key, submitter: "")
    }

    @discardableResult
    public func submit(_ request: TrainingRequest, submitter: String) throws -> TrainingJob {
        try submit(request, key: nil, submitter: submitter)
    }

    /// The newest hundred.
    public func jobs() throws -> [TrainingJob] { try jobs(limit: 100) }

    @discardableResult
    func finish(_ claimed: ClaimedJob, _ result: Result<TrainingOutcome, any Error>) throws -> Bool {
        try finish([(claimed, result)]).first ?? false
    }

    @discardableResult
    func giveBack(_ claimed: ClaimedJob, reason: String?) throws -> Bool {
        try giveBack(claimed, reason: reason, delayMilliseconds: 0)
    }
}

/// What holds for every store of jobs.
public enum JobBounds {
    /// A worker that has not been heard of for so long is taken for dead.
    public static let leaseMilliseconds: Int64 = 30_000
    /// A job that took its worker down so often, or found a store away, fails.
    public static let maximumStrikes = 5
    /// Jobs that may wait.
    public static let maximumQueued = 40_000
    /// Jobs that have ended are kept up to this number, with their idempotency keys.
    public static let maximumFinished = 20_000
    /// More attempts than any job of ours has.
    static let maximumAttempts = 1_000_000
}

/// A running job, and how far it is.
public struct JobProgress: Sendable {
    let claimed: ClaimedJob
    let stage: TrainingStage?
    let progress: Double
}
