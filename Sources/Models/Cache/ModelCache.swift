import DetectorAPI
import Foundation
import GRDB
import Logging
import Metrics
import ObjectStore
import Synchronization

/// Artifacts and the table of active versions on this machine's disk: SQLite, write-ahead log.
///
/// A cache: nothing is lost with it. A damaged file is moved aside and filled anew, and artifacts that cannot be read
/// or written are as if they were not here. Thread-safe; calls block.
public final class ModelCache: Sendable {
    let database: LocalDatabase
    private let path: String
    private let maximumSize: Int
    private let logger: Logger
    private let state = Mutex(State())
    /// Of sealed objects: see `SeenGenerations`.
    let generations = Mutex<[String: Int64]>([:])
    /// What is written here nobody waits for.
    private let behind = DispatchQueue(label: "model-cache-writes", qos: .utility)

    private struct State {
        /// Artifacts, by row, used since the last write of their times. So reading does not write.
        var used: Set<Int64> = []
        var unwritten = UnwrittenArtifacts()
        var isFailing = false
    }

    private let hits = Counter(label: "ml_model_cache_hits_total", dimensions: [("cache", "disk")])
    private let misses = Counter(label: "ml_model_cache_misses_total", dimensions: [("cache", "disk")])
    private let evictions = Counter(label: "ml_model_cache_evictions_total", dimensions: [("cache", "disk")])
    private let failures = Counter(label: "ml_model_cache_failures_total")
    private let unwritten = Counter(label: "ml_model_cache_unwritten_total")

    private static let maximumUnwrittenUses = 10_000
    /// So that a write has many artifacts: the pages of the index that it changes are the same for several.
    private static let gatheringMilliseconds = 200

    /// - Parameters:
    ///   - path: The SQLite file, made when it is not there; others beside it start with the same name.
    ///   - maximumSize: Bytes of artifacts; the least recently used go first, but for the global model's.
    /// - Throws: When the file can be neither opened nor replaced.
    public init(path: String, maximumSize: Int, logger: Logger) throws {
        self.path = path
        self.maximumSize = maximumSize
        self.logger = logger
        if CacheFile.isMarkedDamaged(path) { try CacheFile.moveAside(path, logger: logger) }
        do {
            database = try CacheFile.open(path, logger: logger)
        } catch let error as LocalStateError where error.isDamage {
            try CacheFile.moveAside(path, logger: logger)
            database = try CacheFile.open(path, logger: logger)
        }
    }

    // MARK: Artifacts

    /// An artifact that was checked before it came here.
    struct Artifact {
        let bytes: ArtifactBytes
        /// Of the whole artifact.
        let sha256: ArtifactHash
        /// nil: it was kept by a release that reads it from the artifact.
        let brief: ArtifactHeader?
    }

    /// An artifact as it was kept, its bytes copied once; nil when it is not here, has changed on the disk, or is not
    /// the one that the active table means.
    ///
    /// - Parameter signers: The keys of which it has to have been checked with one, see `SigningKeys.signers`.
    func artifact(_ tenant: Tenant, version: Int, signers: [Data]) -> Artifact? {
        artifacts([(tenant, version)], signers: signers)[0]
    }

    /// The same of many, in their order, by one use of the database.
    func artifacts(_ wanted: [(tenant: Tenant, version: Int)], signers: [Data]) -> [Artifact?] {
        let read = attempt {
            // Statements that each stand for themselves need no transaction around them.
            try database.unsafeRead { db in try wanted.map { try Self.read($0.tenant, $0.version, db) } }
        }
        guard let rows = read else {
            // A damaged page is that of a few.
            if wanted.count > 1 {
                return wanted.map { artifact($0.tenant, version: $0.version, signers: signers) }
            }
            misses.increment(by: wanted.count)
            return wanted.map { _ in nil }
        }
        var found: [Int64] = []
        let artifacts = rows.map { row -> Artifact? in
            guard let row else { return nil }
            guard row.isSound, signers.contains(row.signer) else {
                attempt { try delete(row.id) }
                return nil
            }
            found.append(row.id)
            return row.artifact
        }
        hits.increment(by: found.count)
        misses.increment(by: wanted.count - found.count)
        let isFull = state.withLock { state in
            let wasFull = state.used.count >= Self.maximumUnwrittenUses
            state.used.formUnion(found)
            return !wasFull && state.used.count >= Self.maximumUnwrittenUses
        }
        if isFull { behind.async { [self] in attempt { try database.write { try writeUses($0) } } } }
        return artifacts
    }

    private struct StoredArtifact {
        let id: Int64
        let artifact: Artifact
        let signer: Data
        let isSound: Bool
    }

    private static func read(_ tenant: Tenant, _ version: Int, _ db: Database) throws -> StoredArtifact? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT bytes, brief, id, artifact.sha256, checksum, signer, active.sha256
                FROM artifact LEFT JOIN active USING (tenant, version)
                WHERE tenant = ? AND version = ?
                """)
        let rows = try Row.fetchCursor(statement, arguments: [tenant.cacheKey, version])
        guard let row = try rows.next() else { return nil }
        // Texts give their bytes here, and NULL none: then the checksum is another.
        let bytes = try row.withUnsafeData(atIndex: 0) { data in
            let data = data ?? Data()
            return ArtifactBytes(count: data.count) { target in
                data.withUnsafeBytes { target.copyMemory(from: $0) }
            }
        }
        // It has a checksum of its own.
        let brief = try row.withUnsafeData(atIndex: 1) { $0?.withUnsafeBytes(BriefHeader.decode) }
        let hash = ArtifactHash(stored: try? row.storedIfAny(at: 3, as: Data.self))
        let promoted = ArtifactHash(stored: try? row.storedIfAny(at: 6, as: Data.self))
        let isSound =
            hash != nil && (promoted == nil || promoted == hash)
            && (try? row.storedIfAny(at: 4, as: Int64.self)) == CacheFile.checksum(bytes)
        return StoredArtifact(
            id: try row.stored("id"),
            artifact: Artifact(bytes: bytes, sha256: hash ?? ArtifactHash(of: bytes.bytes), brief: brief),
            signer: (try? row.storedIfAny(at: 5, as: Data.self)) ?? Data(), isSound: isSound)
    }

    /// An artifact that was checked.
    struct Checked {
        let bytes: ArtifactBytes
        let sha256: ArtifactHash
        /// The key that it was checked with.
        let signer: Data
        let tenant: Tenant
        let version: Int
        /// A `BriefHeader` that is kept beside it, so that it is ready sooner the next time; nil: none is.
        var brief: [UInt8]?

        /// On the disk.
        var sizeBytes: Int { bytes.bytes.count + (brief?.count ?? 0) }
    }

    /// Keeps checked artifacts, letting go of the least recently used ones when there is no more room.
    func store(_ checked: [Checked]) {
        guard !checked.isEmpty else { return }
        attempt {
            try database.write { db in
                try writeUses(db)
                try CacheFile.insert(checked, db)
                let evicted = try CacheFile.evict(downTo: maximumSize, db)
                evictions.increment(by: evicted)
            }
        }
    }

    /// Keeps artifacts of users' active models a little later, together with others. What the process ends before, or there
    /// is no room for, is read from the object store again.
    func storeBehind(_ checked: [Checked]) {
        let (isFirst, dropped) = state.withLock { $0.unwritten.add(checked) }
        unwritten.increment(by: dropped)
        guard isFirst else { return }
        let pause = DispatchTimeInterval.milliseconds(Self.gatheringMilliseconds)
        behind.asyncAfter(deadline: .now() + pause) { [self] in writeUnwritten() }
    }

    /// Writes what waits, in as many transactions as it takes.
    public func writeUnwritten() {
        while true {
            let isWritten: Void? = attempt {
                try database.write { db in
                    // Taken in here, so that whoever is erased is no longer among them, or already in the table.
                    let artifacts = state.withLock { $0.unwritten.take() }
                    try writeUses(db)
                    try CacheFile.insert(
                        try artifacts.filter { try CacheFile.isActive($0.tenant, db) }, db)
                    evictions.increment(by: try CacheFile.evict(downTo: maximumSize, db))
                }
            }
            let isDone = state.withLock { state in
                // A cache that fails is done without.
                if isWritten == nil { state.unwritten.forget { _ in true } }
                return state.unwritten.finish()
            }
            if isDone { return }
        }
    }

    /// Lets go of artifacts that are still to be written. To be called where nothing else is written meanwhile.
    func forgetUnwritten(where isGone: (Tenant) -> Bool) {
        state.withLock { $0.unwritten.forget { isGone($0.tenant) } }
    }

    private func writeUses(_ db: Database) throws {
        let used = state.withLock { state in
            defer { state.used = [] }
            return state.used
        }
        guard !used.isEmpty else { return }
        let statement = try db.cachedStatement(sql: "UPDATE artifact SET used = ? WHERE id = ?")
        let now = CacheFile.now()
        for id in used { try statement.execute(arguments: [now, id]) }
    }

    private func delete(_ id: Int64) throws {
        try database.write { try CacheFile.delete(artifact: id, $0) }
    }

    /// Bytes of artifacts.
    public func sizeBytes() throws -> Int { try database.read { try CacheFile.size($0) } }

    /// Whether anything of a tenant is here.
    func holds(_ tenant: Tenant) throws -> Bool {
        try database.read { db in
            try Bool.fetchOne(
                db,
                sql: """
                    SELECT EXISTS (SELECT 1 FROM active WHERE tenant = ?)
                        OR EXISTS (SELECT 1 FROM artifact WHERE tenant = ?)
                    """, arguments: [tenant.cacheKey, tenant.cacheKey]) ?? true
        }
    }

    /// Forgets a tenant, in a damaged file that was moved aside too, and overwrites what was kept.
    ///
    /// - Returns: How many artifacts and files aside there were.
    @discardableResult
    public func remove(_ tenant: Tenant) throws -> Int {
        let removed = try overwriting { db in
            forgetUnwritten { $0 == tenant }
            try db.execute(sql: "DELETE FROM active WHERE tenant = ?", arguments: [tenant.cacheKey])
            let artifacts = try Int64.fetchAll(
                db, sql: "SELECT id FROM artifact WHERE tenant = ?", arguments: [tenant.cacheKey])
            for id in artifacts { try CacheFile.delete(artifact: id, db) }
            try Self.removeAnnouncements(of: tenant, db)
            return artifacts.count
        }
        guard let userID = tenant.userID else { return removed }
        return removed + (try CacheFile.removeAside(path, naming: userID))
    }

    /// Deletes so that nothing is left in the files.
    func overwriting<Value>(_ body: (Database) throws -> Value) throws -> Value {
        let value = try database.write(body)
        // The log still has it. Readers may be in the way: then a later checkpoint takes it.
        _ = try? database.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        return value
    }

    // MARK: Failures

    /// Does what the service can do without: a failure is counted, and logged when the one before it went well.
    @discardableResult
    func attempt<Value>(_ body: () throws -> Value) -> Value? {
        do {
            let value = try body()
            state.withLock { $0.isFailing = false }
            return value
        } catch {
            failures.increment()
            let isNew = state.withLock { state in
                defer { state.isFailing = true }
                return !state.isFailing
            }
            if isNew {
                logger.error(
                    "the model cache fails; models come from the object store",
                    metadata: ["path": "\(path)", "reason": "\(error)"])
            }
            if let error = error as? LocalStateError, error.isDamage { CacheFile.markDamaged(path) }
            return nil
        }
    }
}

extension Tenant {
    /// Empty for the global model, else the user's id. Bytes, because a text ends at a NUL for SQLite.
    var cacheKey: Data { Data((userID ?? "").utf8) }
}

extension ArtifactHash {
    /// nil when there are not 32 bytes.
    fileprivate init?(stored data: Data?) {
        guard let data, data.count == Self.size else { return nil }
        self = data.withUnsafeBytes { ArtifactHash(stored: $0) }
    }
}
