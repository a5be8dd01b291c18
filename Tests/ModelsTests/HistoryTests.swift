import Foundation
import ObjectStore
import Testing

@testable import Models

/// What was active when, what it is called, who else promoted, and what is needed no more.
@Suite struct HistoryTests {
    private func promoted(_ versions: [Int], in world: World) throws -> World.Process {
        let process = try world.process()
        for _ in 0..<3 { try world.publish(.global) }
        for version in versions {
            try process.promotion.promote([.global: version], by: "t", reason: "because")
        }
        return process
    }

    // MARK: Names

    @Test func versionsAreNamedByWhatTheyAre() throws {
        let world = try World()
        let process = try promoted([1, 2], in: world)
        func version(_ name: String) throws -> Int {
            try process.promotion.version(named: try #require(VersionName(parsing: name)), of: .global)
        }
        #expect(try version("champion") == 2)
        #expect(try version("previous") == 1)
        #expect(try version("challenger") == 3)
        #expect(try version("v3") == 3)
        #expect(try version("3") == 3)
        // Rolling back makes the one before the active one, which can be gone back to in turn.
        try process.promotion.promote([.global: version("previous")], by: "t", reason: "")
        #expect(try version("champion") == 1)
        #expect(try version("previous") == 2)
        try process.promotion.promote([.global: 3], by: "t", reason: "")
        #expect(throws: ModelLoadError.unnamed("challenger", tenant: "global")) { try version("challenger") }
        #expect(throws: ModelLoadError.unnamed("previous", tenant: "nobody")) {
            try process.promotion.version(named: .previous, of: .user("nobody"))
        }
        for text in ["", "v", "0", "v0", "-1", "+1", "latest", "99999999999", "v 1", "1.0"] {
            #expect(VersionName(parsing: text) == nil, "\(text)")
        }
    }

    /// The number of a version whose artifact is gone is not given again: verdicts and the history name it.
    @Test(arguments: [Tenant.global, .user("a")]) func aNumberIsNotGivenTwice(tenant: Tenant) throws {
        let world = try World()
        let process = try world.process()
        for version in 1...6 {
            try world.publish(tenant)
            try process.promotion.promote([tenant: version], by: "t", reason: "")
        }
        try world.objects.delete(world.store.artifactKey(tenant, 6))
        #expect(try world.store.nextVersion(of: tenant) == 7)
        if let user = tenant.userID {
            #expect(try world.store.versions(inShard: Tenant.shard(user)).next(of: user) == 7)
        }
        #expect(try world.publish(tenant).version == 7)
        // Also when the newest changes are of older ones, and an old part of the history is damaged.
        for version in [1, 2, 3, 4, 5] {
            try process.promotion.promote([tenant: version], by: "t", reason: "")
        }
        try world.objects.delete(world.store.artifactKey(tenant, 7))
        #expect(try world.store.nextVersion(of: tenant) == 7)
        let first = try #require(try world.objects.listAll(prefix: tenant.historyPrefix).first)
        try world.objects.put(first.key, [1], if: .always)
        #expect(try world.store.nextVersion(of: tenant) == 7)
        // Who was erased begins anew.
        if tenant != .global {
            _ = try process.promotion.erase(tenant)
            #expect(try world.publish(tenant).version == 1)
        }
    }

    @Test func anotherArtifactUnderTheSameNumberIsNoStepBack() throws {
        let world = try World()
        let process = try promoted([1, 2], in: world)
        let hash = ArtifactHash(of: "another artifact")
        try world.catalogue.activate(
            [Activation(.global, version: 2, sha256: hash)], by: "t", reason: "", timeMilliseconds: 43)
        let last = try #require(try world.catalogue.changes(of: .global).last)
        #expect(last.from == 2 && last.to == 2)
        #expect(try process.promotion.version(named: .previous, of: .global) == 1)
    }

    // MARK: What a change says

    @Test func aChangeKeepsTheGatesTableOfItsVersion() throws {
        let world = try World()
        let process = try world.process()
        var header = World.header(.global)
        header.jobID = "job-1"
        header.gate = [GateCheck("alert_rate", 0.02, .atMost, 0.01), GateCheck("auroc", 0.9, .atLeast, 0.8)]
        _ = try world.store.publish(header, payload: try World.payload())
        try process.promotion.promote([.global: 1], by: "training", reason: nil)
        let change = try #require(try Catalogue(objects: world.objects).changes(of: .global).first)
        #expect(change.gate == header.gate)
        #expect(change.gate?.map(\.isPassed) == [false, true])
        #expect(change.reason == "job job-1")
        #expect(change.by == "training")
        #expect(change.timeMilliseconds == 42)
    }

    @Test func whatIsActiveAlreadyIsNoChange() throws {
        let world = try World()
        let process = try promoted([2], in: world)
        #expect(try process.promotion.promote([.global: 2], by: "t", reason: "again").isEmpty)
        #expect(try world.catalogue.changes(of: .global).count == 1)
    }

    // MARK: Two at once

    /// A process with v1 active. When it has looked at what is active and loads v3, another promotes a version, once.
    private func interrupted(by version: Int, in world: World) throws -> World.Process {
        let one = try promoted([1], in: world)
        let other = try world.process("b")
        _ = try other.promotion.start(logger: world.logger)
        let interfered = Interference()
        world.objects.beforeGet { key in
            guard key.hasSuffix("v3.model"), interfered.isFirst() else { return }
            _ = try? other.promotion.promote([.global: version], by: "other", reason: "")
        }
        return one
    }

    @Test func ofTwoWhoPromoteAtOnceOneIsTold() throws {
        let world = try World()
        let one = try interrupted(by: 2, in: world)
        #expect(throws: CatalogueError.overtaken(tenant: "global", active: 2, by: "other")) {
            try one.promotion.promote([.global: 3], by: "one", reason: "")
        }
        #expect(try world.catalogue.active(.global) == 2)
        #expect(try world.catalogue.changes(of: .global).map(\.by) == ["t", "other"])
        // Whoever has seen that may still want it.
        try one.promotion.promote([.global: 3], by: "one", reason: "")
        #expect(try world.catalogue.active(.global) == 3)
    }

    @Test func bothMayWantTheSame() throws {
        let world = try World()
        let one = try interrupted(by: 3, in: world)
        #expect(try one.promotion.promote([.global: 3], by: "one", reason: "").isEmpty)
        #expect(try world.catalogue.changes(of: .global).map(\.by) == ["t", "other"])
    }

    @Test func oneOfManyOvertakesWhatSomebodyElseHasPromoted() throws {
        let world = try World()
        let one = try interrupted(by: 2, in: world)
        let change = try one.promotion.promote([.global: 3], overtakes: true, by: "one", reason: "").first
        #expect(change?.from == 2 && change?.to == 3)
        #expect(try world.catalogue.active(.global) == 3)
    }

    // MARK: What is needed no more

    @Test func packsStayWhileSomebodyMayNeedThem() throws {
        let world = try World()
        let users = Array((0...).lazy.map { "user-\($0)" }.filter { Tenant.shard($0) == "3f" }.prefix(2))
        func pack(_ name: String, created: Int64) throws -> [Tenant: PackPlace] {
            let versions = try world.store.versions(inShard: "3f")
            var writer = world.store.packWriter(createdMilliseconds: created)
            for user in users {
                var header = World.header(.user(user))
                header.version = versions.next(of: user)
                try writer.add(header, payload: try World.payload())
            }
            return Dictionary(
                uniqueKeysWithValues: try world.store.publish(writer, shard: "3f", name: name).map {
                    (.user($0.userID), $0.place)
                })
        }
        func activate(_ version: Int, _ places: [Tenant: PackPlace], at time: Int64) throws {
            try world.catalogue.activate(
                places.map { Activation($0.key, version: version, place: $0.value) }, by: "t", reason: "",
                timeMilliseconds: time)
        }
        let cleanup = PackCleanup(store: world.store, catalogue: world.catalogue)
        func unneeded(since moment: Int64) throws -> [String] {
            try cleanup.unneeded(since: moment).map { String($0.key.split(separator: "/").last ?? "") }
        }
        let first = try pack("1", created: 100)
        _ = try pack("candidates", created: 150)
        try activate(1, first, at: 200)
        let third = try pack("3", created: 300)
        try activate(3, third, at: 400)
        let fourth = try pack("4", created: 500)
        try activate(4, fourth, at: 600)

        // Before 600 version 3 was active, and a roll-back goes to it; version 1 was active until 400.
        #expect(try unneeded(since: 100).isEmpty)
        #expect(try unneeded(since: 151) == ["candidates.pack"])
        #expect(try unneeded(since: 400) == ["candidates.pack"])
        #expect(try unneeded(since: 401) == ["1.pack", "candidates.pack"])
        #expect(try unneeded(since: 10_000) == ["1.pack", "candidates.pack"])
        try cleanup.remove(cleanup.unneeded(since: 10_000))
        #expect(try unneeded(since: 10_000).isEmpty)
        #expect(try world.store.versions(of: .user(users[0])) == [3, 4])

        // Where nobody can tell what is named, nothing is removed.
        try world.objects.put("models/catalogue/00.json", [1], if: .always)
        #expect(throws: CatalogueError.self) { try cleanup.unneeded(since: 10_000) }
    }

    @Test func olderChangesAreLookedIntoWhereTheyAreLateEnough() throws {
        let world = try World()
        let user = try #require((0...).lazy.map { "user-\($0)" }.first { Tenant.shard($0) == "3f" })
        let versions = try world.store.versions(inShard: "3f")
        var header = World.header(.user(user))
        header.version = versions.next(of: user)
        var writer = world.store.packWriter(createdMilliseconds: 1)
        try writer.add(header, payload: try World.payload())
        let place = try #require(try world.store.publish(writer, shard: "3f", name: "job").first?.place)
        // So many changes that the first is folded away.
        for time in 1...9 {
            try world.catalogue.activate(
                [Activation(.user(user), version: time, place: time == 1 ? place : nil)], by: "t", reason: "",
                timeMilliseconds: Int64(time))
        }
        let cleanup = PackCleanup(store: world.store, catalogue: world.catalogue)
        #expect(try cleanup.unneeded(since: 2).isEmpty)
        #expect(try cleanup.unneeded(since: 3).map(\.key) == [place.pack])
    }
}

/// Lets one pass.
private final class Interference: Sendable {
    private let lock = NSLock()
    private nonisolated(unsafe) var isOver = false  // only touched inside the lock

    func isFirst() -> Bool {
        lock.withLock {
            defer { isOver = true }
            return !isOver
        }
    }
}
