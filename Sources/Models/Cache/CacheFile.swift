import DetectorAPI
import Foundation
import GRDB
import Logging
import Transactions

/// The file of a model cache: its tables, its upkeep, and what is done when it is damaged.
enum CacheFile {
    static func open(_ path: String, logger: Logger) throws -> LocalDatabase {
        let database = try LocalDatabase(path: path, hasReaders: true, migrator: migrator) { db in
            // An artifact is a few of these pages, not dozens. Has an effect on a new file only.
            try db.execute(sql: "PRAGMA page_size = 16384")
        }
        // Reads what a start relies on, so that damage shows now. The artifacts have checksums of their own.
        let removed = try database.write(mend)
        if removed > 0 {
            logger.warning(
                "rows of the model cache were damaged and are read anew from the store",
                metadata: ["path": "\(path)", "rows": "\(removed)"])
        }
        return database
    }

    /// Removes rows that hold what no row of ours does, and has the catalogue's part that they were of read again.
    ///
    /// A table's definition keeps such values out of it, but not out of a file.
    ///
    /// - Returns: How many.
    private static func mend(_ db: Database) throws -> Int {
        let (versions, sequences) = (ModelNumbers.versions, ModelNumbers.sequences)
        let damaged = """
            typeof(tenant) != 'blob' OR typeof(shard) != 'text' OR typeof(version) != 'integer'
            OR version NOT BETWEEN \(versions.lowerBound) AND \(versions.upperBound)
            OR typeof(sequence) != 'integer'
            OR sequence NOT BETWEEN \(sequences.lowerBound) AND \(sequences.upperBound)
            OR typeof(sha256) NOT IN ('blob', 'null') OR typeof(place) NOT IN ('text', 'null')
            OR (tenant = x'') != (shard = '\(Tenant.globalManifestKey)')
            """
        var removed = 0
        func delete(_ sql: String) throws {
            try db.execute(sql: sql)
            removed += db.changesCount
        }
        let shards = try DatabaseValue.fetchSet(db, sql: "SELECT shard FROM active WHERE \(damaged)")
        if !shards.isEmpty {
            try delete("DELETE FROM active WHERE \(damaged)")
            // The part may be misnamed itself: then all are read again.
            try db.execute(sql: "DELETE FROM shard")
        }
        try delete("DELETE FROM shard WHERE typeof(key) != 'text' OR typeof(tag) != 'text'")
        // By the index alone, which has these columns.
        try delete(
            """
            DELETE FROM artifact WHERE id IN (
                SELECT id FROM artifact INDEXED BY artifact_by_use
                WHERE typeof(size) != 'integer' OR size NOT BETWEEN 0 AND \(1 << 40) OR typeof(used) != 'integer')
            """)
        let sum = try Int.fetchOne(db, sql: "SELECT coalesce(sum(size), 0) FROM artifact") ?? 0
        // Nothing is written where nothing is wrong: on a full disk that would be the end of a start.
        if try DatabaseValue.fetchAll(db, sql: "SELECT size FROM total") != [sum.databaseValue] {
            try db.execute(sql: "DELETE FROM total")
            try db.execute(sql: "INSERT INTO total VALUES (?)", arguments: [sum])
        }
        return removed
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        // The layout before this one kept ids as texts. A cache needs nothing of it.
        migrator.registerMigration("2") { db in
            try db.execute(
                sql: """
                    DROP TABLE IF EXISTS active;
                    DROP TABLE IF EXISTS artifact;
                    CREATE TABLE active (
                        tenant BLOB PRIMARY KEY, shard TEXT NOT NULL, version INTEGER NOT NULL, sha256 BLOB,
                        sequence INTEGER NOT NULL) WITHOUT ROWID;
                    CREATE INDEX active_by_shard ON active (shard);
                    CREATE TABLE shard (key TEXT PRIMARY KEY, tag TEXT NOT NULL) WITHOUT ROWID;
                    CREATE TABLE artifact (
                        id INTEGER PRIMARY KEY, tenant BLOB NOT NULL, version INTEGER NOT NULL,
                        size INTEGER NOT NULL, used INTEGER NOT NULL, sha256 BLOB NOT NULL,
                        checksum INTEGER NOT NULL, signer BLOB NOT NULL, bytes BLOB NOT NULL);
                    CREATE UNIQUE INDEX artifact_by_version ON artifact (tenant, version);
                    CREATE INDEX artifact_by_use ON artifact (used, id, size);
                    CREATE TABLE total (size INTEGER NOT NULL);
                    INSERT INTO total VALUES (0);
                    CREATE TABLE announcement (id INTEGER PRIMARY KEY, change BLOB NOT NULL);
                    """)
        }
        migrator.registerMigration("3") { db in
            // Key, offset and size, with spaces between; NULL: an object of its own.
            try db.execute(sql: "ALTER TABLE active ADD COLUMN place TEXT")
        }
        migrator.registerMigration("4") { db in
            try db.execute(
                sql:
                    "CREATE TABLE generation (name TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID"
            )
        }
        migrator.registerMigration("5") { db in
            // A `BriefHeader`; NULL: it is read from the artifact.
            try db.execute(sql: "ALTER TABLE artifact ADD COLUMN brief BLOB")
        }
        return migrator
    }

    // MARK: Artifacts

    /// For bytes that this machine wrote itself: finds what a disk does to them, at 10 GB/s.
    static func checksum(_ bytes: ArtifactBytes) -> Int64 {
        Int64(bitPattern: TextHash.hash(bytes.bytes))
    }

    static func now() -> Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    /// Kept up to date, because summing up takes as long as there are artifacts.
    static func size(_ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT size FROM total") ?? 0
    }

    static func add(_ size: Int, _ db: Database) throws {
        try db.execute(sql: "UPDATE total SET size = size + ?", arguments: [size])
    }

    static func insert(_ artifacts: [ModelCache.Checked], _ db: Database) throws {
        guard !artifacts.isEmpty else { return }
        let find = try db.cachedStatement(sql: "SELECT id FROM artifact WHERE tenant = ? AND version = ?")
        let insert = try db.cachedStatement(
            sql: """
                INSERT INTO artifact (tenant, version, size, used, sha256, checksum, signer, bytes, brief)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        let now = now()
        var total = 0
        for artifact in artifacts {
            let (tenant, size) = (artifact.tenant.cacheKey, artifact.sizeBytes)
            if let old = try Int64.fetchOne(find, arguments: [tenant, artifact.version]) {
                try delete(artifact: old, db)
            }
            try insert.execute(arguments: [
                tenant, artifact.version, size, now, Data(artifact.sha256.bytes), checksum(artifact.bytes),
                artifact.signer, Data(artifact.bytes.bytes),
                artifact.brief.map { Data($0) },
            ])
            total += size
        }
        try add(total, db)
    }

    static func isActive(_ tenant: Tenant, _ db: Database) throws -> Bool {
        let statement = try db.cachedStatement(sql: "SELECT 1 FROM active WHERE tenant = ?")
        return try Row.fetchOne(statement, arguments: [tenant.cacheKey]) != nil
    }

    static func delete(artifact id: Int64, _ db: Database) throws {
        let size = try Int.fetchOne(db, sql: "SELECT size FROM artifact WHERE id = ?", arguments: [id])
        // Whatever its size says, it goes: an eviction that removed nothing would never end.
        try db.execute(sql: "DELETE FROM artifact WHERE id = ?", arguments: [id])
        if let size, (0...1 << 40).contains(size) { try add(-size, db) }
    }

    /// Lets go of the least recently used artifacts of users, never of the global model's.
    ///
    /// - Returns: How many.
    static func evict(downTo maximumSize: Int, _ db: Database) throws -> Int {
        var evicted = 0
        while try size(db) > maximumSize {
            let oldest = try Int64.fetchOne(
                db, sql: "SELECT id FROM artifact WHERE tenant != x'' ORDER BY used, id LIMIT 1")
            guard let oldest else { break }
            try delete(artifact: oldest, db)
            evicted += 1
        }
        return evicted
    }

    // MARK: Damage

    private static func mark(_ path: String) -> String { path + ".is-damaged" }

    static func isMarkedDamaged(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: mark(path))
    }

    /// Has the next start begin with a new file: this one is in use.
    static func markDamaged(_ path: String) {
        _ = FileManager.default.createFile(atPath: mark(path), contents: nil)
    }

    static func moveAside(_ path: String, logger: Logger) throws {
        logger.warning(
            "the model cache is damaged and begun anew",
            metadata: ["path": "\(path)", "kept": "\(path).damaged"])
        let files = FileManager.default
        for suffix in suffixes where files.fileExists(atPath: path + suffix) {
            try? files.removeItem(atPath: aside(path, suffix))
            try files.moveItem(atPath: path + suffix, toPath: aside(path, suffix))
        }
        if isMarkedDamaged(path) { try files.removeItem(atPath: mark(path)) }
    }

    /// Removes what was moved aside and names a user.
    ///
    /// - Returns: How many files.
    static func removeAside(_ path: String, naming userID: String) throws -> Int {
        try suffixes.filter { try DamagedCopy.remove(aside(path, $0), naming: userID) }.count
    }

    /// SQLite's files of one database.
    private static let suffixes = ["", "-wal", "-shm"]

    private static func aside(_ path: String, _ suffix: String) -> String { path + suffix + ".damaged" }
}
