import Foundation
import GRDB

/// Training jobs in SQLite: durable, each run by one worker at a time.
///
/// Thread-safe, and safe for several processes; calls block. A worker holds a job by a lease, which it renews; when
/// the lease has ended the next worker takes the job over, and the first one can no longer write to it.
public final class JobStore: Sendable {
    /// A worker that has not been heard of for so long is taken for dead.
    public static let leaseMilliseconds: Int64 = 30_000
    /// A job that took its worker down so often, or found a store away, fails.
    public static let maximumStrikes = 5
    /// Jobs that may wait.
    public static let maximumQueued = 40_000
    /// Jobs that have ended are kept up to this number, with their idempotency keys.
    public static let maximumFinished = 20_000

    private let database: DatabaseQueue
    private let limits: JobLimits
    private let now: @Sendable () -> Int64
    /// Why records were damaged that this start moved out of the way, into the table `damaged`.
    public let setAside: [String]

    /// - Parameters:
    ///   - path: The database; nil: in memory.
    ///   - limits: Of each of those who submit jobs.
    ///   - now: Epoch milliseconds.
    public init(
        path: String?, limits: JobLimits = JobLimits(),
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) throws {
        self.now = now
        self.limits = limits
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        database =
            try path.map { try DatabaseQueue(path: $0, configuration: configuration) } ?? DatabaseQueue()
        try JobTable.migrator.migrate(database)
        setAside = try database.write { try JobTable.setAside($0, now: now()) }
    }

    // MARK: For its users

    /// Puts a request into the queue; the same key gives the same job.
    ///
    /// - Parameter submitter: Whose turn and limits it counts for; empty: nobody's.
    /// - Throws: `TrainingError.keyReused` when the key came with another request, `.queueFull`, `.tooManyJobs`.
    @discardableResult
    public func submit(
        _ request: TrainingRequest, key: String? = nil, submitter: String = ""
    ) throws -> TrainingJob {
        try database.write { db in
            if let key, let job = try JobTable.job(db, where: "key = ?", [key]) {
                guard job.request == request else { throw TrainingError.keyReused(key) }
                return job
            }
            guard try JobTable.count(db, state: .queued) < Self.maximumQueued else {
                throw TrainingError.queueFull(limit: Self.maximumQueued)
            }
            if !submitter.isEmpty { try JobTable.check(db, limits, submitter, now: now()) }
            let job = TrainingJob(
                id: UUID().uuidString.lowercased(), request: request, createdMilliseconds: now())
            try JobTable.insert(db, job, key: key, submitter: submitter)
            return job
        }
    }

    public func job(id: String) throws -> TrainingJob? {
        try database.read { try JobTable.job($0, where: "id = ?", [id]) }
    }

    /// Newest first.
    public func jobs(limit: Int = 100) throws -> [TrainingJob] {
        try database.read { try JobTable.newest($0, limit: limit) }
    }

    /// Cancels a job that has not ended; a running one stops soon. Others stay as they are.
    public func cancel(id: String) throws {
        try database.write { db in
            guard var job = try JobTable.job(db, where: "id = ?", [id]), !job.state.isFinal else { return }
            job.state = .cancelled
            try end(db, &job)
        }
    }

    /// Removes what names a user: their jobs, of which a running one stops soon, and their lines in what jobs for all
    /// users made.
    ///
    /// - Returns: How many jobs were removed or changed.
    public func erase(userID: String) throws -> Int {
        try database.write { try JobTable.erase($0, userID: userID) }
    }

    // MARK: For workers

    /// Takes a job that waits, or whose worker is dead; nil when there is none. Those who submit jobs take turns: the one
    /// whose latest job was begun longest ago is next, with their oldest.
    ///
    /// - Throws: `TrainingError.damagedJob`, or what decoding a column throws, for a record that was in the way, and is out of it now.
    func claim(worker: String) throws -> ClaimedJob? {
        do {
            return try claimNext(worker)
        } catch {
            // The database's own troubles are no record's, but for a NULL that the table does not allow.
            if let error = error as? DatabaseError, error.resultCode != .SQLITE_CONSTRAINT { throw error }
            _ = try database.write { try JobTable.setAside($0, now: now()) }
            throw error
        }
    }

    private func claimNext(_ worker: String) throws -> ClaimedJob? {
        try database.write { db in
            while var job = try JobTable.next(db, now: now()) {
                guard try JobTable.strikes(db, job) < Self.maximumStrikes else {
                    job.state = .failed
                    job.error =
                        "it was begun \(job.attempts) times and did not end"
                        + (job.error.map { ": \($0)" } ?? "")
                    try end(db, &job)
                    continue
                }
                try begin(db, &job, worker: worker)
                return ClaimedJob(job: job, worker: worker)
            }
            return nil
        }
    }

    /// Takes whatever else waits that one pass over the lake can serve together with a job that was just claimed: jobs of
    /// other named users that ask for the same. A job that has taken a worker down before runs alone, so that it does not
    /// take others with it.
    ///
    /// - Returns: The oldest first; none for a job of everybody's model.
    func claimAlike(_ claimed: ClaimedJob) throws -> [ClaimedJob] {
        guard claimed.job.request.userID != nil, claimed.attempt == 1 else { return [] }
        return try database.write { db in
            try JobTable.alike(db, claimed.job, now: now()).map { job in
                var job = job
                try begin(db, &job, worker: claimed.worker)
                return ClaimedJob(job: job, worker: claimed.worker)
            }
        }
    }

    private func begin(_ db: Database, _ job: inout TrainingJob, worker: String) throws {
        job.state = .running
        job.attempts += 1
        job.error = nil
        job.startedMilliseconds = now()
        job.updatedMilliseconds = now()
        try JobTable.update(db, job, worker: worker, lease: now() + Self.leaseMilliseconds)
        try JobTable.addStrikes(db, job, 1)
    }

    /// A running job, and how far it is.
    struct Progress {
        let claimed: ClaimedJob
        let stage: TrainingStage?
        let progress: Double
    }

    /// Renews leases and writes how far the jobs are.
    ///
    /// - Returns: For each whether it still is this worker's; else, or when it was cancelled: stop.
    func renew(_ running: [Progress]) throws -> [Bool] {
        try database.write { db in
            try running.map {
                try JobTable.renew(
                    db, $0.claimed, stage: $0.stage, progress: $0.progress, now: now(),
                    lease: now() + Self.leaseMilliseconds)
            }
        }
    }

    /// Ends a job that this worker holds.
    ///
    /// - Returns: false when it is no longer this worker's; nothing was written then.
    @discardableResult
    func finish(_ claimed: ClaimedJob, _ result: Result<TrainingOutcome, any Error>) throws -> Bool {
        try finish([(claimed, result)]).first ?? false
    }

    /// Ends jobs in one write.
    @discardableResult
    func finish(_ ended: [(ClaimedJob, Result<TrainingOutcome, any Error>)]) throws -> [Bool] {
        guard !ended.isEmpty else { return [] }
        return try database.write { db in
            let areHeld = try ended.map { claimed, result in
                try writeIfHeld(db, claimed) { db, job in
                    switch result {
                    case .success(let outcome):
                        job.state = .succeeded
                        job.outcome = outcome
                    case .failure(TrainingError.cancelled): job.state = .cancelled
                    case .failure(let error):
                        job.state = .failed
                        job.error = "\(error)"
                    }
                    try close(db, &job)
                }
            }
            try JobTable.prune(db, keeping: Self.maximumFinished)
            return areHeld
        }
    }

    /// Puts a job back into the queue.
    ///
    /// - Parameters:
    ///   - reason: Why; nil: its worker ends in an orderly way, which is no strike against the job.
    ///   - delayMilliseconds: When another attempt makes sense.
    @discardableResult
    func giveBack(_ claimed: ClaimedJob, reason: String?, delayMilliseconds: Int64 = 0) throws -> Bool {
        try writeIfHeld(claimed) { db, job in
            job.state = .queued
            job.error = reason
            job.updatedMilliseconds = now()
            try JobTable.update(db, job, worker: nil, lease: 0, available: now() + delayMilliseconds)
            if reason == nil { try JobTable.addStrikes(db, job, -1) }
        }
    }

    /// Writes down a part of a job for all users.
    ///
    /// - Returns: false when the job is no longer this worker's; nothing was written then.
    func finishPart(_ claimed: ClaimedJob, _ part: Int, _ result: UsersPart) throws -> Bool {
        try writeIfHeld(claimed) { db, job in try JobTable.insertPart(db, of: job.id, part, result) }
    }

    func parts(_ claimed: ClaimedJob) throws -> [Int: UsersPart] {
        try database.read { try JobTable.parts($0, of: claimed.job.id) }
    }

    /// Ends the leases that a worker of an earlier run of this process held: it is known to be dead.
    func release(worker: String) throws {
        try database.write { try JobTable.endLeases($0, of: worker) }
    }

    private func writeIfHeld(
        _ claimed: ClaimedJob, _ body: (Database, inout TrainingJob) throws -> Void
    ) throws -> Bool {
        try database.write { try writeIfHeld($0, claimed, body) }
    }

    private func writeIfHeld(
        _ db: Database, _ claimed: ClaimedJob, _ body: (Database, inout TrainingJob) throws -> Void
    ) throws -> Bool {
        guard
            var job = try JobTable.job(
                db, where: "id = ? AND state = 'running' AND worker = ? AND attempts = ?",
                [claimed.job.id, claimed.worker, claimed.attempt])
        else { return false }
        job.updatedMilliseconds = now()
        try body(db, &job)
        return true
    }

    private func end(_ db: Database, _ job: inout TrainingJob) throws {
        try close(db, &job)
        try JobTable.prune(db, keeping: Self.maximumFinished)
    }

    private func close(_ db: Database, _ job: inout TrainingJob) throws {
        job.updatedMilliseconds = now()
        job.finishedMilliseconds = now()
        try JobTable.update(db, job, worker: nil, lease: 0)
        try JobTable.removeParts(db, of: job.id)
    }
}

/// What a job's earlier attempts have finished, beside the job.
struct JobJournal: TrainingJournal {
    let jobs: JobStore
    let claimed: ClaimedJob

    var isResumed: Bool { claimed.attempt > 1 }

    func finishedParts() throws -> [Int: UsersPart] { try jobs.parts(claimed) }

    /// - Throws: `TrainingError.cancelled` when somebody else has the job.
    func finish(_ part: Int, _ result: UsersPart) throws {
        guard try jobs.finishPart(claimed, part, result) else { throw TrainingError.cancelled }
    }
}
