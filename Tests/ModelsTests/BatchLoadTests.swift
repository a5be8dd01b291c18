import DetectorAPI
import Foundation
import ObjectStore
import Synchronization
import Testing

@testable import Models

/// Models of a batch are read together, and written to this machine's disk behind the answer.
@Suite struct BatchLoadTests {
    private static let shard = "3f"

    /// Users of one shard with models in one pack, all active, and the global model.
    private func packed(_ count: Int, in world: World, padding: Int = 0) throws -> [String] {
        let users = Array(
            (0...).lazy.map { "user-\($0)" }.filter { Tenant.shard($0) == Self.shard }.prefix(count))
        try world.publish(.global)
        var writer = world.store.packWriter(createdMilliseconds: 5)
        for user in users {
            var header = World.header(.user(user))
            header.version = 1
            try writer.add(header, payload: try World.payload() + [UInt8](repeating: 0, count: padding))
        }
        let places = try world.store.publish(writer, shard: Self.shard, name: "job")
        try world.catalogue.activate([.global: 1])
        try world.catalogue.activate(
            places.map { Activation(.user($0.userID), version: 1, place: $0.place, reason: "r") }, by: "t",
            reason: "", timeMilliseconds: 5)
        return users
    }

    @Test func aBatchGivesWhatEachUserAloneIsGiven() throws {
        let world = try World()
        let users = try packed(100, in: world)
        _ = try world.store.publish(World.header(.user("broken")), payload: [1, 2, 3])
        try world.publish(.user("single"))
        try world.catalogue.activate([.user("broken"): 1, .user("single"): 1, .user("gone"): 7])
        let all = ["nobody", "broken"] + users + ["single", "gone", "nobody either"]
        let alone = try world.process("alone")
        let together = try world.process("together")
        for process in [alone, together] { #expect(try process.promotion.start(logger: world.logger)) }
        let expected = try all.map { try alone.router.description($0) }
        #expect(Set(expected) == ["user v1", "global v1 no-user-model", "global v1 load-failed"])
        // From the store, from memory, and by another process from the disk.
        #expect(try together.router.descriptions(all) == expected)
        #expect(try together.router.descriptions(all) == expected)
        together.cache.writeUnwritten()
        let again = try world.process("together", memory: 0)
        #expect(try again.promotion.start(logger: world.logger))
        world.objects.setAway { $0.hasPrefix("models/packs/") }
        #expect(try again.router.descriptions(users) == users.map { _ in "user v1" })
    }

    @Test func neighboursInAPackAreReadTogether() throws {
        let world = try World()
        let users = try packed(40, in: world)
        let process = try world.process()
        #expect(try process.promotion.start(logger: world.logger))
        let before = world.objects.ranges.count
        #expect(try process.router.descriptions(users.shuffled()) == users.map { _ in "user v1" })
        #expect(world.objects.ranges.count == before + 1)
    }

    /// Whoever asks for two large models does not get what lies between them.
    @Test func whatLiesFarApartIsNotReadTogether() throws {
        let world = try World()
        let users = try packed(5, in: world, padding: 100_000)
        let process = try world.process()
        #expect(try process.promotion.start(logger: world.logger))
        let before = world.objects.ranges.count
        #expect(try process.router.descriptions([users[0], users[4]]) == ["user v1", "user v1"])
        let read = world.objects.ranges[before...]
        #expect(read.count == 2)
        #expect(read.reduce(0) { $0 + $1.count } < 210_000)
    }

    /// A store that does not answer is asked once, not for each user of a batch.
    @Test func aStoreThatIsAwayIsAskedOnce() throws {
        let world = try World()
        let users = try packed(100, in: world)
        let process = try world.process()
        #expect(try process.promotion.start(logger: world.logger))
        world.objects.setAway { $0.hasPrefix("models/packs/") }
        let before = world.objects.ranges.count
        #expect(throws: ObjectStoreError.self) { try process.router.descriptions(users) }
        #expect(world.objects.ranges.count <= before + 2)
        world.objects.setAway(false)
        #expect(try process.router.descriptions(users) == users.map { _ in "user v1" })
    }

    /// Two batches that each load what the other waits for.
    @Test func batchesThatShareUsersLoadEachOnce() throws {
        let world = try World()
        let users = try packed(200, in: world)
        let process = try world.process()
        #expect(try process.promotion.start(logger: world.logger))
        let reversed = Array(users.reversed())
        let found = try onThreads(8) { index in
            try process.router.descriptions(index.isMultiple(of: 2) ? users : reversed)
        }
        #expect(found.allSatisfy { $0 == users.map { _ in "user v1" } })
    }

    // MARK: Written behind

    /// Killed between the answer and the write: what is not on the disk is read from the store again, and nothing else
    /// is missing.
    @Test func aKillBetweenAnswerAndWriteLosesNothing() throws {
        let world = try World()
        let users = try packed(50, in: world)
        let killed = try world.process()
        #expect(try killed.promotion.start(logger: world.logger))
        let answers = try killed.router.descriptions(users)
        #expect(answers == users.map { _ in "user v1" })
        // As if the process had ended here: nothing waits any more, and nothing was written.
        killed.cache.forgetUnwritten { _ in true }
        for user in users { #expect(killed.cache.bytes(.user(user), version: 1) == nil) }
        try killed.cache.database.close()

        let restarted = try world.process()
        #expect(try restarted.promotion.start(logger: world.logger))
        #expect(try restarted.router.descriptions(users) == answers)
        restarted.cache.writeUnwritten()
        for user in users { #expect(restarted.cache.bytes(.user(user), version: 1) != nil) }
        // The global model is on the disk before anybody is told that it is active.
        world.objects.setAway(true)
        let alone = try world.process()
        #expect(try !alone.promotion.start(logger: world.logger))
        #expect(try alone.router.descriptions(users + ["nobody"]) == answers + ["global v1 no-user-model"])
    }

    /// What waits to be written goes with its user.
    @Test func anErasedUserIsNotWrittenLater() throws {
        let world = try World()
        let users = try packed(3, in: world)
        let process = try world.process()
        #expect(try process.promotion.start(logger: world.logger))
        _ = try process.router.descriptions(users)
        _ = try process.promotion.erase(.user(users[1]))
        process.cache.writeUnwritten()
        #expect(users.map { process.cache.bytes(.user($0), version: 1) != nil } == [true, false, true])
    }

    /// A load that began before its user was erased ends after.
    @Test func whoIsNotActiveIsNotWritten() throws {
        let cache = try World().process().cache
        let bytes = ArtifactBytes(copying: [UInt8](repeating: 1, count: 100))
        cache.storeBehind([
            ModelCache.Checked(
                bytes: bytes, sha256: ArtifactHash(of: bytes.bytes), signer: Data(), tenant: .user("erased"),
                version: 1)
        ])
        cache.writeUnwritten()
        #expect(cache.bytes(.user("erased"), version: 1) == nil)
    }

    @Test func whatWaitsIsBounded() throws {
        var unwritten = UnwrittenArtifacts()
        let bytes = ArtifactBytes(copying: [UInt8](repeating: 1, count: 1 << 20))
        let artifact = ModelCache.Checked(
            bytes: bytes, sha256: ArtifactHash(of: bytes.bytes), signer: Data(), tenant: .user("a"),
            version: 1)
        let room = UnwrittenArtifacts.maximumSize >> 20
        var (first, dropped) = (0, 0)
        for _ in 0..<room + 10 {
            let added = unwritten.add([artifact])
            first += added.isFirst ? 1 : 0
            dropped += added.dropped
        }
        #expect(first == 1 && dropped == 10)
        var taken: [Int] = []
        repeat { taken.append(unwritten.take().count) } while !unwritten.finish()
        #expect(taken == Array(repeating: UnwrittenArtifacts.maximumTakenSize >> 20, count: 4))
        #expect(unwritten.add([artifact]) == (true, 0))
    }
}
