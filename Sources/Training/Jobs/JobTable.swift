import Foundation
import GRDB

/// The SQL of `JobStore`: one row a job, one a finished part of it.
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
        return migrator
    }

    // MARK: Jobs

    static func insert(_ db: Database, _ job: TrainingJob, key: String?) throws {
        try db.execute(
            sql: """
                INSERT INTO job (id, sequence, key, request, state, progress, attempts, created, updated)
                VALUES (?, (SELECT coalesce(max(sequence), 0) + 1 FROM job), ?, ?, ?, 0, 0, ?, ?)
                """,
            arguments: [
                job.id, key, try json(job.request), job.state.rawValue, job.createdMilliseconds,
                job.updatedMilliseconds,
            ])
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

    static func newest(_ db: Database, limit: Int) throws -> [TrainingJob] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM job ORDER BY sequence DESC LIMIT ?", arguments: [limit]
        ).map(job)
    }

    static func count(_ db: Database, state: TrainingJob.State) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT count(*) FROM job WHERE state = ?", arguments: [state.rawValue])
            ?? 0
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

    /// Forgets the oldest jobs that have ended.
    static func prune(_ db: Database, keeping limit: Int) throws {
        try db.execute(
            sql: """
                DELETE FROM job WHERE state IN ('succeeded', 'failed', 'cancelled') AND sequence <= (
                    SELECT sequence FROM job WHERE state IN ('succeeded', 'failed', 'cancelled')
                    ORDER BY sequence DESC LIMIT 1 OFFSET ?)
                """, arguments: [limit])
    }

    private static func job(_ row: Row) throws -> TrainingJob {
        var job = TrainingJob(
            id: row["id"], request: try decoded(row["request"]), createdMilliseconds: row["created"])
        guard let state = TrainingJob.State(rawValue: row["state"]) else {
            throw DatabaseError(message: "job \(job.id) is in an unknown state: a later version wrote it")
        }
        job.state = state
        job.stage = (row["stage"] as String?).flatMap(TrainingStage.init)
        job.progress = row["progress"]
        job.outcome = try (row["outcome"] as String?).map(decoded)
        job.error = row["error"]
        job.attempts = row["attempts"]
        job.startedMilliseconds = row["started"]
        job.updatedMilliseconds = row["updated"]
        job.finishedMilliseconds = row["finished"]
        return job
    }

    // MARK: Finished parts

    static func parts(_ db: Database, of job: String) throws -> [Int: UsersPart] {
        let rows = try Row.fetchAll(
            db, sql: "SELECT number, result FROM part WHERE job = ?", arguments: [job])
        return try Dictionary(rows.map { ($0["number"], try decoded($0["result"])) }) { $1 }
    }

    static func insertPart(_ db: Database, of job: String, _ number: Int, _ result: UsersPart) throws {
        try db.execute(
            sql: "INSERT OR REPLACE INTO part VALUES (?, ?, ?)", arguments: [job, number, try json(result)])
    }

    static func removeParts(_ db: Database, of job: String) throws {
        try db.execute(sql: "DELETE FROM part WHERE job = ?", arguments: [job])
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
