import DetectorAPI
import Foundation
import GRDB
import Testing
import Torture

@testable import Models

/// What lies in files may be anything: the process goes on, and what it then says is right or missing.
@Suite struct DamagedRowsTests {
    /// Values that no column of ours has where they are put.
    static let strangers: [DatabaseValue] = [
        .null, "text".databaseValue, "".databaseValue, Data([1, 2, 3]).databaseValue, 1.5.databaseValue,
        Double.infinity.databaseValue, Int64.max.databaseValue, Int64.min.databaseValue, (-1).databaseValue,
        0.databaseValue, Int64(Int32.max).databaseValue,
    ]

    /// Takes the promises out of the tables' definitions, then lets `body` write what it likes.
    static func damage(_ path: String, _ body: (Database) throws -> Void) throws {
        let loosening = try DatabaseQueue(path: path)
        try loosening.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA writable_schema = ON")
            try db.execute(sql: "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '')")
        }
        try loosening.close()
        let queue = try DatabaseQueue(path: path)
        try queue.writeWithoutTransaction(body)
        try queue.close()
    }

    /// A cache with two users and the global model, closed.
    private func filledCache(_ world: World) throws {
        for tenant in [Tenant.global, .user("a"), .user("b")] { try world.publish(tenant) }
        let process = try world.process()
        try process.promotion.promote([.global: 1, .user("a"): 1, .user("b"): 1], by: "t", reason: "")
        _ = try process.promotion.start(logger: world.logger)
        try process.cache.apply(
            [ModelChange(userID: "a", sequence: 1, to: 1, by: "", reason: "", timeMilliseconds: 0)],
            announcing: true)
        try process.cache.database.close()
        let queue = try DatabaseQueue(path: world.cachePath())
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        try queue.close()
    }

    private static let columns = [
        ("active", ["tenant", "shard", "version", "sha256", "sequence"]), ("shard", ["key", "tag"]),
        ("artifact", ["tenant", "version", "size", "used", "sha256", "checksum", "signer", "bytes"]),
        ("total", ["size"]), ("announcement", ["change"]),
    ].flatMap { table, columns in columns.map { (table, $0) } }

    @Test(arguments: columns.indices)
    func aCellOfTheCacheMayHoldAnything(column: Int) throws {
        let (table, name) = Self.columns[column]
        for stranger in Self.strangers {
            let world = try World()
            try filledCache(world)
            try Self.damage(world.cachePath()) { db in
                // One row, or all: also what is unique otherwise, as far as SQLite's index lets it.
                try db.execute(sql: "UPDATE OR IGNORE \(table) SET \(name) = ?", arguments: [stranger])
            }
            let process = try world.process(disk: 1)
            #expect(try process.promotion.start(logger: world.logger))
            #expect(try process.router.description("a") == "user v1", "\(table).\(name) = \(stranger)")
            #expect(try process.router.description("c") == "global v1 no-user-model")
            process.cache.store([1], .user("d"), version: 1)
            _ = try process.promotion.poll(logger: world.logger)
            // Without the store what is left serves, or nothing: another model never does.
            world.objects.setAway(true)
            let alone = try world.process()
            #expect(try !alone.promotion.start(logger: world.logger))
            if let description = try? alone.router.description("a") {
                #expect(["user v1", "global v1 no-user-model", "none"].contains(description))
            }
            try? FileManager.default.removeItem(at: world.folder)
        }
    }

    /// Damage while the service runs, behind its back.
    @Test(arguments: columns.indices)
    func aCellMayChangeUnderARunningService(column: Int) throws {
        let (table, name) = Self.columns[column]
        let world = try World()
        try filledCache(world)
        let process = try world.process()
        _ = try process.promotion.start(logger: world.logger)
        for stranger in Self.strangers where !stranger.isNull {
            try process.cache.database.writeWithoutTransaction { db in
                try db.execute(sql: "UPDATE OR IGNORE \(table) SET \(name) = ?", arguments: [stranger])
            }
            _ = try? process.promotion.poll(logger: world.logger)
            try process.promotion.promote([.user("a"): 1], by: "t", reason: "")
            #expect(try process.router.description("a") == "user v1", "\(table).\(name) = \(stranger)")
            _ = try process.cache.active()
            process.cache.store([UInt8](repeating: 1, count: 100), .user("e"), version: 1)
        }
    }

    // MARK: The catalogue

    @Test(arguments: [
        "-9223372036854775808", "9223372036854775807", "0", "-1", "x", "", "2147483647",
    ])
    func aHistoryObjectMayHaveAnyName(_ name: String) throws {
        let world = try World()
        for version in 1...9 { try world.catalogue.activate([.user("a"): version]) }
        try world.objects.put(
            "\(Tenant.user("a").historyPrefix)/\(name).json", Array(#"{"changes":[]}"#.utf8), if: .always)
        #expect(throws: CatalogueError.self) { try world.catalogue.changes(of: .user("a")) }
    }

    /// A number that is next to the largest one there is.
    @Test func anObjectMayClaimTheLastVersion() throws {
        let world = try World()
        let prefix = Tenant.global.objectPrefix
        for number in ["9223372036854775807", "9223372036854775808", "-3", "0"] {
            try world.objects.put("\(prefix)/v\(number).model", [1], if: .always)
        }
        #expect(try world.publish(.global).version == 1)
        try world.objects.put("\(prefix)/v\(Int(Int32.max) - 1).model", [1], if: .always)
        #expect(throws: ArtifactError.noVersionLeft(key: "\(prefix)/v\(Int(Int32.max) - 1).model")) {
            try world.publish(.global)
        }
    }

    /// Objects of the catalogue with bytes changed, cut and put in: read as they were meant, or refused.
    @Test func tortureCatalogue() throws {
        let world = try World()
        for version in 1...9 { try world.catalogue.activate([.user("a"): version, .global: version]) }
        let sound = try world.contents()
        let keys = sound.keys.sorted()
        try Torture("catalogue").run(rounds: 300) { random in
            let key = Mutation.pick(keys, &random)
            try world.objects.put(key, Mutation.apply(to: sound[key] ?? [], &random), if: .always)
            var outcome = Torture.Outcome.accepted
            for tenant in [Tenant.user("a"), .global] {
                do {
                    _ = try world.catalogue.changes(of: tenant)
                    try world.catalogue.activate([tenant: 3])
                } catch is CatalogueError {
                    outcome = .refused
                }
            }
            _ = try world.catalogue.load(except: [:])
            for (key, bytes) in sound { try world.objects.put(key, bytes, if: .always) }
            return outcome
        }
    }

    /// Artifacts with anything wrong in them: the model is the one that was stored, or none.
    @Test func tortureArtifacts() throws {
        let world = try World()
        try world.publish(.global, score: -0.75)
        let sound = try #require(try world.store.bytes(of: .global, version: 1))
        let key = "\(Tenant.global.objectPrefix)/v1.model"
        try Torture("artifacts").run(rounds: 500) { random in
            let bytes = Mutation.apply(to: Array(sound.bytes), &random)
            try world.objects.put(key, bytes, if: .always)
            let header = Result { try world.store.header(of: .global, version: 1) }
            guard
                let model = try? ReadyModel(
                    ArtifactBytes(copying: bytes), key: nil, registry: world.registry)
            else { return .refused }
            guard (model.model as? ConstantModel)?.value == -0.75, bytes == Array(sound.bytes),
                try header.get() != nil
            else { throw Torture.Failure("a damaged artifact was taken") }
            return .accepted
        }
    }

    /// Any cells of the cache changed at once.
    @Test func tortureModelCache() throws {
        let world = try World()
        try filledCache(world)
        let sound = try Data(contentsOf: URL(filePath: world.cachePath()))
        try Torture("models.sqlite").run(rounds: 20) { random in
            for suffix in ["-wal", "-shm", ".is-damaged"] {
                try? FileManager.default.removeItem(atPath: world.cachePath() + suffix)
            }
            try sound.write(to: URL(filePath: world.cachePath()))
            try Self.damage(world.cachePath()) { db in
                for _ in 0...random.below(4) {
                    let (table, name) = Mutation.pick(Self.columns, &random)
                    try db.execute(
                        sql: "UPDATE OR IGNORE \(table) SET \(name) = ?",
                        arguments: [Mutation.pick(Self.strangers, &random)])
                }
            }
            let process = try world.process()
            guard try process.promotion.start(logger: world.logger),
                try process.router.description("a") == "user v1"
            else { throw Torture.Failure("the cache kept the catalogue from serving") }
            try process.cache.database.close()
            return .accepted
        }
    }

    /// One damaged manifest takes nothing from those whose manifests are sound.
    @Test func aDamagedManifestIsNamedAndTheRestServes() throws {
        let world = try World()
        for tenant in [Tenant.global, .user("a"), .user("b")] { try world.publish(tenant) }
        let first = try world.process()
        try first.promotion.promote([.global: 1, .user("a"): 1, .user("b"): 1], by: "t", reason: "")
        _ = try first.promotion.start(logger: world.logger)
        try world.objects.put(Tenant.user("a").manifestKey, Array("{".utf8), if: .always)
        try world.objects.put(Tenant.globalManifestKey, [], if: .always)
        #expect(Tenant.user("a").manifestKey != Tenant.user("b").manifestKey)
        // With what it knew before.
        let known = try world.process()
        #expect(try known.promotion.start(logger: world.logger))
        #expect(try known.router.description("a") == "user v1")
        // On a new machine, what can be read.
        let new = try world.process("new")
        #expect(try new.promotion.start(logger: world.logger))
        #expect(new.router.snapshot().version(of: .user("b")) == 1)
        #expect(new.router.snapshot().version(of: .user("a")) == nil)
        let damaged = try world.catalogue.load(except: [:]).damaged.map { "\($0)" }
        #expect(damaged.count == 2)
        #expect(damaged.contains { $0.hasPrefix(Tenant.user("a").manifestKey) })
    }
}
