import Foundation
import GRDB
import Models

/// Training jobs in SQLite, for the processes of one machine.
public final class SQLiteJobStore: JobStore {
    private let database: LocalDatabase
    private let limits: JobLimits
    private let now: @Sendable () -> Int64
    /// Why records were damaged that this start moved out of the way, into the table `damaged`.
    public let setAside: [String]

    /// - Parameters:
    ///   - path: The database; nil: in memory.
    ///   - limits: Of each of those who submit jobs.
    ///   - now: Epoch milliseconds.
    /// - Throws: `LocalStateError`.
    public init(
        path: String?, limits: JobLimits = JobLimits(),
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) throws {
        self.now = now
        self.limits = limits
        database = try LocalDatabase(path: path, migrator: JobTable.migrator)
        setAside = try database.write { try JobTable.setAside($0, now: now()) }
    }

    public var location: String { "this machine" }

    // MARK: For its users

    @discardableResult
    public func submit(
        _ request: TrainingRequest, key: String?, submitter: String
    ) throws -> TrainingJob {
        try database.write { db in
            if let key, let job = try JobTable.job(db, where: "key = ?", [key]) {
                guard job.request == request else { throw TrainingError.keyReused(key) }
                return job
            }
            guard try JobTable.count(db, state: .queued) < JobBounds.maximumQueued else {
                throw TrainingError.queueFull(limit: JobBounds.maximumQueued)
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

    public func jobs(limit: Int, before id: String?) throws -> [TrainingJob] {
        try database.read { try JobTable.newest($0, limit: limit, before: id) }
    }

    public func cancel(id: String) throws {
        try database.write { db in
            guard var job = try JobTable.job(db, where: "id = ?", [id]), !job.state.isFinal else { return }
            job.state = .cancelled
            try end(db, &job)
        }
    }

    public func erase(userID: String) throws -> Int {
        try database.write { try JobTable.erase($0, userID: userID) }
    }

    // MARK: For workers

    public func claim(worker: String) throws -> ClaimedJob? {
        do {
            return try claimNext(worker)
        } catch {
            // The database's own troubles are no record's, but for a NULL that the table does not allow.
            if let code = (error as? LocalStateError)?.code, code != .SQLITE_CONSTRAINT { throw error }
            _ = try database.write { try JobTable.setAside($0, now: now()) }
            throw error
        }
    }

    private func claimNext(_ worker: String) throws -> ClaimedJob? {
        try database.write { db in
            while var job = try JobTable.next(db, now: now()) {
                guard try JobTable.strikes(db, job) < JobBounds.maximumStrikes else {
                    job.failAfterStrikes()
                    try end(db, &job)
                    continue
                }
                try begin(db, &job, worker: worker)
                return ClaimedJob(job: job, worker: worker)
            }
            return nil
        }
    }

    public func claimAlike(_ claimed: ClaimedJob) throws -> [ClaimedJob] {
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
        job.begin(now())
        try JobTable.update(db, job, worker: worker, lease: now() + JobBounds.leaseMilliseconds)
        try JobTable.addStrikes(db, job, 1)
    }

    public func renew(_ running: [JobProgress]) throws -> [Bool] {
        try database.write { db in
            try running.map {
                try JobTable.renew(
                    db, $0.claimed, stage: $0.stage, progress: $0.progress, now: now(),
                    lease: now() + JobBounds.leaseMilliseconds)
            }
        }
    }

    @discardableResult
    public func finish(_ ended: [(ClaimedJob, Result<TrainingOutcome, any Error>)]) throws -> [Bool] {
        guard !ended.isEmpty else { return [] }
        return try database.write { db in
            let areHeld = try ended.map { claimed, result in
                try writeIfHeld(db, claimed) { db, job in
                    job.end(result)
                    try close(db, &job)
                }
            }
            try JobTable.prune(db, keeping: JobBounds.maximumFinished, since: now() - limits.keptMilliseconds)
            return areHeld
        }
    }

    @discardableResult
    public func giveBack(_ claimed: ClaimedJob, reason: String?, delayMilliseconds: Int64) throws -> Bool {
        try writeIfHeld(claimed) { db, job in
            job.state = .queued
            job.error = reason
            job.updatedMilliseconds = now()
            try JobTable.update(db, job, worker: nil, lease: 0, available: now() + delayMilliseconds)
            if reason == nil { try JobTable.addStrikes(db, job, -1) }
        }
    }

    public func finishPart(_ claimed: ClaimedJob, _ part: Int, _ result: UsersPart) throws -> Bool {
        try writeIfHeld(claimed) { db, job in try JobTable.insertPart(db, of: job.id, part, result) }
    }

    public func parts(_ claimed: ClaimedJob) throws -> [Int: UsersPart] {
        try database.read { try JobTable.parts($0, of: claimed.job.id) }
    }

    public func release(worker: String) throws {
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
        try JobTable.prune(db, keeping: JobBounds.maximumFinished, since: now() - limits.keptMilliseconds)
    }

    private func close(_ db: Database, _ job: inout TrainingJob) throws {
        job.close(now())
        try JobTable.update(db, job, worker: nil, lease: 0)
        try JobTable.removeParts(db, of: job.id)
    }
}
