import Foundation
import GRDB

/// Training jobs in SQLite: durable, each run by one worker at a time. Thread-safe; calls block.
public final class JobStore: Sendable {
    private let database: DatabaseQueue
    private let now: @Sendable () -> Int64
    /// A worker that has not been heard of for so long is taken for dead.
    public static let leaseMilliseconds: Int64 = 30_000

    /// - Parameters:
    ///   - path: The database; nil: in memory.
    ///   - now: Epoch milliseconds.
    public init(
        path: String?, now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000) }
    ) throws {
        self.now = now
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        database =
            try path.map { try DatabaseQueue(path: $0, configuration: configuration) } ?? DatabaseQueue()
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE job (
                        id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, key TEXT UNIQUE, state TEXT NOT NULL,
                        body TEXT NOT NULL, worker TEXT, lease INTEGER NOT NULL DEFAULT 0,
                        is_cancelled INTEGER NOT NULL DEFAULT 0);
                    CREATE INDEX job_by_state ON job (state, sequence);
                    """)
        }
        try migrator.migrate(database)
    }

    /// Puts a request into the queue; the same key gives the same job.
    ///
    /// - Throws: `TrainingError.keyReused` when the key came with another request.
    public func submit(_ request: TrainingRequest, key: String? = nil) throws -> TrainingJob {
        try database.write { db in
            if let key,
                let body = try String.fetchOne(
                    db, sql: "SELECT body FROM job WHERE key = ?", arguments: [key])
            {
                let job = try Self.decode(body)
                guard job.request == request else { throw TrainingError.keyReused(key) }
                return job
            }
            let job = TrainingJob(
                id: UUID().uuidString.lowercased(), request: request, createdMilliseconds: now())
            try db.execute(
                sql: """
                    INSERT INTO job (id, sequence, key, state, body)
                    VALUES (?, (SELECT coalesce(max(sequence), 0) + 1 FROM job), ?, ?, ?)
                    """,
                arguments: [job.id, key, job.state.rawValue, try Self.encode(job)])
            return job
        }
    }

    public func job(id: String) throws -> TrainingJob? {
        try database.read { db in
            try String.fetchOne(db, sql: "SELECT body FROM job WHERE id = ?", arguments: [id]).map(
                Self.decode)
        }
    }

    /// Newest first.
    public func jobs(limit: Int = 100) throws -> [TrainingJob] {
        try database.read { db in
            try String.fetchAll(
                db, sql: "SELECT body FROM job ORDER BY sequence DESC LIMIT ?", arguments: [limit]
            ).map(Self.decode)
        }
    }

    /// Takes the oldest job that waits, or whose worker is dead.
    func claim(worker: String) throws -> TrainingJob? {
        try database.write { db in
            let time = now()
            guard
                let body = try String.fetchOne(
                    db,
                    sql: """
                        SELECT body FROM job WHERE state = 'queued' OR (state = 'running' AND lease < ?)
                        ORDER BY sequence LIMIT 1
                        """, arguments: [time])
            else { return nil }
            var job = try Self.decode(body)
            job.state = .running
            job.attempts += 1
            try db.execute(
                sql: "UPDATE job SET state = 'running', worker = ?, lease = ?, body = ? WHERE id = ?",
                arguments: [worker, time + Self.leaseMilliseconds, try Self.encode(job), job.id])
            return job
        }
    }

    /// Writes a job's state and renews the lease.
    ///
    /// - Returns: false when the job is no longer this worker's, or was cancelled: stop.
    func update(_ job: TrainingJob, worker: String) throws -> Bool {
        try database.write { db in
            try db.execute(
                sql: """
                    UPDATE job SET state = ?, body = ?, lease = ? WHERE id = ? AND worker = ? AND is_cancelled = 0
                    """,
                arguments: [
                    job.state.rawValue, try Self.encode(job), now() + Self.leaseMilliseconds, job.id, worker,
                ])
            return db.changesCount == 1
        }
    }

    /// Cancels a job that has not ended; a running one stops soon.
    public func cancel(id: String) throws {
        try database.write { db in
            guard
                let body = try String.fetchOne(db, sql: "SELECT body FROM job WHERE id = ?", arguments: [id])
            else {
                return
            }
            var job = try Self.decode(body)
            guard !job.state.isFinal else { return }
            job.state = .cancelled
            job.finishedMilliseconds = now()
            try db.execute(
                sql: "UPDATE job SET state = 'cancelled', body = ?, is_cancelled = 1 WHERE id = ?",
                arguments: [try Self.encode(job), id])
        }
    }

    /// Gives back what a worker of an earlier run of this process held, without waiting for the lease.
    func release(worker: String) throws {
        try database.write { db in
            try db.execute(
                sql: "UPDATE job SET lease = 0 WHERE state = 'running' AND worker = ?", arguments: [worker])
        }
    }

    private static func encode(_ job: TrainingJob) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(job), as: UTF8.self)
    }

    private static func decode(_ body: String) throws -> TrainingJob {
        try JSONDecoder().decode(TrainingJob.self, from: Data(body.utf8))
    }
}
