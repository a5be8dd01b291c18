import DetectorAPI
import Foundation
import GRDB
import ObjectStore
import Synchronization
import Testing

@testable import Models

/// A promotion has happened or it has not, and everybody comes to know.
@Suite struct PromotionTests {
    /// Events that can be away.
    private final class FlakyEvents: ModelEvents {
        let events = InProcessModelEvents()
        let isAway = Mutex(false)

        func publish(_ changes: [ModelChange]) throws {
            if isAway.withLock({ $0 }) {
                throw ObjectStoreError.unavailable(location: "events", reason: "away")
            }
            events.publish(changes)
        }

        func erase(_ tenant: Tenant) throws -> Int { events.erase(tenant) }

        func read(after cursor: String?, waitMilliseconds: Int) throws -> (
            changes: [ModelChange], cursor: String
        ) {
            try events.read(after: cursor, waitMilliseconds: waitMilliseconds)
        }
    }

    @Test func promotingSaysWhatChanged() throws {
        let world = try World()
        let process = try world.process()
        for _ in 0..<2 { try world.publish(.global) }
        try process.promotion.promote([.global: 1], by: "me", reason: "first")
        let changes = try process.promotion.promote([.global: 2], by: "you", reason: "second")
        let artifact = try #require(try world.store.bytes(of: .global, version: 2))
        #expect(
            changes == [
                ModelChange(
                    userID: nil, sequence: 2, from: 1, to: 2, sha256: "\(ArtifactHash(of: artifact.bytes))",
                    by: "you", reason: "second", timeMilliseconds: 42)
            ])
        #expect(try world.catalogue.changes(of: .global).last == changes[0])
    }

    @Test func promotingAnOlderVersionRollsBack() throws {
        let world = try World()
        let process = try world.process()
        for _ in 0..<2 { try world.publish(.global) }
        try process.promotion.promote([.global: 2], by: "t", reason: "")
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        #expect(try process.router.description("a") == "global v1 no-user-model")
        #expect(try process.promotion.promote([.global: 1], by: "t", reason: "").isEmpty)
        #expect(try world.catalogue.changes(of: .global).map(\.to) == [2, 1])
    }

    @Test func aFailedPromotionChangesNothing() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        _ = try world.store.publish(World.header(.global), payload: [1, 2, 3])
        try world.publish(.global, detector: "stranger")
        _ = try world.store.publish(World.header(.global, threshold: .nan), payload: try World.payload())
        try world.publish(.global, score: .nan)
        try world.publish(.global)  // a good one, whose catalogue will be away
        let contents = try world.contents()
        let active = try process.cache.active()
        for version in [2, 3, 4, 5, 99, -1] {
            #expect(throws: (any Error).self) {
                try process.promotion.promote([.global: version], by: "t", reason: "")
            }
        }
        world.objects.setAway { $0.hasPrefix("models/catalogue/") }
        #expect(throws: ObjectStoreError.self) {
            try process.promotion.promote([.global: 6], by: "t", reason: "")
        }
        world.objects.setAway(false)
        #expect(try world.contents() == contents)
        #expect(try process.cache.active() == active)
        #expect(try process.router.description("a") == "global v1 no-user-model")
        #expect(try world.events.read(after: "1", waitMilliseconds: 0).changes.isEmpty)
    }

    /// One version that cannot serve holds up those that are promoted with it.
    @Test func versionsArePromotedTogetherOrNotAtAll() throws {
        let world = try World()
        let process = try world.process()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        #expect(throws: ModelLoadError.self) {
            try process.promotion.promote([.global: 1, .user("a"): 1, .user("b"): 1], by: "t", reason: "")
        }
        #expect(try world.catalogue.all().isEmpty)
    }

    @Test func anotherProcessHearsOfIt() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        let cursor = try world.events.read(after: nil, waitMilliseconds: 0).cursor
        try world.publish(.global)
        try one.promotion.promote([.global: 1], by: "t", reason: "")
        let heard = try world.events.read(after: cursor, waitMilliseconds: 0)
        try two.promotion.apply(heard.changes)
        #expect(try two.router.description("a") == "global v1 no-user-model")
        #expect(try two.cache.active() == world.catalogue.all())
    }

    /// Two promoters may tell of their changes in another order than the catalogue has them in.
    @Test func anOlderEventDoesNotUndoANewerOne() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        for _ in 0..<2 { for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) } }
        let first = try one.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        let second = try one.promotion.promote([.global: 2, .user("a"): 2], by: "t", reason: "")
        try two.promotion.apply(second)
        try two.promotion.apply(first)
        #expect(try two.router.description("a") == "user v2")
        #expect(try two.router.description("b") == "global v2 no-user-model")
        #expect(try two.cache.active() == world.catalogue.all())
    }

    /// Whoever can write to the stream of events can say what they like: what is active the catalogue says.
    @Test(arguments: [nil, 1, 7, Int.max, Int.min])
    func aForgedEventChangesNothing(version: Int?) throws {
        let world = try World()
        let process = try world.process()
        for _ in 0..<2 { for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) } }
        try process.promotion.promote([.global: 2, .user("a"): 2], by: "t", reason: "")
        let before = try process.cache.active()
        for (user, sequence) in [
            (nil, 9), ("a", 9), ("a", Int.max), (nil, Int.max), ("b", 1), (nil, Int.min),
        ] {
            let forged = ModelChange(
                userID: user, sequence: sequence, from: version, to: version, by: "", reason: "",
                timeMilliseconds: 0)
            #expect(try process.promotion.apply([forged]).isEmpty)
        }
        #expect(try process.router.description("a") == "user v2")
        #expect(try process.router.description("b") == "global v2 no-user-model")
        #expect(try process.cache.active() == before)
        // And what is promoted afterwards serves.
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        #expect(try process.router.description("b") == "global v1 no-user-model")
    }

    /// Promoting what the catalogue has active makes it serve in a process that did not know.
    @Test func promotingTheActiveVersionServesIt() throws {
        let world = try World()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        try world.process("one").promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        let two = try world.process("two")
        #expect(try two.router.description("a") == "none")
        #expect(try two.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "").isEmpty)
        #expect(try two.router.description("a") == "user v1")
    }

    /// Events may be lost, or never be sent: a look into the catalogue finds what has changed.
    @Test func aPromotionNobodyTellsOfIsFound() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        for _ in 0..<2 {
            for tenant in [Tenant.global, .user("a"), .user("b")] { try world.publish(tenant) }
        }
        try one.promotion.promote([.global: 1, .user("a"): 1, .user("b"): 1], by: "t", reason: "")
        #expect(try two.promotion.start(logger: world.logger))
        _ = try two.router.description("b")
        try one.promotion.promote([.user("a"): 2, .global: 2], by: "t", reason: "")
        _ = try one.promotion.erase(.user("b"))
        #expect(try two.promotion.poll(logger: world.logger).count == 3)
        #expect(try two.router.description("a") == "user v2")
        #expect(try two.router.description("b") == "global v2 no-user-model")
        #expect(two.cache.bytes(.user("b"), version: 1) == nil)
        #expect(try two.promotion.poll(logger: world.logger).isEmpty)
        let gets = world.objects.gets.count
        #expect(try two.promotion.poll(logger: world.logger).isEmpty)
        #expect(world.objects.gets.count == gets)
    }

    /// Batches go on with the old model while the new one is away.
    @Test func aNewGlobalModelServesOnceItIsHere() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        for _ in 0..<2 { try world.publish(.global) }
        try two.promotion.apply(one.promotion.promote([.global: 1], by: "t", reason: ""))
        let second = try one.promotion.promote([.global: 2], by: "t", reason: "")
        world.objects.setAway(true)
        #expect(throws: ObjectStoreError.self) { try two.promotion.apply(second) }
        #expect(try two.router.description("a") == "global v1 no-user-model")
        // A start in the meantime finds a model that it can load.
        let restarted = try world.process("two")
        #expect(try !restarted.promotion.start(logger: world.logger))
        #expect(try restarted.router.description("a") == "global v1 no-user-model")
        world.objects.setAway(false)
        #expect(try two.promotion.start(logger: world.logger))
        #expect(try two.router.description("a") == "global v2 no-user-model")
    }

    /// A worker that lacks the detector goes on with the model it has, and says so.
    @Test func aNewGlobalModelThatCannotBeLoadedHereLeavesTheOldOne() throws {
        let (world, poor) = (try World(), try World())
        let one = try world.process("one")
        world.registry.register(ConstantDetector(id: "new"))
        try world.publish(.global)
        try world.publish(.global, detector: "new")
        let router = ModelRouter(
            store: world.store, cache: try poor.process().cache, registry: poor.registry,
            maximumSize: 1 << 20, logger: world.logger)
        try router.apply(one.promotion.promote([.global: 1], by: "t", reason: ""))
        try router.apply(one.promotion.promote([.global: 2], by: "t", reason: ""))
        #expect(try router.description("a") == "global v1 no-user-model")
        #expect(router.quarantinedModels.map(\.version) == [2])
        poor.registry.register(ConstantDetector(id: "new"))
        #expect(try router.description("a") == "global v2 no-user-model")
    }

    @Test func theStoreMayBeAwayAtStart() throws {
        let world = try World()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        try world.process().promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        world.objects.setAway(true)
        let process = try world.process()
        #expect(try !process.promotion.start(logger: world.logger))
        #expect(try process.router.description("a") == "user v1")
        #expect(try process.router.description("b") == "global v1 no-user-model")
    }

    @Test func aStartReadsOnlyWhatHasChanged() throws {
        let world = try World()
        for tenant in [Tenant.global, .user("a"), .user("b")] { try world.publish(tenant) }
        try world.catalogue.activate([.global: 1, .user("a"): 1, .user("b"): 1])
        #expect(try world.process().promotion.start(logger: world.logger))
        try world.catalogue.activate([.user("a"): 2])
        let before = world.objects.gets.count
        let process = try world.process()
        #expect(try process.promotion.start(logger: world.logger))
        #expect(world.objects.gets.dropFirst(before) == [Tenant.user("a").manifestKey])
        #expect(process.router.snapshot().version(of: .user("a")) == 2)
        #expect(process.router.snapshot().version(of: .user("b")) == 1)
    }

    /// What others could not be told they are told later, even by another process on the same machine.
    @Test func eventsThatFailAreToldLater() throws {
        let world = try World()
        let events = FlakyEvents()
        for _ in 0..<2 { try world.publish(.global) }
        events.isAway.withLock { $0 = true }
        let changes = try world.process(events: events).promotion.promote([.global: 1], by: "t", reason: "")
        #expect(changes.count == 1)
        #expect(try world.catalogue.active(.global) == 1)
        #expect(try events.read(after: "0", waitMilliseconds: 0).changes.isEmpty)
        events.isAway.withLock { $0 = false }
        let process = try world.process(events: events)
        #expect(try process.promotion.start(logger: world.logger))
        #expect(try events.read(after: "0", waitMilliseconds: 0).changes == changes)
        let more = try process.promotion.promote([.global: 2], by: "t", reason: "")
        #expect(try events.read(after: "0", waitMilliseconds: 0).changes == changes + more)
    }

    /// The store was killed before it could answer: what it has written nobody has told of.
    @Test func aPromotionWhoseAnswerWasLostIsToldWhenItIsAskedForAgain() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        for _ in 0..<2 { for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) } }
        try one.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        #expect(try two.promotion.start(logger: world.logger))
        for tenant in [Tenant.global, .user("a")] {
            let cursor = try world.events.read(after: nil, waitMilliseconds: 0).cursor
            world.objects.die { $0 == tenant.manifestKey }
            #expect(throws: ObjectStoreError.self) {
                try one.promotion.promote([tenant: 2], by: "t", reason: "first")
            }
            #expect(world.objects.isDead)
            world.objects.revive()
            #expect(try one.promotion.promote([tenant: 2], by: "t", reason: "again").isEmpty)
            let heard = try world.events.read(after: cursor, waitMilliseconds: 0).changes
            #expect(heard.map(\.tenant) == [tenant] && heard.map(\.to) == [2])
            try two.promotion.apply(heard)
        }
        for process in [one, two] {
            #expect(try process.router.descriptions(["a", "b"]) == ["user v2", "global v2 no-user-model"])
        }
    }

    /// A full disk, say.
    @Test func aCacheThatCannotBeWrittenKeepsNobodyFromFollowing() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        for tenant in [Tenant.global, .user("a")] { for _ in 0..<2 { try world.publish(tenant) } }
        try one.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        #expect(try two.promotion.start(logger: world.logger))
        for table in ["active", "artifact"] {
            try two.cache.database.write { db in
                try db.execute(
                    sql: """
                        CREATE TRIGGER full_\(table) BEFORE INSERT ON \(table)
                        BEGIN SELECT RAISE(ABORT, 'disk full'); END
                        """)
            }
        }
        try one.promotion.promote([.global: 2, .user("a"): 2], by: "t", reason: "")
        #expect(try two.promotion.poll(logger: world.logger).count == 2)
        #expect(try two.router.descriptions(["a", "b"]) == ["user v2", "global v2 no-user-model"])
        #expect(try two.cache.active() != world.catalogue.all())
        // Nor is what it did not learn taken for what serves when the store is away, too.
        world.objects.setAway(true)
        #expect(try !two.promotion.start(logger: world.logger))
        #expect(try two.router.descriptions(["a", "b"]) == ["user v2", "global v2 no-user-model"])
        world.objects.setAway(false)
        // Each poll looks again, and when there is room the cache has what was missed.
        #expect(try two.promotion.poll(logger: world.logger).isEmpty)
        try two.cache.database.write { db in
            for table in ["active", "artifact"] { try db.execute(sql: "DROP TRIGGER full_\(table)") }
        }
        #expect(try two.promotion.poll(logger: world.logger).isEmpty)
        #expect(try two.cache.active() == world.catalogue.all())
    }

    @Test func erasingAUserLeavesNothing() throws {
        let world = try World()
        let (process, other) = (try world.process(), try world.process("other"))
        for tenant in [Tenant.global, .user("a"), .user("ab")] { try world.publish(tenant) }
        for round in 0..<3 {
            try world.publish(.user("a"))
            try process.promotion.promote(
                [.global: 1, .user("a"): round + 1, .user("ab"): 1], by: "t", reason: "")
        }
        for version in 1...3 { try world.catalogue.activate([.user("a"): version]) }
        _ = try other.promotion.start(logger: world.logger)
        for router in [process.router, other.router] { _ = try router.description("a") }
        let cursor = try world.events.read(after: nil, waitMilliseconds: 0).cursor
        let erased = try process.promotion.erase(.user("a"))
        #expect(erased.wasKnown && erased.versions == 4 && erased.history > 0 && erased.cached > 0)
        #expect(erased.events > 0)
        // Nothing in the stream names the user: followers are sent to the catalogue.
        #expect(throws: ModelEventsError.placeLost) {
            try world.events.read(after: cursor, waitMilliseconds: 0)
        }
        #expect(try other.promotion.start(logger: world.logger))
        for process in [process, other] {
            #expect(try process.router.description("a") == "global v1 no-user-model")
            #expect((1...4).allSatisfy { process.cache.bytes(.user("a"), version: $0) == nil })
            #expect(try process.cache.active()[.user("a")] == nil)
        }
        #expect(try world.catalogue.changes(of: .user("a")).isEmpty)
        #expect(try world.contents().keys.allSatisfy { !$0.contains("/a/") })
        // Nobody else's.
        #expect(try process.router.description("ab") == "user v1")
        // Erased again, or begun anew.
        #expect(try process.promotion.erase(.user("a")) == Promotion.Erased())
        try world.publish(.user("a"), score: -0.25)
        let changes = try process.promotion.promote([.user("a"): 1], by: "t", reason: "")
        try other.promotion.apply(changes)
        for process in [process, other] {
            guard case .user(let model) = try process.router.route("a") else {
                Issue.record("the user's own model does not serve")
                continue
            }
            #expect((model.model as? ConstantModel)?.value == -0.25)
        }
    }

    /// An artifact that somebody has replaced in the object store is not what was promoted.
    @Test func aReplacedArtifactDoesNotServe() throws {
        let world = try World()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        try world.process("one").promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        let key = Tenant.user("a").objectPrefix + "/v1.model"
        var header = World.header(.user("a"))
        header.version = 1
        let other = try Artifact.encode(header, payload: try World.payload(score: -0.9), key: nil)
        try world.objects.put(key, other, if: .always)
        let process = try world.process("two")
        _ = try process.promotion.start(logger: world.logger)
        #expect(try process.router.description("a") == "global v1 load-failed")
        // Unless it is promoted as it is now.
        let changes = try process.promotion.promote([.user("a"): 1], by: "t", reason: "")
        #expect(changes.map(\.from) == [1])
        #expect(try process.router.description("a") == "user v1")
    }

    @Test func unsignedModelsAreNotPromotedWhereAKeyIsConfigured() throws {
        let world = try World(hmacKey: "secret")
        let unsigned = ModelStore(objects: world.objects)
        _ = try unsigned.publish(World.header(.global), payload: try World.payload())
        let process = try world.process()
        #expect(throws: ArtifactError.wrongSignature) {
            try process.promotion.promote([.global: 1], by: "t", reason: "")
        }
        try world.publish(.global)
        try process.promotion.promote([.global: 2], by: "t", reason: "")
        #expect(try process.router.description("a") == "global v2 no-user-model")
    }
}
