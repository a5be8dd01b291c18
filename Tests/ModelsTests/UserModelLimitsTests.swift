import Foundation
import ObjectStore
import Testing

@testable import Models

/// One user's models do not take what others need: a huge one is refused with its size, and does not fail the service.
@Suite struct UserModelLimitsTests {
    private static let limit = 1 << 20

    private func store(_ world: World, total: Int = 3 << 20) -> ModelStore {
        ModelStore(
            objects: world.objects, keys: .init(newest: nil),
            limits: UserModelLimits(modelBytes: Self.limit, totalBytes: total))
    }

    private func payload(_ size: Int) throws -> [UInt8] {
        try World.payload() + [UInt8](repeating: 0, count: size)
    }

    private func reason(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing"
        } catch { return "\(error)" }
    }

    @Test func aHugeModelIsNotStored() throws {
        let world = try World()
        let store = store(world)
        let huge = try payload(Self.limit)
        let refusal = reason { _ = try store.publish(World.header(.user("u")), payload: huge) }
        #expect(refusal.contains("u's model has 10") && refusal.contains("allows 1048576"), "\(refusal)")
        #expect(try store.versions(of: .user("u")).isEmpty)
        // Everybody needs the global one.
        #expect(try store.publish(World.header(.global), payload: huge).version == 1)
    }

    @Test func allVersionsTogetherAreLimited() throws {
        let world = try World()
        let store = store(world)
        let large = try payload(Self.limit - 32_768)
        for version in 1...3 {
            let header = try? store.publish(World.header(.user("u")), payload: large)
            #expect(header?.version == (version < 3 ? version : 3))
        }
        let refusal = reason { _ = try store.publish(World.header(.user("u")), payload: large) }
        #expect(refusal.contains("of 3 versions") && refusal.contains("3145728 together"), "\(refusal)")
        #expect(try store.versions(of: .user("u")) == [1, 2, 3])
        // Another's count for themselves.
        #expect(try store.publish(World.header(.user("v")), payload: large).version == 1)
    }

    @Test func aPackIsMadeWithoutIt() throws {
        let world = try World()
        let store = store(world)
        var writer = store.packWriter(createdMilliseconds: 0)
        var header = World.header(.user("huge"))
        header.version = 1
        #expect(throws: ArtifactError.self) { try writer.add(header, payload: try payload(Self.limit)) }
        header.userID = "u"
        try writer.add(header, payload: try World.payload())
        let packed = try store.publish(writer, shard: Tenant.shard("u"), name: "p")
        #expect(packed.map(\.userID) == ["u"])
    }

    /// It was stored when more was allowed, or by something else.
    @Test func aHugeModelDoesNotServe() throws {
        let world = try World()
        try world.publish(.global)
        _ = try world.store.publish(World.header(.user("u")), payload: try payload(Self.limit))
        try world.catalogue.activate([.global: 1, .user("u"): 1])
        let process = try world.process(store: store(world))
        #expect(try process.promotion.start(logger: world.logger))
        #expect(try process.router.description("u") == "global v1 load-failed")
        let reason = process.router.quarantinedModels.first?.reason ?? ""
        #expect(reason.contains("bytes, models.userbytes allows 1048576"), "\(reason)")
        // Nor can it be promoted.
        #expect(throws: ModelLoadError.self) {
            try process.promotion.promote([.user("u"): 1], by: "t", reason: "")
        }
        // Whoever allows more goes on with it, also from the cache.
        #expect(try world.process("b").router.globalModel() == nil)
        let other = try world.process("c")
        _ = try other.promotion.start(logger: world.logger)
        #expect(try other.router.description("u") == "user v1")
        other.cache.writeUnwritten()
        let strict = try world.process("c", store: store(world))
        _ = try strict.promotion.start(logger: world.logger)
        #expect(try strict.router.description("u") == "global v1 load-failed")
    }
}
