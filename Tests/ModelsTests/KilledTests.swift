import Foundation
import ObjectStore
import Synchronization
import Testing

@testable import Models

/// A process that is killed while it stores and promotes leaves something whole: what it had done counts, and the next
/// start does or tells the rest.
@Suite struct KilledTests {
    /// Events that a dead process cannot send.
    private final class MortalEvents: ModelEvents {
        let events = InProcessModelEvents()
        private let objects: ScriptedObjectStore
        let diesOnPublish = Mutex(false)

        init(_ objects: ScriptedObjectStore) { self.objects = objects }

        private struct Dead: Error {}

        func publish(_ changes: [ModelChange]) throws {
            if objects.isDead || diesOnPublish.withLock({ $0 }) { throw Dead() }
            events.publish(changes)
        }

        func erase(_ tenant: Tenant) throws -> Int { events.erase(tenant) }

        func read(after cursor: String?, waitMilliseconds: Int) throws -> (
            changes: [ModelChange], cursor: String
        ) {
            try events.read(after: cursor, waitMilliseconds: waitMilliseconds)
        }

        func told() throws -> [Int?] { try read(after: "0", waitMilliseconds: 0).changes.map(\.to) }
    }

    private func world() throws -> (World, MortalEvents) {
        let world = try World()
        let events = MortalEvents(world.objects)
        try world.publish(.global)
        try world.publish(.user("a"))
        try world.process(events: events).promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        return (world, events)
    }

    /// What a start finds, and another process that was alive all the time.
    private func after(
        _ world: World, _ events: MortalEvents, other: World.Process
    ) throws -> (restarted: String, other: String) {
        world.objects.revive()
        events.diesOnPublish.withLock { $0 = false }
        let restarted = try world.process(events: events)
        #expect(try restarted.promotion.start(logger: world.logger))
        try other.promotion.apply(events.read(after: "0", waitMilliseconds: 0).changes)
        return (try restarted.router.description("a"), try other.router.description("a"))
    }

    @Test func betweenObjectAndManifest() throws {
        let (world, events) = try world()
        let other = try world.process("other", events: events)
        #expect(try other.promotion.start(logger: world.logger))
        world.objects.die { $0.hasSuffix("v2.model") }
        #expect(throws: ObjectStoreError.self) { try world.publish(.user("a")) }
        let found = try after(world, events, other: other)
        #expect(found.restarted == "user v1")
        #expect(found.other == "user v1")
        // It is whole, and can be promoted; or the next one is stored beside it.
        #expect(try world.store.header(of: .user("a"), version: 2)?.version == 2)
        #expect(try world.publish(.user("a")).version == 3)
        try other.promotion.promote([.user("a"): 2], by: "t", reason: "")
        #expect(try other.router.description("a") == "user v2")
    }

    @Test func betweenPackAndManifest() throws {
        let (world, events) = try world()
        let other = try world.process("other", events: events)
        #expect(try other.promotion.start(logger: world.logger))
        let shard = Tenant.shard("a")
        func publish() throws -> [ModelStore.PackedVersion] {
            var header = World.header(.user("a"))
            header.version = try world.store.versions(inShard: shard).next(of: "a")
            var writer = world.store.packWriter(createdMilliseconds: 1)
            try writer.add(header, payload: try World.payload())
            return try world.store.publish(writer, shard: shard, name: "job")
        }
        world.objects.die { $0.hasSuffix("job.pack") }
        #expect(throws: ObjectStoreError.self) { try publish() }
        let found = try after(world, events, other: other)
        #expect(found.restarted == "user v1")
        // The job that is run again finds its pack, and promotes what is in it.
        let packed = try publish()
        #expect(packed.map(\.version) == [2])
        try other.promotion.promote(
            [.user("a"): 2], places: [.user("a"): packed[0].place], by: "t", reason: "")
        #expect(try other.router.description("a") == "user v2")
    }

    @Test func betweenManifestAndEverythingElse() throws {
        let (world, events) = try world()
        let other = try world.process("other", events: events)
        #expect(try other.promotion.start(logger: world.logger))
        try world.publish(.user("a"))
        let process = try world.process(events: events)
        #expect(try process.promotion.start(logger: world.logger))
        world.objects.die { $0 == Tenant.user("a").manifestKey }
        #expect(throws: ObjectStoreError.self) {
            try process.promotion.promote([.user("a"): 2], by: "t", reason: "")
        }
        #expect(try process.router.description("a") == "user v1")
        let toldBefore = try events.told()
        // The catalogue says that it has happened: it has.
        let found = try after(world, events, other: other)
        #expect(found.restarted == "user v2")
        // And those are told whom the dead one did not tell.
        #expect(try events.told() == toldBefore + [2])
        #expect(found.other == "user v2")
        #expect(try world.catalogue.changes(of: .user("a")).map(\.to) == [1, 2])
    }

    @Test func betweenManifestAndEvent() throws {
        let (world, events) = try world()
        let other = try world.process("other", events: events)
        #expect(try other.promotion.start(logger: world.logger))
        try world.publish(.user("a"))
        events.diesOnPublish.withLock { $0 = true }
        // Redis is told first which version is current, then the event is sent; both are done again.
        #expect(
            try world.process(events: events).promotion.promote([.user("a"): 2], by: "t", reason: "").count
                == 1)
        let found = try after(world, events, other: other)
        #expect(found.restarted == "user v2")
        #expect(found.other == "user v2")
        #expect(try events.told().last == 2)
    }

    @Test func betweenTheManifestsOfSeveralShards() throws {
        let (world, events) = try world()
        let users = ["a", "b", "c", "d"]
        for user in users.dropFirst() { try world.publish(.user(user)) }
        try world.publish(.user("a"))
        let keys = users.map { Tenant.user($0).manifestKey }.sorted()
        try #require(Set(keys).count == users.count)
        let process = try world.process(events: events)
        world.objects.die { $0 == keys[1] }
        let versions = Dictionary(uniqueKeysWithValues: users.map { (Tenant.user($0), $0 == "a" ? 2 : 1) })
        #expect(throws: ObjectStoreError.self) {
            try process.promotion.promote(versions, by: "t", reason: "")
        }
        world.objects.revive()
        // Two of four are active; doing it again does the others and changes nothing twice.
        let restarted = try world.process(events: events)
        #expect(try restarted.promotion.start(logger: world.logger))
        #expect(try restarted.promotion.promote(versions, by: "t", reason: "").count == 2)
        for (tenant, version) in versions { #expect(try world.catalogue.active(tenant) == version) }
        #expect(try world.catalogue.changes(of: .user("b")).count == 1)
    }
}
