import Foundation
import GRDB
import Models

/// The SQL of `SQLiteJobStore`: one row a job, one a finished part of it.
enum JobTable {
    /// Migrations are only ever appended.
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE job (
                        id TEXT PRIMARY KEY,
                        sequence INTEGER NOT NULL,
                        key TEXT UNIQUE,              -- idempotency key
                        request TEXT NOT NULL,        -- JSON
                        state TEXT NOT NULL,
                        stage TEXT,
                        progress REAL NOT NULL,
                        outcome TEXT,                 -- JSON
                        error TEXT,
                        attempts INTEGER NOT NULL,
                        strikes INTEGER NOT NULL DEFAULT 0,
                        worker TEXT,
                        lease INTEGER NOT NULL DEFAULT 0,      -- times are epoch milliseconds
                        available INTEGER NOT NULL DEFAULT 0,  -- not to be claimed before
                        created INTEGER NOT NULL,
                        started INTEGER,
                        updated INTEGER NOT NULL,
                        finished INTEGER);
                    CREATE UNIQUE INDEX job_by_sequence ON job (sequence);
                    CREATE INDEX job_by_state ON job (state, sequence);
                    CREATE TABLE part (
                        job TEXT NOT NULL, number INTEGER NOT NULL, result TEXT NOT NULL,
                        PRIMARY KEY (job, number)) WITHOUT ROWID;
                    """)
        }
        // Rows that cannot be read, moved out of everybody's way by `setAside`.
        migrator.registerMigration("2") { db in
            try db.execute(
                sql: "CREATE TABLE damaged (found INTEGER NOT NULL, reason TEXT NOT NULL, job, content)")
        }
        migrator.registerMigration("3") { db in
            try db.execute(
                sql: """
                    ALTER TABLE job ADD COLUMN submitter TEXT NOT NULL DEFAULT '';
                    CREATE INDEX job_by_submitter ON job (submitter, state, sequence);
                    CREATE INDEX job_by_start ON job (submitter, started);
                    CREATE INDEX job_by_creation ON job (submitter, created);
                    """)
        }
        return migrator
    }

    // MARK: Jobs

    static func insert(_ db: Database, _ job: TrainingJob, key: String?, submitter: String) throws {
        try db.execute(
            sql: """
                INSERT INTO job (id, sequence, key, request, state, progress, attempts, created, updated, submitter)
                VALUES (?, (SELECT coalesce(max(sequence), 0) + 1 FROM job), ?, ?, ?, 0, 0, ?, ?, ?)
                """,
            arguments: [
                job.id, key, try json(job.request), job.state.rawValue, job.createdMilliseconds,
                job.updatedMilliseconds, submitter,
            ])
    }

    /// The next job to be run, by whose turn it is.
    static func next(_ db: Database, now: Int64) throws -> TrainingJob? {
        let isDue = "((state = 'queued' AND available <= :now) OR (state = 'running' AND lease <= :now))"
        let turn = try DatabaseValue.fetchOne(
            db,
            sql: """
                SELECT submitter FROM (SELECT submitter, min(sequence) AS first FROM job WHERE \(isDue)
                    GROUP BY submitter) AS due
                ORDER BY (SELECT coalesce(max(started), 0) FROM job WHERE job.submitter = due.submitter), first
                LIMIT 1
                """, arguments: ["now": now])
        guard let turn else { return nil }
        return try job(
            db, where: "\(isDue) AND submitter = :turn ORDER BY sequence LIMIT 1", ["now": now, "turn": turn])
    }

    /// - Throws: `TrainingError.tooManyJobs`.
    static func check(_ db: Database, _ limits: JobLimits, _ submitter: String, now: Int64) throws {
        let waiting = try Int.fetchOne(
            db, sql: "SELECT count(*) FROM job WHERE submitter = ? AND state = 'queued'",
            arguments: [submitter])
        guard waiting ?? 0 < limits.waiting else { throw limits.tooManyWait(submitter) }
        let hour: Int64 = 3_600_000
        // The oldest of the last so many: when it is an hour old there is room for one more.
        let oldest = try Int64.fetchOne(
            db, sql: "SELECT created FROM job WHERE submitter = ? ORDER BY created DESC LIMIT 1 OFFSET ?",
            arguments: [submitter, max(0, limits.anHour - 1)])
        guard let oldest, oldest > now - hour else { return }
        throw limits.tooManyWithinAnHour(submitter, oldest: oldest, now: now)
    }

    /// Writes what may change.
    static func update(
        _ db: Database, _ job: TrainingJob, worker: String?, lease: Int64, available: Int64 = 0
    ) throws {
        try db.execute(
            sql: """
                UPDATE job SET state = ?, stage = ?, progress = ?, outcome = ?, error = ?, attempts = ?, worker = ?,
                    lease = ?, available = ?, started = ?, updated = ?, finished = ?
                WHERE id = ?
                """,
            arguments: [
                job.state.rawValue, job.stage?.rawValue, job.progress, try job.outcome.map(json), job.error,
                job.attempts, worker, lease, available, job.startedMilliseconds, job.updatedMilliseconds,
                job.finishedMilliseconds, job.id,
            ])
    }

    static func job(
        _ db: Database, where condition: String, _ arguments: StatementArguments
    ) throws -> TrainingJob? {
        try Row.fetchOne(db, sql: "SELECT * FROM job WHERE \(condition)", arguments: arguments).map(job)
    }

    static func newest(_ db: Database, limit: Int, before id: String?) throws -> [TrainingJob] {
        let older = id == nil ? "" : "WHERE sequence < (SELECT sequence FROM job WHERE id = :id)"
        return try Row.fetchAll(
            db, sql: "SELECT * FROM job \(older) ORDER BY sequence DESC LIMIT :limit",
            arguments: id.map { ["id": $0, "limit": limit] } ?? ["limit": limit]
        ).compactMap { row in
            // Damage of this moment: the next start, or the worker that meets it, sets the row aside and says so.
            do { return try job(row) } catch is TrainingError { return nil }
        }
    }

    static func count(_ db: Database, state: TrainingJob.State) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT count(*) FROM job WHERE state = ?", arguments: [state.rawValue])
            ?? 0
    }

    /// Jobs of named users that wait, ask for what this one asks for, and have not failed before; the oldest first.
    ///
    /// Only whose model it is, and whether it may serve, may differ. Records that cannot be read are left to `setAside`.
    static func alike(_ db: Database, _ job: TrainingJob, now: Int64) throws -> [TrainingJob] {
        let rest = "'$.userID', '$.promote', '$.promotion'"
        return try Row.fetchAll(
            db,
            sql: """
                SELECT * FROM job WHERE state = 'queued' AND available <= :now AND strikes = 0
                    AND CASE WHEN json_valid(request) THEN json_extract(request, '$.userID') IS NOT NULL
                        AND json_remove(request, \(rest)) = json_remove(:request, \(rest)) END
                ORDER BY sequence
                """, arguments: ["now": now, "request": try json(job.request)]
        ).compactMap { try? Self.job($0) }
    }

    /// Writes how far a running job is.
    ///
    /// - Returns: false when the holder holds it no longer; nothing was written then.
    static func renew(
        _ db: Database, _ claimed: ClaimedJob, stage: TrainingStage?, progress: Double, now: Int64,
        lease: Int64
    ) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: """
                UPDATE job SET stage = ?, progress = ?, updated = ?, lease = ?
                WHERE id = ? AND state = 'running' AND worker = ? AND attempts = ?
                """)
        try statement.execute(arguments: [
            stage?.rawValue, progress, now, lease, claimed.job.id, claimed.worker, claimed.attempt,
        ])
        return db.changesCount == 1
    }

    static func strikes(_ db: Database, _ job: TrainingJob) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT strikes FROM job WHERE id = ?", arguments: [job.id]) ?? 0
    }

    static func addStrikes(_ db: Database, _ job: TrainingJob, _ count: Int) throws {
        try db.execute(
            sql: "UPDATE job SET strikes = strikes + ? WHERE id = ?", arguments: [count, job.id])
    }

    static func endLeases(_ db: Database, of worker: String) throws {
        try db.execute(
            sql: "UPDATE job SET lease = 0 WHERE state = 'running' AND worker = ?", arguments: [worker])
    }

    /// Forgets the oldest jobs that have ended, and those that ended before a time.
    static func prune(_ db: Database, keeping limit: Int, since: Int64) throws {
        try db.execute(
            sql: "DELETE FROM job WHERE state IN ('succeeded', 'failed', 'cancelled') AND finished < ?",
            arguments: [since])
        try db.execute(
            sql: """
                DELETE FROM job WHERE state IN ('succeeded', 'failed', 'cancelled') AND sequence <= (
                    SELECT sequence FROM job WHERE state IN ('succeeded', 'failed', 'cancelled')
                    ORDER BY sequence DESC LIMIT 1 OFFSET ?)
                """, arguments: [limit])
    }

    /// - Throws: `TrainingError.damagedJob`.
    private static func job(_ row: Row) throws -> TrainingJob {
        do {
            var job = TrainingJob(
                id: try row.stored("id"), request: try decoded(row.stored("request")),
                createdMilliseconds: try row.stored("created"))
            let state: String = try row.stored("state")
            guard let known = TrainingJob.State(rawValue: state) else {
                throw TrainingError.damagedJob(
                    id: job.id, reason: "its state is \(state), which a later version may know")
            }
            job.state = known
            job.stage = try row.storedIfAny("stage").flatMap(TrainingStage.init)
            job.progress = try row.stored("progress", as: Double.self)
            guard (0...1).contains(job.progress) else {
                throw TrainingError.damagedJob(id: job.id, reason: "its progress is \(job.progress)")
            }
            job.outcome = try row.storedIfAny("outcome", as: String.self).map(decoded)
            job.error = try row.storedIfAny("error")
            job.attempts = try row.stored("attempts", in: 0...JobBounds.maximumAttempts)
            job.startedMilliseconds = try row.storedIfAny("started")
            job.updatedMilliseconds = try row.stored("updated")
            job.finishedMilliseconds = try row.storedIfAny("finished")
            return job
        } catch let error as TrainingError {
            throw error
        } catch {
            let id = (try? row.stored("id", as: String.self)) ?? "without an id"
            throw TrainingError.damagedJob(id: id, reason: "\(error)")
        }
    }

    /// Moves rows that cannot be read to a table of their own, so that they neither hold up the queue nor are lost.
    ///
    /// - Returns: Why, for each.
    static func setAside(_ db: Database, now: Int64) throws -> [String] {
        var reasons: [String] = []
        for number in try Int64.fetchAll(db, sql: "SELECT rowid FROM job") {
            let row = try Row.fetchOne(db, sql: "SELECT * FROM job WHERE rowid = ?", arguments: [number])
            guard let row else { continue }
            do {
                _ = try job(row)
                _ = try row.stored("sequence", in: 1...Int(Int32.max))
                _ = try row.stored("strikes", in: -JobBounds.maximumAttempts...JobBounds.maximumAttempts)
                _ = try row.stored("lease", as: Int64.self)
                _ = try row.stored("available", as: Int64.self)
            } catch {
                let reason = "\(error)"
                reasons.append(reason)
                try db.execute(
                    sql: """
                        INSERT INTO damaged SELECT ?, ?, id, ? FROM job WHERE rowid = ?
                        """, arguments: [now, reason, row.description, number])
                try db.execute(sql: "DELETE FROM job WHERE rowid = ?", arguments: [number])
            }
        }
        // The newest hundred are enough to look into.
        try db.execute(
            sql: """
                DELETE FROM damaged WHERE rowid NOT IN (SELECT rowid FROM damaged ORDER BY rowid DESC LIMIT 100)
                """)
        return reasons
    }

    // MARK: Finished parts

    static func parts(_ db: Database, of job: String) throws -> [Int: UsersPart] {
        let rows = try Row.fetchAll(
            db, sql: "SELECT number, result FROM part WHERE job = ?", arguments: [job])
        var parts: [Int: UsersPart] = [:]
        for row in rows {
            // A part that cannot be read is done again.
            guard let number = try? row.stored("number", in: 0...Int(Int32.max)),
                let result: UsersPart = try? decoded(row.stored("result"))
            else { continue }
            parts[number] = result
        }
        return parts
    }

    static func insertPart(_ db: Database, of job: String, _ number: Int, _ result: UsersPart) throws {
        try db.execute(
            sql: "INSERT OR REPLACE INTO part VALUES (?, ?, ?)", arguments: [job, number, try json(result)])
    }

    static func removeParts(_ db: Database, of job: String) throws {
        try db.execute(sql: "DELETE FROM part WHERE job = ?", arguments: [job])
    }

    // MARK: Erasing

    /// - Returns: How many jobs were removed or changed.
    static func erase(_ db: Database, userID: String) throws -> Int {
        var touched = 0
        // In a text it stands in quotes; a job of another user whose id contains this one is told apart below.
        let quoted = try json(userID)
        let rows = try Row.fetchAll(
            db, sql: "SELECT * FROM job WHERE instr(request, ?1) OR instr(coalesce(outcome, ''), ?1)",
            arguments: [quoted])
        for row in rows {
            guard let job = try? job(row) else { continue }
            if let owner = job.request.userID, owner.utf8.elementsEqual(userID.utf8) {
                try removeParts(db, of: job.id)
                try db.execute(sql: "DELETE FROM job WHERE id = ?", arguments: [job.id])
                touched += 1
            } else if var outcome = job.outcome {
                guard outcome.erase(userID: userID, isOfAllUsers: job.request.allUsers) else { continue }
                try db.execute(
                    sql: "UPDATE job SET outcome = ? WHERE id = ?", arguments: [try json(outcome), job.id])
                touched += 1
            }
        }
        let parts = try Row.fetchAll(
            db, sql: "SELECT job, number, result FROM part WHERE instr(result, ?)", arguments: [quoted])
        for row in parts {
            guard let job = try? row.stored("job", as: String.self),
                let number = try? row.stored("number", as: Int.self),
                var result: UsersPart = try? decoded(row.stored("result"))
            else { continue }
            result.models.removeAll { $0.userID.utf8.elementsEqual(userID.utf8) }
            try insertPart(db, of: job, number, result)
        }
        try db.execute(sql: "DELETE FROM damaged WHERE instr(content, ?)", arguments: [quoted])
        return touched
    }

    // MARK: JSON

    private static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private static func decoded<Value: Decodable>(_ text: String) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(text.utf8))
    }
}
