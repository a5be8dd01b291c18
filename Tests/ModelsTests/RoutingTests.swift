import DetectorAPI
import Foundation
import Testing

@testable import Models

/// A transaction is scored by its user's model or, for a reason that is told, by the global one.
@Suite struct RoutingTests {
    @Test func ownModelElseGlobalElseNone() throws {
        let world = try World()
        let process = try world.process()
        #expect(try process.router.description("a") == "none")
        try world.publish(.global)
        try world.publish(.user("a"))
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        #expect(try process.router.description("a") == "global v1 no-user-model")
        try process.promotion.promote([.user("a"): 1], by: "t", reason: "")
        #expect(try process.router.description("a") == "user v1")
        #expect(try process.router.description("b") == "global v1 no-user-model")
    }

    @Test func promotingAnOlderVersionRollsBack() throws {
        let world = try World()
        let process = try world.process()
        for _ in 0..<2 { try world.publish(.global) }
        try process.promotion.promote([.global: 2], by: "t", reason: "")
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        #expect(try process.router.description("a") == "global v1 no-user-model")
        #expect(try process.promotion.promote([.global: 1], by: "t", reason: "").isEmpty)
    }

    @Test func aFailedPromotionChangesNothing() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        _ = try world.store.publish(World.header(.global), payload: [1, 2, 3])
        _ = try world.store.publish(World.header(.global, detector: "stranger"), payload: try World.payload())
        _ = try world.store.publish(World.header(.global, threshold: .nan), payload: try World.payload())
        for version in [2, 3, 4, 99] {
            #expect(throws: (any Error).self) {
                try process.promotion.promote([.global: version], by: "t", reason: "")
            }
        }
        #expect(try world.catalogue.active(.global) == 1)
        #expect(try process.router.description("a") == "global v1 no-user-model")
    }

    @Test func aModelThatCannotBeLoadedFallsBackAndStaysActive() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        _ = try world.store.publish(World.header(.user("a")), payload: [1, 2, 3])
        _ = try world.catalogue.activate(
            [.global: 1, .user("a"): 1], by: "t", reason: "", timeMilliseconds: 0)
        #expect(try process.promotion.start(logger: world.logger))
        #expect(try process.router.description("a") == "global v1 load-failed")
        #expect(try world.catalogue.active(.user("a")) == 1)
    }

    @Test func quarantineFallsBackUntilPromotedAgain() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        for _ in 0..<2 { try world.publish(.user("a")) }
        try process.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        process.router.quarantine(.user("a"), version: 1, reason: "NaN")
        #expect(try process.router.description("a") == "global v1 quarantined")
        try process.promotion.promote([.user("a"): 2], by: "t", reason: "")
        #expect(try process.router.description("a") == "user v2")
    }

    @Test func anotherProcessHearsOfIt() throws {
        let world = try World()
        let (one, two) = (try world.process("one"), try world.process("two"))
        var cursor = world.events.read(after: nil, waitMilliseconds: 0).cursor
        try world.publish(.global)
        try one.promotion.promote([.global: 1], by: "t", reason: "")
        let heard = world.events.read(after: cursor, waitMilliseconds: 1_000)
        cursor = heard.cursor
        try two.promotion.apply(heard.changes)
        #expect(try two.router.description("a") == "global v1 no-user-model")
    }

    @Test func theStoreMayBeAwayAtStart() throws {
        let world = try World()
        try world.publish(.global)
        try world.process().promotion.promote([.global: 1], by: "t", reason: "")
        // The same machine, later: the catalogue's folder cannot be read, the cache knows.
        let away = ModelStore(objects: AwayObjectStore())
        let cache = try ModelCache(
            path: world.folder.appending(path: "a.sqlite").path, maximumSize: 1 << 30, logger: world.logger)
        let router = ModelRouter(
            store: away, cache: cache, registry: world.registry, maximumSize: 1 << 30, logger: world.logger)
        let promotion = Promotion(
            store: away, catalogue: Catalogue(objects: away.objects), cache: cache, router: router,
            events: world.events)
        #expect(try !promotion.start(logger: world.logger))
        #expect(try router.description("a") == "global v1 no-user-model")
    }

    @Test func memoryIsLimitedInBytesAndTheGlobalModelStays() throws {
        let world = try World()
        let process = try world.process(memory: 60_000)
        try world.publish(.global)
        var versions: [Tenant: Int] = [.global: 1]
        for index in 0..<50 {
            try world.publish(.user("u\(index)"))
            versions[.user("u\(index)")] = 1
        }
        try process.promotion.promote(versions, by: "t", reason: "")
        for round in 0..<3 {
            for index in 0..<50 {
                #expect(try process.router.description("u\(index)") == "user v1", "\(round)")
            }
        }
        #expect(process.router.sizeBytes <= 60_000)
        #expect(try process.router.description("x") == "global v1 no-user-model")
    }

    @Test func erasingAUserLeavesNothing() throws {
        let world = try World()
        let process = try world.process()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        try process.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        _ = try process.router.description("a")
        try process.promotion.erase(.user("a"), by: "t")
        #expect(try process.router.description("a") == "global v1 no-user-model")
        #expect(try world.store.versions(of: .user("a")).isEmpty)
        #expect(try process.cache.artifact(.user("a"), version: 1) == nil)
        #expect(try world.catalogue.changes(of: .user("a")).isEmpty)
    }
}
