import DetectorAPI
import Foundation
import ObjectStore
import Synchronization
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

    @Test func usersWithoutAModelCostNoIO() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        world.objects.setAway(true)
        try process.cache.database.close()
        let before = world.objects.gets.count
        for index in 0..<100 {
            #expect(try process.router.description("u\(index)") == "global v1 no-user-model")
        }
        #expect(world.objects.gets.count == before)
    }

    @Test func aModelThatCannotBeLoadedFallsBackAndStaysActive() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        _ = try world.store.publish(World.header(.user("a")), payload: [1, 2, 3])
        try world.catalogue.activate([.global: 1, .user("a"): 1, .user("b"): 7])
        #expect(try process.promotion.start(logger: world.logger))
        for user in ["a", "b"] { #expect(try process.router.description(user) == "global v1 load-failed") }
        #expect(try world.catalogue.active(.user("a")) == 1)
        let quarantined = process.router.quarantinedModels
        #expect(quarantined.map(\.tenant) == [.user("a"), .user("b")])
        #expect(quarantined.allSatisfy { $0.fallback == .loadFailed && !$0.reason.isEmpty })
        // It is not tried again for every batch.
        let before = world.objects.gets.count
        _ = try process.router.description("a")
        #expect(world.objects.gets.count == before)
    }

    @Test func quarantineFallsBackUntilPromotedAgain() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        for _ in 0..<2 { try world.publish(.user("a")) }
        try process.promotion.promote([.global: 1, .user("a"): 1], by: "t", reason: "")
        process.router.quarantine(.user("a"), version: 1, reason: "NaN")
        #expect(try process.router.description("a") == "global v1 quarantined")
        #expect(process.router.quarantinedModels.map(\.reason) == ["NaN"])
        try process.promotion.promote([.user("a"): 2], by: "t", reason: "")
        #expect(try process.router.description("a") == "user v2")
        process.router.quarantine(.user("a"), version: 2, reason: "NaN")
        try process.promotion.promote([.user("a"): 2], by: "t", reason: "")
        #expect(try process.router.description("a") == "user v2")
        #expect(process.router.quarantinedModels.isEmpty)
    }

    /// A detector may come later: its models serve then, without anybody promoting them again.
    @Test func aModelServesOnceItsDetectorIsThere() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try world.publish(.user("a"), detector: "late")
        try world.catalogue.activate([.global: 1, .user("a"): 1])
        _ = try process.promotion.start(logger: world.logger)
        #expect(try process.router.description("a") == "global v1 load-failed")
        world.registry.register(ConstantDetector(id: "late"))
        #expect(try process.router.description("a") == "user v1")
        #expect(process.router.quarantinedModels.isEmpty)
    }

    @Test func aStoreThatIsAwayIsNoFaultOfTheModel() throws {
        let world = try World()
        let process = try world.process()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        try world.catalogue.activate([.global: 1, .user("a"): 1])
        _ = try process.promotion.start(logger: world.logger)
        world.objects.setAway(true)
        for _ in 0..<2 {
            let error = #expect(throws: ObjectStoreError.self) { try process.router.description("a") }
            #expect(error?.isRetryable == true)
        }
        world.objects.setAway(false)
        #expect(try process.router.description("a") == "user v1")
    }

    @Test func threadsThatWantTheSameModelLoadItOnce() throws {
        let world = try World()
        let process = try world.process()
        for tenant in [Tenant.global, .user("a")] { try world.publish(tenant) }
        try world.catalogue.activate([.global: 1, .user("a"): 1])
        _ = try process.promotion.start(logger: world.logger)
        let before = world.objects.gets.count
        // The load lasts until every thread has had its chance to begin another one.
        let begun = Mutex(0)
        world.objects.beforeGet { _ in
            while begun.withLock({ $0 }) < 8 { Thread.sleep(forTimeInterval: 0.001) }
            Thread.sleep(forTimeInterval: 0.02)
        }
        let routes = try onThreads(8) { _ in
            begun.withLock { $0 += 1 }
            return try process.router.description("a")
        }
        #expect(routes == Array(repeating: "user v1", count: 8))
        #expect(world.objects.gets.count == before + 1)
    }

    @Test func differentModelsLoadAtTheSameTime() throws {
        let world = try World()
        let process = try world.process()
        for tenant in [Tenant.global, .user("a"), .user("b")] { try world.publish(tenant) }
        try world.catalogue.activate([.global: 1, .user("a"): 1, .user("b"): 1])
        _ = try process.promotion.start(logger: world.logger)
        // Each load goes on only when the other has begun too.
        let begun = Mutex(0)
        world.objects.beforeGet { _ in
            begun.withLock { $0 += 1 }
            for _ in 0..<5_000 where begun.withLock({ $0 }) < 2 { Thread.sleep(forTimeInterval: 0.001) }
        }
        let users = ["a", "b"]
        #expect(try onThreads(2) { try process.router.description(users[$0]) } == ["user v1", "user v1"])
        #expect(begun.withLock { $0 } == 2)
    }

    @Test func memoryIsLimitedInBytesAndTheGlobalModelStays() throws {
        let world = try World()
        try world.publish(.global)
        var versions: [Tenant: Int] = [.global: 1]
        for index in 0..<50 {
            try world.publish(.user("u\(index)"))
            versions[.user("u\(index)")] = 1
        }
        let process = try world.process(memory: 200_000)
        try process.promotion.promote(versions, by: "t", reason: "")
        for round in 0..<3 {
            for index in 0..<50 {
                #expect(try process.router.description("u\(index)") == "user v1", "\(round)")
                #expect(process.router.sizeBytes <= 200_000)
            }
        }
        // Neither the store nor the disk is needed for the global model.
        world.objects.setAway(true)
        try process.cache.database.close()
        #expect(try process.router.description("x") == "global v1 no-user-model")
    }

    @Test func theLeastRecentlyUsedModelGoesFirst() throws {
        let world = try World()
        func model(_ user: String) throws -> ReadyModel {
            let bytes = try Artifact.encode(
                World.header(.user(user)), payload: try World.payload(), key: nil)
            return try ReadyModel(ArtifactBytes(copying: bytes), key: nil, registry: world.registry)
        }
        let size = try model("a").sizeBytes
        var models = ReadyModels(maximumSize: 3 * size)
        var generator = SeededGenerator(seed: 9)
        var used: [Int] = []
        for _ in 0..<2_000 {
            let index = generator.below(6)
            let key = ModelKey(.user("\(index)"), version: 1)
            switch generator.below(3) {
            case 0:
                _ = models.insert(try model("\(index)"), key)
                used = Array((used.filter { $0 != index } + [index]).suffix(3))
            case 1:
                #expect((models.find(key) != nil) == used.contains(index))
                if used.contains(index) { used = used.filter { $0 != index } + [index] }
            default:
                models.remove(key)
                used = used.filter { $0 != index }
            }
            #expect(models.count == used.count)
            #expect(models.sizeBytes == used.count * size)
        }
    }

    @Test func aModelLargerThanTheLimitServesAlone() throws {
        let world = try World()
        let process = try world.process(memory: 1)
        for tenant in [Tenant.global, .user("a"), .user("b")] { try world.publish(tenant) }
        try process.promotion.promote([.global: 1, .user("a"): 1, .user("b"): 1], by: "t", reason: "")
        for user in ["a", "b", "a"] { #expect(try process.router.description(user) == "user v1") }
    }
}
