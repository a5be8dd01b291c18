import DetectorAPI
import Foundation
import GRDB
import ObjectStore
import Testing

@testable import Models

/// The cache is a cache: it keeps within its size, survives its process, and is begun anew when it is damaged.
@Suite struct CacheTests {
    private let artifact = [UInt8](repeating: 1, count: 300)

    @Test func theLeastRecentlyUsedGoFirst() throws {
        let cache = try World().process(disk: 1_000).cache
        for index in 0..<3 { cache.store(artifact, .user("u\(index)"), version: 1) }
        // Used since, so the next one is older.
        Thread.sleep(forTimeInterval: 0.002)
        #expect(cache.bytes(.user("u0"), version: 1) != nil)
        cache.store(artifact, .user("u3"), version: 1)
        #expect(try cache.sizeBytes() == 900)
        #expect(cache.bytes(.user("u0"), version: 1) == artifact)
        #expect(cache.bytes(.user("u1"), version: 1) == nil)
    }

    @Test func theGlobalModelStays() throws {
        let cache = try World().process(disk: 1_000).cache
        cache.store(artifact, .global, version: 1)
        for index in 0..<10 { cache.store(artifact, .user("u\(index)"), version: 1) }
        #expect(try cache.sizeBytes() <= 1_000)
        #expect(cache.bytes(.global, version: 1) == artifact)
        #expect(cache.bytes(.user("u9"), version: 1) == artifact)
    }

    @Test func anArtifactIsCountedOnce() throws {
        let cache = try World().process().cache
        for _ in 0..<3 { cache.store(artifact, .global, version: 1) }
        #expect(try cache.sizeBytes() == 300)
        try cache.remove(.global)
        #expect(try cache.sizeBytes() == 0)
    }

    @Test func whatWasKeptIsThereAfterARestart() throws {
        let world = try World()
        let model = ActiveModel(version: 2, sha256: ArtifactHash(of: "x"), sequence: 7)
        try world.catalogue.activate([.global: 4])
        do {
            let cache = try world.process().cache
            cache.store([1, 2, 3], .global, version: 4)
            let shard = Catalogue.Shard(
                key: "models/catalogue/00.json", tag: VersionTag("t"),
                active: [.user("g"): model, .user("\u{0}a"): model, .user("\u{0}b"): ActiveModel(version: 3)])
            try cache.replace([shard], keys: [shard.key])
            cache.store([1, 2, 3], .global, version: 4)
        }
        let cache = try world.process().cache
        #expect(
            try cache.active()
                == [.user("g"): model, .user("\u{0}a"): model, .user("\u{0}b"): ActiveModel(version: 3)])
        #expect(try cache.shardTags() == ["models/catalogue/00.json": VersionTag("t")])
        #expect(cache.bytes(.global, version: 4) == [1, 2, 3])
    }

    @Test func aFileThatIsNoCacheIsMovedAside() throws {
        let world = try World()
        let path = world.cachePath()
        try Data(repeating: 7, count: 20_000).write(to: URL(filePath: path))
        let cache = try world.process().cache
        #expect(try cache.active().isEmpty)
        #expect(FileManager.default.fileExists(atPath: path + ".damaged"))
    }

    /// Damage in the middle of a file: whatever is hit, what comes out is right or nothing, and the next start is sound.
    @Test(arguments: 0..<8)
    func damageInsideIsFoundOut(seed: Int) throws {
        let world = try World()
        let path = world.cachePath()
        var generator = SeededGenerator(seed: UInt64(seed))
        let artifacts = (0..<30).map { _ in
            (0..<20_000).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        }
        do {
            let cache = try world.process().cache
            for (index, bytes) in artifacts.enumerated() {
                cache.store(bytes, .user("u\(index)"), version: 1)
            }
            try cache.database.close()
        }
        var file = try Data(contentsOf: URL(filePath: path))
        let start = 1_000 + generator.below(file.count - 3_000)
        for offset in start..<start + 2_000 { file[offset] = UInt8(truncatingIfNeeded: generator.next()) }
        try file.write(to: URL(filePath: path))
        for _ in 0..<2 {
            let cache = try world.process().cache
            for (index, bytes) in artifacts.enumerated() {
                let found = cache.bytes(.user("u\(index)"), version: 1)
                #expect(found == nil || found == bytes)
            }
            cache.store([1], .user("new"), version: 1)
        }
        // Whether it was begun anew or had only lost artifacts, it works.
        let cache = try world.process().cache
        cache.store([1], .user("new"), version: 1)
        #expect(cache.bytes(.user("new"), version: 1) == [1])
    }

    @Test func artifactsThatWereCheckedWithAnotherKeyAreNotUsed() throws {
        let cache = try World().process().cache
        cache.store(artifact, .global, version: 1, signer: Data([1]))
        #expect(cache.bytes(.global, version: 1, signer: Data([2])) == nil)
        #expect(cache.bytes(.global, version: 1, signer: Data()) == nil)
        cache.store(artifact, .global, version: 1, signer: Data([1]))
        #expect(cache.bytes(.global, version: 1, signer: Data([1])) == artifact)
    }

    /// The number of an artifact that was erased may be given again.
    @Test func anArtifactThatIsNotTheActiveOneIsNotUsed() throws {
        let cache = try World().process().cache
        cache.store([1], .user("a"), version: 1)
        let other = [UInt8(2)].withUnsafeBytes { ArtifactHash(of: $0) }
        let change = ModelChange(
            userID: "a", sequence: 1, to: 1, sha256: "\(other)", by: "", reason: "", timeMilliseconds: 0)
        try cache.apply([change], announcing: false)
        #expect(cache.bytes(.user("a"), version: 1) == nil)
        cache.store([2], .user("a"), version: 1)
        #expect(cache.bytes(.user("a"), version: 1) == [2])
    }

    @Test func artifactsOfErasedUsersGoWithTheManifest() throws {
        let cache = try World().process().cache
        for user in ["a", "b"] { cache.store(artifact, .user(user), version: 1) }
        let shard = Catalogue.Shard(
            key: "k", tag: VersionTag("2"), active: [.user("b"): ActiveModel(version: 1)])
        try cache.replace([shard], keys: ["k"])
        #expect(cache.bytes(.user("a"), version: 1) == nil)
        #expect(cache.bytes(.user("b"), version: 1) == artifact)
    }

    @Test func whatIsErasedIsOverwritten() throws {
        let world = try World()
        let cache = try world.process().cache
        let secret = Array("a secret that nobody else would write".utf8)
        cache.store(Array((0..<100).map { _ in secret }.joined()), .user("a"), version: 1)
        try cache.remove(.user("a"))
        for suffix in ["", "-wal"] {
            let data = (try? Data(contentsOf: URL(filePath: world.cachePath() + suffix))) ?? Data()
            #expect(data.range(of: Data(secret)) == nil)
        }
    }

    /// What is deleted in passing is overwritten too: a promotion that others have been told of.
    @Test func aPromotionThatWasToldLeavesNoTraceOfItsUser() throws {
        let world = try World()
        let cache = try world.process().cache
        // Erasing somebody else changes nothing of how others' rows are deleted.
        try cache.remove(.user("nobody"))
        let change = ModelChange(
            userID: "user-000035", sequence: 1, to: 1, by: "t", reason: "r", timeMilliseconds: 0)
        try cache.apply([change], announcing: true)
        try cache.forgetAnnouncements(through: try cache.announcements(limit: 10).lastRow)
        try cache.remove(.user("user-000035"))
        try cache.database.close()
        let file = try Data(contentsOf: URL(filePath: world.cachePath()))
        #expect(file.range(of: Data("user-000035".utf8)) == nil)
    }

    /// A file that was moved aside is erased with those who are in it.
    @Test func aDamagedFileAsideGoesWithTheFirstUserOfItWhoIsErased() throws {
        let world = try World()
        let aside = world.cachePath() + ".damaged"
        try Data("garbage with user-000035 in it".utf8).write(to: URL(filePath: world.cachePath()))
        let process = try world.process()
        #expect(try process.promotion.erase(.user("user-000036")) == Promotion.Erased())
        #expect(FileManager.default.fileExists(atPath: aside))
        #expect(try process.promotion.erase(.user("user-000035")).cached == 1)
        #expect(!FileManager.default.fileExists(atPath: aside))
    }

    @Test(arguments: [ResultCode.SQLITE_FULL, .SQLITE_IOERR_SHMSIZE])
    func aFullDiskIsCalledOne(code: ResultCode) throws {
        let error = try #require(LocalStateError(DatabaseError(resultCode: code)))
        #expect(error.description.contains("the disk of the data directory is full") && error.isRetryable)
    }

    /// Whoever runs the service reads which file it is, and what to do.
    @Test(
        arguments: [
            (.SQLITE_FULL, "make room", true), (.SQLITE_IOERR_WRITE, "make room", true),
            (.SQLITE_READONLY, "this service's user", false), (.SQLITE_CANTOPEN, "--data", false),
            (.SQLITE_BUSY, "another process", true), (.SQLITE_LOCKED, "another process", true),
            (.SQLITE_CORRUPT, "move the file", false), (.SQLITE_NOTADB, "move the file", false),
            (.SQLITE_IOERR, "read or written", true), (.SQLITE_MISUSE, "fails", false),
        ] as [(ResultCode, String, Bool)])
    func whatFailsIsNamed(code: ResultCode, advice: String, isRetryable: Bool) throws {
        let error = try #require(LocalStateError(DatabaseError(resultCode: code), path: "/d/jobs.sqlite"))
        #expect(
            error.description.contains("/d/jobs.sqlite") && error.description.contains(advice), "\(error)")
        #expect(error.isRetryable == isRetryable)
    }

    @Test func aDatabasesErrorsNameItsFile() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ml-local-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func failure(_ path: String, _ body: (LocalDatabase) throws -> Void) -> String {
            let error = #expect(throws: LocalStateError.self) {
                try body(try LocalDatabase(path: path, migrator: DatabaseMigrator()))
            }
            let text = error?.description ?? ""
            #expect(text.contains(path), "\(text)")
            return text
        }
        let path = folder.appending(path: "a.sqlite").path
        let full = failure(path) { database in
            try database.write { try $0.execute(sql: "CREATE TABLE t (b BLOB)") }
            try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA max_page_count = 2") }
            try database.write { try $0.execute(sql: "INSERT INTO t VALUES (zeroblob(1000000))") }
        }
        #expect(full.contains("full"))
        let readOnly = failure(path) { database in
            try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA query_only = ON") }
            try database.write { try $0.execute(sql: "DELETE FROM t") }
        }
        #expect(readOnly.contains("cannot be written"))
        #expect(failure("/proc/none/b.sqlite") { _ in }.contains("cannot be written"))
        try Data(repeating: 0x61, count: 20_000).write(to: URL(filePath: path))
        #expect(
            failure(path) { try $0.write { try $0.execute(sql: "CREATE TABLE u (i)") } }.contains("damaged"))
        // What the caller throws is the caller's.
        let memory = try LocalDatabase(path: nil, migrator: DatabaseMigrator())
        #expect(throws: CancellationError.self) { try memory.write { _ in throw CancellationError() } }
    }

    /// A process that was killed starts again also when there is no room for another byte.
    @Test func openingASoundCacheWritesNothing() throws {
        let world = try World()
        let before = try world.process()
        try world.publish(.global)
        try before.promotion.promote([.global: 1], by: "t", reason: "")
        func files() throws -> [Data] {
            try ["", "-wal"].map { try Data(contentsOf: URL(filePath: world.cachePath() + $0)) }
        }
        let written = try files()
        // The first still has it open, as far as its files are concerned: nothing is moved from one to the other.
        let after = try world.process()
        #expect(try files() == written)
        #expect(try after.cache.sizeBytes() == before.cache.sizeBytes())
        withExtendedLifetime(before) {}
    }

    /// A cache that has no disk left does not stop anybody.
    @Test func aFailingCacheIsAMiss() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        try process.cache.database.close()
        #expect(process.cache.bytes(.global, version: 1) == nil)
        try world.publish(.user("a"))
        try process.promotion.promote([.user("a"): 1], by: "t", reason: "")
        #expect(try process.router.description("a") == "user v1")
        #expect(try process.promotion.start(logger: world.logger))
        #expect(try process.router.description("a") == "user v1")
    }
}
