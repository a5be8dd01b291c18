import Foundation
import Redis

/// Training jobs in Redis, for workers and APIs on several machines.
///
/// Each job is a record with a revision; sorted sets say which wait, run and have ended (`RedisJobScripts`). A change is
/// written only if the record is still the one that was read, or is still held by who writes: so no two workers have one
/// job, and one that was taken for dead writes nothing any more. All times are the Redis server's, so that machines need
/// not agree on theirs. Why it is no stream: docs/decisions/0009.
public final class RedisJobStore: JobStore {
    private let connection: RedisConnection
    private let keys: RedisJobKeys
    private let limits: JobLimits
    private let clock: (@Sendable () -> Int64)?

    /// Tries of a change that others get ahead of.
    private static let maximumTries = 100

    /// - Parameters:
    ///   - prefix: Of every key, so that services can share a Redis.
    ///   - limits: Of each of those who submit jobs.
    ///   - now: Milliseconds since 1970 UTC; nil: by the server's clock.
    public init(
        connection: RedisConnection, prefix: String = "ml:", limits: JobLimits = JobLimits(),
        now: (@Sendable () -> Int64)? = nil
    ) {
        self.connection = connection
        self.limits = limits
        keys = RedisJobKeys(connection, prefix: prefix, limits: limits)
        clock = now
    }

    public var location: String { "Redis at \(connection.address)" }

    private func now() throws -> Int64 {
        if let clock { return clock() }
        let parts = try connection.command(["TIME"]).array?.compactMap { $0.text.flatMap { Int64($0) } } ?? []
        guard parts.count == 2, parts.allSatisfy({ (0...(1 << 40)).contains($0) }) else {
            throw RedisError(.protocol("TIME gave no time"), address: "\(connection.address)")
        }
        return parts[0] * 1_000 + parts[1] / 1_000
    }

    // MARK: For its users

    @discardableResult
    public func submit(
        _ request: TrainingRequest, key: String?, submitter: String
    ) throws -> TrainingJob {
        let now = try now()
        let job = TrainingJob(
            id: UUID().uuidString.lowercased(), request: request, createdMilliseconds: now)
        switch try keys.submit(RedisJobRecord(job), key: key, submitter: submitter, now: now) {
        case .new: return job
        case .full: throw TrainingError.queueFull(limit: JobBounds.maximumQueued)
        case .waiting: throw limits.tooManyWait(submitter)
        case .hour(let oldest): throw limits.tooManyWithinAnHour(submitter, oldest: oldest, now: now)
        case .known(let id):
            guard let known = try self.job(id: id), known.request == request else {
                throw TrainingError.keyReused(key ?? "")
            }
            return known
        }
    }

    public func job(id: String) throws -> TrainingJob? { try keys.records([id])[0]?.record.job }

    public func jobs(limit: Int, before id: String?) throws -> [TrainingJob] {
        // A damaged record is left to the worker that meets it, which says so.
        try keys.records(try keys.newest(limit: limit, before: id)).compactMap { $0?.record.job }
    }

    public func cancel(id: String) throws {
        try change(id) { record, now in
            guard !record.job.state.isFinal else { return false }
            record.job.state = .cancelled
            record.job.close(now)
            return true
        }
    }

    public func erase(userID: String) throws -> Int {
        var touched = 0
        for ids in try keys.allIDs().chunked(RedisJobKeys.pageSize) {
            for stored in try keys.records(ids) {
                guard let job = stored?.record.job else { continue }
                if let owner = job.request.userID, owner.utf8.elementsEqual(userID.utf8) {
                    if try keys.remove(job.id) { touched += 1 }
                } else if try change(
                    job.id,
                    { record, _ in
                        record.job.outcome?.erase(userID: userID, isOfAllUsers: job.request.allUsers) ?? false
                    })
                {
                    touched += 1
                }
                if job.request.allUsers, !job.state.isFinal {
                    for (number, var part) in try keys.parts(job.id) {
                        let count = part.models.count
                        part.models.removeAll { $0.userID.utf8.elementsEqual(userID.utf8) }
                        if part.models.count < count { try keys.replacePart(job.id, number, part) }
                    }
                }
            }
        }
        let quoted = try JSONEncoder().encode(userID)
        try keys.removeDamaged(holding: String(decoding: quoted, as: UTF8.self))
        return touched
    }

    /// - Parameter body: Changes a record; false: it stays as it is.
    /// - Returns: Whether it was changed.
    @discardableResult
    private func change(_ id: String, _ body: (inout RedisJobRecord, Int64) throws -> Bool) throws -> Bool {
        for _ in 0..<Self.maximumTries {
            guard var stored = try keys.records([id])[0] else { return false }
            let now = try now()
            guard try body(&stored.record, now) else { return false }
            if try keys.apply([.init(stored.record, ifRevision: stored.revision)], now: now) == [true] {
                return true
            }
        }
        throw RedisError(
            .protocol("job \(id) is changed by others all the time"), address: "\(connection.address)")
    }

    // MARK: For workers

    public func claim(worker: String) throws -> ClaimedJob? {
        for _ in 0..<Self.maximumTries {
            let now = try now()
            guard let next = try keys.next(now: now) else { return nil }
            var stored: RedisJobRecord.Stored
            do {
                stored = try next.decoded()
            } catch {
                try keys.setAside(next)
                throw TrainingError.damagedJob(id: next.id, reason: "\(error)")
            }
            let isRun = stored.record.strikes < JobBounds.maximumStrikes
            if isRun {
                stored.record.begin(worker: worker, now: now)
            } else {
                stored.record.job.failAfterStrikes()
                stored.record.job.close(now)
            }
            let change = RedisJobChange(stored.record, ifRevision: stored.revision, begins: isRun)
            if try keys.apply([change], now: now) == [true], isRun {
                return ClaimedJob(job: stored.record.job, worker: worker)
            }
        }
        // Others are taking jobs faster than this one: it will look again.
        return nil
    }

    public func claimAlike(_ claimed: ClaimedJob) throws -> [ClaimedJob] {
        guard let kin = claimed.job.request.kin, claimed.attempt == 1 else { return [] }
        let now = try now()
        var taken: [ClaimedJob] = []
        for page in try keys.alike(kin).chunked(RedisJobKeys.pageSize) {
            var records: [RedisJobRecord] = []
            var changes: [RedisJobChange] = []
            for stored in try keys.records(page) {
                guard var stored, stored.record.job.state == .queued, stored.record.strikes == 0,
                    stored.record.available <= now
                else { continue }
                stored.record.begin(worker: claimed.worker, now: now)
                records.append(stored.record)
                changes.append(.init(stored.record, ifRevision: stored.revision, begins: true))
            }
            for (record, isMine) in zip(records, try keys.apply(changes, now: now)) where isMine {
                taken.append(ClaimedJob(job: record.job, worker: claimed.worker))
            }
        }
        return taken
    }

    public func renew(_ running: [JobProgress]) throws -> [Bool] { try keys.renew(running, now: try now()) }

    @discardableResult
    public func finish(_ ended: [(ClaimedJob, Result<TrainingOutcome, any Error>)]) throws -> [Bool] {
        let now = try now()
        return try changeHeld(ended.map { $0.0 }, now) { record, place in
            record.job.end(ended[place].1)
            record.job.close(now)
        }
    }

    @discardableResult
    public func giveBack(_ claimed: ClaimedJob, reason: String?, delayMilliseconds: Int64) throws -> Bool {
        let now = try now()
        return try changeHeld([claimed], now) { record, _ in
            record.job.state = .queued
            record.job.error = reason
            record.job.updatedMilliseconds = now
            record.available = delayMilliseconds > 0 ? now + delayMilliseconds : 0
            if reason == nil { record.strikes -= 1 }
        } == [true]
    }

    /// Changes records that a worker holds. Between reading and writing only the holder writes, or the job is no longer its.
    private func changeHeld(
        _ claimed: [ClaimedJob], _ now: Int64, _ body: (inout RedisJobRecord, Int) -> Void
    ) throws -> [Bool] {
        var held: [Bool] = []
        for page in Array(claimed.enumerated()).chunked(RedisJobKeys.pageSize) {
            let found = try keys.records(page.map { $0.element.job.id })
            var changes: [RedisJobChange?] = []
            for ((place, claimed), stored) in zip(page, found) {
                guard var record = stored?.record, record.holder == claimed.holder else {
                    changes.append(nil)
                    continue
                }
                body(&record, place)
                changes.append(RedisJobChange(record, ifHolder: claimed.holder))
            }
            var answers = try keys.apply(changes.compactMap { $0 }, now: now).makeIterator()
            held += changes.map { $0 == nil ? false : answers.next() ?? false }
        }
        return held
    }

    public func finishPart(_ claimed: ClaimedJob, _ part: Int, _ result: UsersPart) throws -> Bool {
        try keys.writePart(PartMember(claimed), part, result)
    }

    public func parts(_ claimed: ClaimedJob) throws -> [Int: UsersPart] { try keys.parts(claimed.job.id) }

    public func release(worker: String) throws { try keys.release(worker: worker) }
}

extension RedisJobStore: PartStore {
    func join(_ member: PartMember, basis: String) throws -> Bool {
        try keys.join(member, basis: basis, now: try now())
    }

    func joinable() throws -> TrainingJob? {
        try keys.joinable(now: try now()).flatMap { try job(id: $0) }
    }

    func takeParts(_ member: PartMember, count: Int) throws -> PartsTurn? {
        try keys.takeParts(member, count: count, now: try now())
    }

    func renew(_ member: PartMember) throws -> Bool { try keys.renew(member, now: try now()) }

    func finishPart(_ member: PartMember, _ part: Int, _ result: UsersPart) throws -> Bool {
        try keys.writePart(member, part, result)
    }
}
