import Foundation
import GRDB
import Logging
import Metrics
import Models
import Synchronization
import Transactions

/// The newest anomalies of this process, in SQLite, for people who look. Bounded, and beside the stream: what cannot be
/// written in time is left out and counted, and nothing waits for it. Thread-safe.
public final class RecentAnomalies: Sendable {
    /// An anomaly as it was published.
    public struct Anomaly: Sendable, Hashable {
        /// Ascending in the order in which they came.
        public let number: Int64
        /// Of `AlertGroups`; empty: it was kept before there were groups.
        public let group: String
        /// The verdict's JSON.
        public let verdict: [UInt8]
    }

    /// Which ones are wanted.
    public struct Filter: Sendable {
        public var userID: String?
        public var group: String?
        public var leastSeverity: Double?
        /// Only older ones.
        public var before: Int64?
        public var limit = 100

        public init() {}
    }

    struct Entry: Sendable {
        let user: Data
        let transaction: String
        let severity: Double
        let group: String
        let verdict: Data
    }

    private struct State {
        var waiting: [Entry] = []
        var isStopping = false

        /// - Returns: How many of the oldest had to go.
        mutating func trim() -> Int {
            let excess = max(0, waiting.count - RecentAnomalies.maximumWaiting)
            waiting.removeFirst(excess)
            return excess
        }
    }

    /// Kept; older ones go.
    public static let maximumCount = 100_000
    static let maximumWaiting = 10_000
    private static let pauseSeconds = 0.2
    /// Pauses after what could not be written: a disk that is full is so for a while.
    private static let pausesAfterFailure = 10

    let database: LocalDatabase
    private let groups: AlertGroups
    private let logger: Logger
    private let state = Mutex(State())
    private let leftOut = Counter(label: "ml_recent_anomalies_left_out_total")

    /// - Parameter path: The database; nil: in memory.
    /// - Throws: `LocalStateError`.
    public init(path: String?, groups: AlertGroups = AlertGroups(), logger: Logger) throws {
        self.groups = groups
        self.logger = logger
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE anomaly (
                        number INTEGER PRIMARY KEY AUTOINCREMENT, user BLOB NOT NULL, transaction_id TEXT NOT NULL,
                        severity REAL NOT NULL, verdict BLOB NOT NULL);
                    CREATE UNIQUE INDEX anomaly_by_transaction ON anomaly (user, transaction_id);
                    """)
        }
        migrator.registerMigration("2") { db in
            try db.execute(
                sql: """
                    ALTER TABLE anomaly ADD COLUMN alert_group TEXT NOT NULL DEFAULT '';
                    CREATE INDEX anomaly_by_group ON anomaly (alert_group);
                    """)
        }
        database = try LocalDatabase(path: path, migrator: migrator)
    }

    // MARK: Writing

    /// Takes note of a delivered batch's anomalies, those too that a rule suppresses, and of what rules make alerts. Returns
    /// at once.
    public func note(_ scored: ScoredBatch) {
        let transactions = scored.windowed.consumed.transactions
        let rows = scored.notableRows
        guard !rows.isEmpty else { return }
        var entries: [Entry] = []
        verdicts(scored, publish: .all, rows: rows).visit { index, user, verdict in
            let row = rows[index]
            entries.append(
                Entry(
                    user: Data(user), transaction: transactions.text(.transactionID, row) ?? "",
                    severity: scored.severity(row) ?? 0,
                    group: groups.id(user: user, timeMilliseconds: transactions.timestampMilliseconds[row]),
                    verdict: Data(verdict)))
        }
        note(entries)
    }

    func note(_ entries: [Entry]) {
        let excess = state.withLock { state in
            state.waiting += entries
            return state.trim()
        }
        leftOut.increment(by: excess)
    }

    /// Writes what is noted, until `stop` is called. Blocks; on a thread of its own.
    public func run() {
        var pauses = 0
        while true {
            let isStopping = state.withLock { $0.isStopping }
            if pauses > 0, !isStopping {
                pauses -= 1
            } else if !flush() {
                pauses = Self.pausesAfterFailure
            }
            if isStopping { return }
            Thread.sleep(forTimeInterval: Self.pauseSeconds)
        }
    }

    public func stop() { state.withLock { $0.isStopping = true } }

    /// Writes what is noted now. What cannot be written waits.
    ///
    /// - Returns: Whether nothing is left.
    @discardableResult
    func flush() -> Bool {
        guard state.withLock({ !$0.waiting.isEmpty }) else { return true }
        do {
            try database.writeWithoutTransaction { db in
                // Taken, and put back, where nobody is erased meanwhile.
                let entries = state.withLock { state in
                    defer { state.waiting = [] }
                    return state.waiting
                }
                do {
                    try db.inTransaction {
                        try Self.insert(entries, db)
                        return .commit
                    }
                } catch {
                    let excess = state.withLock { state in
                        state.waiting = entries + state.waiting
                        return state.trim()
                    }
                    leftOut.increment(by: excess)
                    throw error
                }
            }
            return true
        } catch {
            logger.warning("recent anomalies cannot be kept; they wait", metadata: ["reason": "\(error)"])
            return false
        }
    }

    private static func insert(_ entries: [Entry], _ db: Database) throws {
        for entry in entries {
            try db.execute(
                sql: """
                    INSERT OR REPLACE INTO anomaly (user, transaction_id, severity, alert_group, verdict)
                    VALUES (?, ?, ?, ?, ?)
                    """,
                arguments: [entry.user, entry.transaction, entry.severity, entry.group, entry.verdict])
        }
        try db.execute(
            sql: "DELETE FROM anomaly WHERE number <= (SELECT max(number) FROM anomaly) - ?",
            arguments: [maximumCount])
    }

    // MARK: Reading

    /// Newest first.
    public func anomalies(_ filter: Filter) throws -> [Anomaly] {
        var conditions = ["number < ?"]
        var arguments: StatementArguments = [filter.before ?? .max]
        if let userID = filter.userID {
            conditions.append("user = ?")
            arguments += [Data(userID.utf8)]
        }
        if let group = filter.group {
            conditions.append("alert_group = ?")
            arguments += [group]
        }
        if let severity = filter.leastSeverity {
            conditions.append("severity >= ?")
            arguments += [severity]
        }
        arguments += [filter.limit]
        let sql = """
            SELECT number, alert_group, verdict FROM anomaly WHERE \(conditions.joined(separator: " AND "))
            ORDER BY number DESC LIMIT ?
            """
        return try database.read { db in
            try Row.fetchAll(db, sql: sql, arguments: arguments).compactMap { row in
                guard let number = try? row.stored("number", as: Int64.self),
                    let group = try? row.stored("alert_group", as: String.self),
                    let verdict = try? row.stored("verdict", as: Data.self)
                else { return nil }
                return Anomaly(number: number, group: group, verdict: [UInt8](verdict))
            }
        }
    }

    /// - Returns: nil: there is none of this number, or no longer.
    public func anomaly(_ number: Int64) throws -> (userID: String, verdict: [UInt8])? {
        try database.read { db in
            let sql = "SELECT user, verdict FROM anomaly WHERE number = ?"
            guard let row = try Row.fetchOne(db, sql: sql, arguments: [number]),
                let user = try? row.stored("user", as: Data.self),
                let verdict = try? row.stored("verdict", as: Data.self)
            else { return nil }
            return (String(decoding: user, as: UTF8.self), [UInt8](verdict))
        }
    }

    /// Forgets what came from behind the place where a file's stream goes on: killed since its last checkpoint, it has
    /// taken those verdicts back, and scores their lines again, perhaps by another version. To be called before
    /// anything of it is noted.
    public func begin(_ stream: FileTransactionStream) {
        // What goes behind the verdicts of another input takes none of them back.
        guard stream.canTakeBack, stream.notices.isEmpty else { return }
        do {
            try database.write { db in
                var gone: [Int64] = []
                let rows = try Row.fetchCursor(
                    db, sql: "SELECT number, verdict FROM anomaly ORDER BY number DESC")
                // The newest: where the stream was before, lines came in their order.
                while let row = try rows.next(), let verdict = try? row.stored("verdict", as: Data.self),
                    let place = try? JSONDecoder().decode(VerdictPlace.self, from: verdict).source,
                    place.partition == 0, place.offset >= stream.deliveredLines
                {
                    gone.append(try row.stored("number"))
                }
                for number in gone {
                    try db.execute(sql: "DELETE FROM anomaly WHERE number = ?", arguments: [number])
                }
            }
        } catch {
            logger.warning(
                "recent anomalies may have some that are scored again", metadata: ["reason": "\(error)"])
        }
    }

    /// Forgets a user.
    ///
    /// - Returns: How many there were.
    public func erase(userID: String) throws -> Int {
        try database.writeWithoutTransaction { db in
            state.withLock { $0.waiting.removeAll { $0.user == Data(userID.utf8) } }
            try db.execute(sql: "DELETE FROM anomaly WHERE user = ?", arguments: [Data(userID.utf8)])
            return db.changesCount
        }
    }
}

/// The member of a verdict that says where its transaction came from.
private struct VerdictPlace: Decodable {
    struct Source: Decodable {
        let partition: Int
        let offset: Int64
    }

    let source: Source
}
