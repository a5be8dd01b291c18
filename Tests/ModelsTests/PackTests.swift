import Crypto
import DetectorAPI
import Features
import Foundation
import ObjectStore
import Synchronization
import Testing

@testable import Models

/// Many users' models in one object are found, served, numbered and erased like models of their own.
@Suite struct PackTests {
    /// Some users of one shard.
    private static func users(_ count: Int, shard: String = "3f") -> [String] {
        Array((0...).lazy.map { "user-\($0)" }.filter { Tenant.shard($0) == shard }.prefix(count))
    }

    @discardableResult
    private func publish(
        _ users: [String], to world: World, name: String = "job", score: Double = -0.5
    ) throws -> [ModelStore.PackedVersion] {
        let versions = try world.store.versions(inShard: "3f")
        var writer = world.store.packWriter(createdMilliseconds: 5)
        for user in users {
            var header = World.header(.user(user))
            header.version = versions.next(of: user)
            try writer.add(header, payload: try World.payload(score: score))
        }
        return try world.store.publish(writer, shard: "3f", name: name)
    }

    @Test(arguments: [nil, "secret"]) func aModelInAPackServesLikeOneOfItsOwn(key: String?) throws {
        let world = try World(hmacKey: key)
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        let users = Self.users(5)
        let packed = try publish(users.reversed(), to: world)
        #expect(packed.map(\.userID) == users.sorted())
        #expect(packed.allSatisfy { $0.version == 1 && $0.place.pack == "models/packs/3f/job.pack" })
        #expect(try world.objects.listAll(prefix: "models/users/").isEmpty)

        let places = Dictionary(uniqueKeysWithValues: packed.map { (Tenant.user($0.userID), $0.place) })
        let promoted = users.prefix(3).map { (Tenant.user($0), 1) }
        try process.promotion.promote(
            Dictionary(uniqueKeysWithValues: promoted), places: places, by: "t", reason: nil)
        // One that was not promoted with the others is found in the pack.
        try process.promotion.promote([.user(users[3]): 1], by: "t", reason: "")
        #expect(
            try users.map { try process.router.description($0) } == [
                "user v1", "user v1", "user v1", "user v1", "global v1 no-user-model",
            ])
        let active = try world.catalogue.all()
        for user in users.prefix(4) {
            let tenant = Tenant.user(user)
            #expect(active[tenant]?.place == places[tenant])
            #expect(try world.store.versions(of: tenant) == [1])
            #expect(try world.store.header(of: tenant, version: 1)?.userID == user)
            let bytes = try #require(try world.store.bytes(of: tenant, version: 1))
            #expect(active[tenant]?.sha256 == ArtifactHash(of: bytes.bytes))
        }
        // Another machine, which has nothing cached, and the same again without the store's catalogue.
        let other = try world.process("b")
        #expect(try other.promotion.start(logger: world.logger))
        #expect(try other.router.description(users[0]) == "user v1")
        #expect(try other.cache.active(.user(users[0]))?.place == places[.user(users[0])])
    }

    @Test func versionsCountOnAcrossPacksAndObjects() throws {
        let world = try World()
        let users = Self.users(3)
        try world.publish(.user(users[1]))
        try world.publish(.user(users[1]))
        #expect(try publish(users, to: world, name: "a").map(\.version).sorted() == [1, 1, 3])
        #expect(try world.publish(.user(users[0])).version == 2)
        #expect(try publish(users, to: world, name: "b").map(\.version).sorted() == [2, 3, 4])
        #expect(try world.store.versions(of: .user(users[0])) == [1, 2, 3])
        #expect(try world.store.versions(of: .user(users[1])) == [1, 2, 3, 4])
    }

    @Test func aPackIsWrittenOnce() throws {
        let world = try World()
        let users = Self.users(3)
        let first = try publish(users, to: world, score: -0.5)
        let before = try world.contents()
        // The job is run again: what it wrote before counts.
        #expect(try publish(users, to: world, score: -0.7) == first)
        #expect(try world.contents() == before)
    }

    /// A pack as a job begins it, before others write.
    private func begun(_ users: [String], in world: World) throws -> PackWriter {
        let versions = try world.store.versions(inShard: "3f")
        var writer = world.store.packWriter(createdMilliseconds: 5)
        for user in users {
            var header = World.header(.user(user))
            header.version = versions.next(of: user)
            try writer.add(header, payload: try World.payload())
        }
        return writer
    }

    @Test(arguments: [nil, "secret"]) func whoeverSeesTheOtherGivesWay(key: String?) throws {
        let world = try World(hmacKey: key)
        let users = Self.users(2)
        let writer = try begun(users, in: world)
        // Somebody retrains one of them meanwhile.
        #expect(try world.publish(.user(users[0]), score: -0.9).version == 1)
        let written = try world.store.publish(writer, shard: "3f", name: "job")
        let numbers = Dictionary(uniqueKeysWithValues: written.map { ($0.userID, $0.version) })
        #expect(numbers == [users[1]: 1, users[0]: 3])
        let found = try #require(try world.store.bytes(of: .user(users[0]), version: 1))
        let single = try #require(try world.objects.get("\(Tenant.user(users[0]).objectPrefix)/v1.model"))
        #expect(found.bytes.elementsEqual(single.bytes))
        // What was written can be opened under its number.
        let process = try world.process()
        for version in written {
            let model = try process.router.model(of: .user(version.userID), version: version.version)
            #expect(model.version == version.version)
        }
        // The job is run again: what it wrote before counts.
        let before = try world.contents()
        #expect(
            try Set(world.store.publish(begun(users, in: world), shard: "3f", name: "job")) == Set(written))
        #expect(try world.contents() == before)
    }

    @Test func ofTwoPacksAtOnceNeitherLosesAModel() throws {
        let world = try World()
        let users = Self.users(3)
        let (one, other) = (try begun(users, in: world), try begun(users, in: world))
        let first = try world.store.publish(one, shard: "3f", name: "b")
        #expect(first.map(\.version) == [1, 1, 1])
        let second = try world.store.publish(other, shard: "3f", name: "a")
        #expect(second.map(\.userID) == users.sorted() && second.map(\.version) == [2, 2, 2])
        for user in users { #expect(try world.store.versions(of: .user(user)) == [1, 2]) }
        #expect(
            Set((first + second).map(\.place.pack)) == [
                "models/packs/3f/b.pack", "models/packs/3f/a-again.pack",
            ])
    }

    /// Both write before either looks.
    @Test func twoPacksThatSeeEachOtherTakeDifferentNumbers() throws {
        let world = try World()
        let users = Self.users(2)
        let writers = [try begun(users, in: world), try begun(users, in: world)]
        for (writer, name) in zip(writers, ["a", "b"]) {
            try world.objects.put(Pack.key("3f", name), writer.finish().bytes, if: .always)
        }
        let first = Mutex<[ModelStore.PackedVersion]?>(nil)
        // When one is about to let go of the number, the other has seen it too.
        world.objects.beforeGet { [store = world.store] key in
            guard key == Pack.key("3f", "b"), first.withLock({ $0 == nil }) else { return }
            first.withLock { $0 = [] }
            let published = try? store.publish(
                store.packWriter(createdMilliseconds: 5), shard: "3f", name: "a")
            first.withLock { $0 = published }
        }
        let second = try world.store.publish(
            world.store.packWriter(createdMilliseconds: 5), shard: "3f", name: "b")
        let published = try [#require(first.withLock { $0 }), second]
        #expect(published.map { $0.map(\.userID) } == [users.sorted(), users.sorted()])
        for user in users {
            let numbers = published.joined().filter { $0.userID == user }.map(\.version)
            #expect(try Set(numbers) == Set(world.store.versions(of: .user(user))) && Set(numbers).count == 2)
        }
    }

    @Test func whoIsLeftOutOfAPackIsNotInIt() throws {
        let world = try World()
        let users = Self.users(3)
        var writer = try begun(users, in: world)
        writer.remove([.user(users[1])])
        let written = try world.store.publish(writer, shard: "3f", name: "job")
        #expect(written.map(\.userID) == [users[0], users[2]].sorted())
        let pack = try #require(try world.objects.get(Pack.key("3f", "job")))
        #expect(!String(decoding: pack.bytes, as: UTF8.self).contains(users[1] + "\""))
    }

    @Test func erasingLeavesNothingOfTheUserAndTheOthersWhereTheyWere() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        let users = Self.users(4)
        let packed = try publish(users, to: world)
        try process.promotion.promote(
            Dictionary(uniqueKeysWithValues: users.map { (Tenant.user($0), 1) }),
            places: Dictionary(uniqueKeysWithValues: packed.map { (Tenant.user($0.userID), $0.place) }),
            by: "t", reason: "")
        #expect(try process.promotion.erase(.user(users[1])).versions == 1)
        for (key, bytes) in try world.contents() {
            #expect(!String(decoding: bytes, as: UTF8.self).contains(users[1] + "\""), "\(key)")
        }
        #expect(try world.store.versions(of: .user(users[1])).isEmpty)
        let other = try world.process("b")
        _ = try other.promotion.start(logger: world.logger)
        #expect(try other.router.description(users[0]) == "user v1")
        #expect(try other.router.description(users[1]) == "global v1 no-user-model")
        #expect(try other.router.description(users[3]) == "user v1")
    }

    @Test func anotherArtifactInAPlaceIsNotServed() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        let users = Self.users(2).sorted()
        let packed = try publish(users, to: world)
        try process.promotion.promote([.global: 1, .user(users[0]): 1], by: "t", reason: "")
        // The entry of one names the place of the other.
        try world.catalogue.activate(
            [Activation(.user(users[0]), version: 1, sha256: nil, place: packed[1].place)], by: "t",
            reason: "", timeMilliseconds: 5)
        let other = try world.process("b")
        _ = try other.promotion.start(logger: world.logger)
        #expect(try other.router.description(users[0]) == "global v1 load-failed")
    }

    // MARK: Damage

    @Test func aDamagedPackIsToldAndNeverTrusted() throws {
        let world = try World()
        let users = Self.users(8)
        try publish(users, to: world)
        let key = "models/packs/3f/job.pack"
        let good = try #require(try world.objects.get(key)).bytes
        for cut in [0, 1, 63, 64, 127, good.count / 2, good.count - 1] {
            try world.objects.put(key, Array(good.prefix(cut)), if: .always)
            #expect(throws: (any Error).self, "\(cut)") { try world.store.versions(of: .user(users[0])) }
        }
        // Every byte of index and trailer.
        let index = try world.store.packs(inShard: "ff")
        #expect(index.isEmpty)
        let start = good.count - 64 - 8 * (56 + users[0].utf8.count + 3)
        for at in stride(from: max(start, 64), to: good.count, by: 7) {
            var bytes = good
            bytes[at] ^= 0x10
            try world.objects.put(key, bytes, if: .always)
            let versions = try? world.store.versions(of: .user(users[0]))
            #expect(versions == nil || versions == [1], "byte \(at)")
        }
        try world.objects.put(key, good, if: .always)
        #expect(try world.store.versions(of: .user(users[0])) == [1])
    }

    // MARK: Format

    /// `ML_SERVICE_WRITE_FIXTURES=1 swift test --filter PackTests` writes the file of a new format version; one that
    /// exists is never written again.
    @Test func theFirstFormatStaysReadable() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Fixtures/pack-v1.pack"
        ).path
        let users = Self.users(3).sorted()
        var writer = PackWriter(createdMilliseconds: 1_770_000_000_123, key: SymmetricKey(data: [1, 2, 3]))
        for (place, user) in users.enumerated() {
            var header = World.header(.user(user))
            header.version = place + 1
            // The schema of when the file was written.
            header.preprocessing.schemaVersion = 2
            header.preprocessing.numeric.removeSubrange(FeatureSchema.numericCount(version: 2)...)
            try writer.add(header, payload: [UInt8](repeating: UInt8(place), count: 16))
        }
        let made = writer.finish()
        if ProcessInfo.processInfo.environment["ML_SERVICE_WRITE_FIXTURES"] != nil,
            !FileManager.default.fileExists(atPath: path)
        {
            try Data(made.bytes).write(to: URL(filePath: path))
        }
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        #expect(made.bytes == bytes)
        let world = try World()
        try world.objects.put("models/packs/3f/old.pack", bytes, if: .absent)
        for (place, user) in users.enumerated() {
            #expect(try world.store.versions(of: .user(user)) == [place + 1])
            let artifact = try #require(try world.store.bytes(of: .user(user), version: place + 1))
            let decoded = try Artifact(decoding: artifact, key: SymmetricKey(data: [1, 2, 3]))
            #expect(decoded.header.userID == user)
            #expect(Array(decoded.payload.bytes) == [UInt8](repeating: UInt8(place), count: 16))
        }
    }
}
