import Foundation
import GRDB
import ObjectStore

/// The table of active versions as this machine last knew it, for a start while the object store is away, and for
/// reading of the catalogue only what has changed.
extension ModelCache {
    /// Everything that is active.
    public func active() throws -> [Tenant: ActiveModel] {
        var active: [Tenant: ActiveModel] = [:]
        try forEachActive { user, model in
            let tenant =
                user.isEmpty ? Tenant.global : .user(String(decoding: user, as: UTF8.self))
            active[tenant] = model
        }
        return active
    }

    /// Damaged rows are passed over; `CacheFile.mend` removes them at the next start.
    ///
    /// - Parameter body: Told the user's id in UTF-8, empty for the global model. It must not use this cache.
    func forEachActive(_ body: (UnsafeRawBufferPointer, ActiveModel) throws -> Void) throws {
        try database.read { db in
            let rows = try Row.fetchCursor(
                db, sql: "SELECT tenant, version, sha256, sequence, place FROM active")
            while let row = try rows.next() {
                guard let model = try? Self.model(row) else { continue }
                try row.withUnsafeData(atIndex: 0) { user in
                    guard let user else { return }
                    try user.withUnsafeBytes { try body($0, model) }
                }
            }
        }
    }

    /// - Throws: `StoredValueError`.
    private static func model(_ row: Row) throws -> ActiveModel {
        let sha256 = try row.storedIfAny("sha256", as: Data.self).flatMap { data in
            data.count == ArtifactHash.size ? data.withUnsafeBytes { ArtifactHash(stored: $0) } : nil
        }
        return ActiveModel(
            version: try row.stored("version", in: ModelNumbers.versions), sha256: sha256,
            sequence: try row.stored("sequence", in: ModelNumbers.sequences),
            place: try row.storedIfAny("place", as: String.self).flatMap(place))
    }

    /// As the column has it. What is no place is none: then the artifact is looked for.
    private static func place(_ text: String) -> PackPlace? {
        let parts = text.split(separator: " ")
        guard parts.count == 3, let offset = Int(parts[1]), let size = Int(parts[2]) else { return nil }
        return PackPlace(pack: String(parts[0]), offset: offset, sizeBytes: size)
    }

    /// What is active for a tenant.
    func active(_ tenant: Tenant) throws -> ActiveModel? { try active([tenant])[0] }

    /// What is active for tenants, in their order; nil also where the row is damaged.
    func active(_ tenants: [Tenant]) throws -> [ActiveModel?] {
        try database.unsafeRead { db in
            let statement = try db.cachedStatement(
                sql: "SELECT version, sha256, sequence, place FROM active WHERE tenant = ?")
            return try tenants.map { tenant in
                let row = try Row.fetchOne(statement, arguments: [tenant.cacheKey])
                return row.flatMap { try? Self.model($0) }
            }
        }
    }

    /// The tags of the manifests that the table was read from.
    func shardTags() throws -> [String: VersionTag] {
        try database.read { db in
            var tags: [String: VersionTag] = [:]
            let rows = try Row.fetchCursor(db, sql: "SELECT key, tag FROM shard")
            while let row = try rows.next() {
                guard let key = try? row.stored("key", as: String.self),
                    let tag = try? row.stored("tag", as: String.self)
                else { continue }
                tags[key] = VersionTag(tag)
            }
            return tags
        }
    }

    /// Replaces the rows of some manifests; forgets manifests that are gone, and artifacts of tenants that are.
    func replace(_ shards: [Catalogue.Shard], keys: Set<String>) throws {
        try database.write { db in
            // Those of tenants who are gone: they are not looked for among all.
            if !shards.isEmpty { forgetUnwritten { _ in true } }
            for key in try String.fetchAll(db, sql: "SELECT key FROM shard") where !keys.contains(key) {
                try db.execute(sql: "DELETE FROM active WHERE shard = ?", arguments: [key])
                try db.execute(sql: "DELETE FROM shard WHERE key = ?", arguments: [key])
            }
            for shard in shards {
                try db.execute(sql: "DELETE FROM active WHERE shard = ?", arguments: [shard.key])
                for (tenant, model) in shard.active { try Self.set(db, tenant, model) }
                try db.execute(
                    sql: "INSERT OR REPLACE INTO shard VALUES (?, ?)", arguments: [shard.key, shard.tag.text])
            }
        }
        guard !shards.isEmpty else { return }
        // Somebody may have been erased while this machine was away.
        let orphans = try database.read { db in
            try Int64.fetchAll(
                db, sql: "SELECT id FROM artifact WHERE tenant NOT IN (SELECT tenant FROM active)")
        }
        guard !orphans.isEmpty else { return }
        try overwriting { db in for id in orphans { try CacheFile.delete(artifact: id, db) } }
    }

    /// What the table says of the tenants of one manifest, by the user's id in UTF-8; empty: the global model.
    func active(inShard key: String) throws -> [Data: ActiveModel] {
        try database.read { db in
            var active: [Data: ActiveModel] = [:]
            let rows = try Row.fetchCursor(
                db, sql: "SELECT tenant, version, sha256, sequence, place FROM active WHERE shard = ?",
                arguments: [key])
            while let row = try rows.next() {
                guard let tenant = try? row.stored("tenant", as: Data.self), let model = try? Self.model(row)
                else { continue }
                active[tenant] = model
            }
            return active
        }
    }

    /// Applies changes that are newer than what the table says.
    ///
    /// - Parameters:
    ///   - announcing: Keeps them also among those that others have to be told of.
    ///   - isDecided: The changes are what the catalogue says now, whatever the table says.
    func apply(_ changes: [ModelChange], announcing: Bool, isDecided: Bool = false) throws {
        let encoder = JSONEncoder()
        try database.write { db in
            for change in changes {
                if announcing {
                    try db.execute(
                        sql: "INSERT INTO announcement (change) VALUES (?)",
                        arguments: [try encoder.encode(change)])
                }
                let known = try Int.fetchOne(
                    db, sql: "SELECT sequence FROM active WHERE tenant = ?",
                    arguments: [change.tenant.cacheKey])
                guard isDecided || known.map({ $0 < change.sequence }) ?? true else { continue }
                let model = change.to.map { version in
                    ActiveModel(
                        version: version, sha256: change.sha256.flatMap { ArtifactHash(hexadecimal: $0) },
                        sequence: change.sequence, place: change.place)
                }
                try Self.set(db, change.tenant, model)
            }
        }
    }

    private static func set(_ db: Database, _ tenant: Tenant, _ model: ActiveModel?) throws {
        guard let model else {
            return try db.execute(
                sql: "DELETE FROM active WHERE tenant = ?", arguments: [tenant.cacheKey])
        }
        let statement = try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO active (tenant, shard, version, sha256, sequence, place)
                VALUES (?, ?, ?, ?, ?, ?)
                """)
        try statement.execute(arguments: [
            tenant.cacheKey, tenant.manifestKey, model.version, model.sha256.map { Data($0.bytes) },
            model.sequence, model.place.map { "\($0.pack) \($0.offset) \($0.sizeBytes)" },
        ])
    }

    // MARK: Announcements

    /// Changes that others have not been told of yet, oldest first, and up to which row these are.
    func announcements(limit: Int) throws -> (changes: [ModelChange], lastRow: Int64) {
        try database.read { db in
            var changes: [ModelChange] = []
            var last: Int64 = 0
            let decoder = JSONDecoder()
            let rows = try Row.fetchCursor(
                db, sql: "SELECT id, change FROM announcement ORDER BY id LIMIT ?", arguments: [limit])
            while let row = try rows.next() {
                last = try row.stored("id")
                // One that cannot be read is let go of: it was a hint, and the catalogue has what it told of.
                guard let json = try? row.stored("change", as: Data.self),
                    let change = try? decoder.decode(ModelChange.self, from: json)
                else { continue }
                changes.append(change)
            }
            return (changes, last)
        }
    }

    static func removeAnnouncements(of tenant: Tenant, _ db: Database) throws {
        let rows = try Row.fetchAll(db, sql: "SELECT id, change FROM announcement")
        for row in rows {
            guard let json = try? row.stored("change", as: Data.self),
                (try? JSONDecoder().decode(ModelChange.self, from: json))?.tenant == tenant
            else { continue }
            try db.execute(
                sql: "DELETE FROM announcement WHERE id = ?",
                arguments: [try row.stored("id", as: Int64.self)])
        }
    }

    func forgetAnnouncements(through lastRow: Int64) throws {
        try database.write { db in
            try db.execute(sql: "DELETE FROM announcement WHERE id <= ?", arguments: [lastRow])
        }
    }
}
