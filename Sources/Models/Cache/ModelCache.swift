import DetectorAPI
import Foundation
import GRDB
import Logging
import Synchronization

/// Artifacts and the table of active versions on this machine's disk: SQLite, write-ahead log.
///
/// A cache: a damaged file is moved aside and filled anew. Thread-safe; calls block.
public final class ModelCache: Sendable {
    private let database: DatabasePool
    private let maximumSize: Int
    /// Artifacts used since the last write of their times.
    private let used = Mutex<Set<Key>>([])

    private struct Key: Hashable {
        let tenant: String
        let version: Int
    }

    /// - Parameter maximumSize: Bytes of artifacts; the least recently used go first.
    public init(path: String, maximumSize: Int, logger: Logger) throws {
        self.maximumSize = maximumSize
        do {
            database = try Self.open(path)
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode)
        {
            logger.warning("the model cache is damaged and begun anew", metadata: ["path": "\(path)"])
            for suffix in ["", "-wal", "-shm"] where FileManager.default.fileExists(atPath: path + suffix) {
                try? FileManager.default.removeItem(atPath: path + suffix + ".damaged")
                try FileManager.default.moveItem(atPath: path + suffix, toPath: path + suffix + ".damaged")
            }
            database = try Self.open(path)
        }
    }

    private static func open(_ path: String) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        let database = try DatabasePool(path: path, configuration: configuration)
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE active (tenant TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
                    CREATE TABLE artifact (
                        id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, version INTEGER NOT NULL,
                        size INTEGER NOT NULL, used INTEGER NOT NULL, bytes BLOB NOT NULL);
                    CREATE UNIQUE INDEX artifact_by_version ON artifact (tenant, version);
                    CREATE INDEX artifact_by_use ON artifact (used);
                    """)
        }
        try migrator.migrate(database)
        return database
    }

    // MARK: Active versions

    /// The table as this machine last knew it, for a start while the object store is away.
    public func activeVersions() throws -> [Tenant: Int] {
        try database.read { db in
            var active: [Tenant: Int] = [:]
            let rows = try Row.fetchCursor(db, sql: "SELECT tenant, version FROM active")
            while let row = try rows.next() { active[Self.tenant(row[0])] = row[1] }
            return active
        }
    }

    public func replaceActiveVersions(_ active: [Tenant: Int]) throws {
        try database.write { db in
            try db.execute(sql: "DELETE FROM active")
            for (tenant, version) in active { try Self.set(db, tenant, version) }
        }
    }

    public func setActive(_ tenant: Tenant, _ version: Int?) throws {
        try database.write { try Self.set($0, tenant, version) }
    }

    private static func set(_ db: Database, _ tenant: Tenant, _ version: Int?) throws {
        if let version {
            try db.execute(
                sql: "INSERT OR REPLACE INTO active VALUES (?, ?)", arguments: [key(tenant), version])
        } else {
            try db.execute(sql: "DELETE FROM active WHERE tenant = ?", arguments: [key(tenant)])
        }
    }

    // MARK: Artifacts

    /// An artifact's bytes, copied once, or nil when it is not here.
    public func artifact(_ tenant: Tenant, version: Int) throws -> ArtifactBytes? {
        let key = Key(tenant: Self.key(tenant), version: version)
        let found = try database.read { db -> ArtifactBytes? in
            let statement = try db.cachedStatement(
                sql: "SELECT bytes FROM artifact WHERE tenant = ? AND version = ?")
            return try Row.fetchOne(statement, arguments: [key.tenant, version])?.withUnsafeData(atIndex: 0) {
                data in
                data.map { ArtifactBytes(copying: $0) }
            }
        }
        if found != nil { used.withLock { _ = $0.insert(key) } }
        return found
    }

    /// Keeps an artifact, letting go of the least recently used ones when there is no more room.
    public func store(_ bytes: ArtifactBytes, _ tenant: Tenant, version: Int) throws {
        let used = used.withLock { used in
            defer { used = [] }
            return used
        }
        try database.write { db in
            let now = Int64(Date().timeIntervalSince1970 * 1_000)
            for key in used {
                try db.execute(
                    sql: "UPDATE artifact SET used = ? WHERE tenant = ? AND version = ?",
                    arguments: [now, key.tenant, key.version])
            }
            try db.execute(
                sql:
                    "INSERT OR REPLACE INTO artifact (tenant, version, size, used, bytes) VALUES (?, ?, ?, ?, ?)",
                arguments: [Self.key(tenant), version, bytes.bytes.count, now, Data(bytes.bytes)])
            try evict(db)
        }
    }

    private func evict(_ db: Database) throws {
        var excess = (try Int.fetchOne(db, sql: "SELECT sum(size) FROM artifact") ?? 0) - maximumSize
        while excess > 0 {
            guard
                let row = try Row.fetchOne(db, sql: "SELECT id, size FROM artifact ORDER BY used, id LIMIT 1")
            else { return }
            let id: Int64 = row[0]
            excess -= row[1] as Int
            try db.execute(sql: "DELETE FROM artifact WHERE id = ?", arguments: [id])
        }
    }

    public func remove(_ tenant: Tenant) throws {
        try database.write { db in
            try db.execute(sql: "DELETE FROM artifact WHERE tenant = ?", arguments: [Self.key(tenant)])
            try Self.set(db, tenant, nil)
        }
    }

    public func sizeBytes() throws -> Int {
        try database.read { try Int.fetchOne($0, sql: "SELECT sum(size) FROM artifact") ?? 0 }
    }

    /// `g`, or `u` and the user's id.
    private static func key(_ tenant: Tenant) -> String { tenant.userID.map { "u\($0)" } ?? "g" }

    private static func tenant(_ key: String) -> Tenant {
        key == "g" ? .global : .user(String(key.dropFirst()))
    }
}
