import DetectorAPI
import Foundation
import ObjectStore
import Signing
import Testing

@testable import Models

/// Keys that take the place of others.
@Suite struct ResigningTests {
    private let old = SigningKeys(newest: "old")
    private let both = SigningKeys(newest: "new", older: ["old"])
    private let new = SigningKeys(newest: "new")

    private static let users = Array(
        (0...).lazy.map { "user-\($0)" }.filter { Tenant.shard($0) == "3f" }.prefix(4))

    /// A global model, one user's, and a pack of three, all signed by the old key.
    private func world() throws -> World {
        let world = try World(hmacKey: "old")
        try world.publish(.global)
        try world.publish(.user(Self.users[3]))
        var writer = world.store.packWriter(createdMilliseconds: 5)
        for user in Self.users.prefix(3) {
            var header = World.header(.user(user))
            header.version = 1
            try writer.add(header, payload: try World.payload())
        }
        _ = try world.store.publish(writer, shard: "3f", name: "job")
        return world
    }

    private let tenants = [Tenant.global] + users.map(Tenant.user)

    /// How many of the models can be opened.
    private func opened(_ world: World, _ keys: SigningKeys) throws -> Int {
        let store = ModelStore(objects: world.objects, keys: keys)
        return try tenants.count {
            let bytes = try #require(try store.bytes(of: $0, version: 1))
            do {
                _ = try store.open(bytes)
                return true
            } catch ArtifactError.wrongSignature {
                return false
            }
        }
    }

    @Test func theNewestSignsAndAllVerify() throws {
        let world = try world()
        #expect(try opened(world, old) == 5 && opened(world, both) == 5)
        #expect(try opened(world, new) == 0 && opened(world, .none) == 5)
        let store = ModelStore(objects: world.objects, keys: both)
        let made = try store.publish(World.header(.global), payload: try World.payload())
        let bytes = try #require(try store.bytes(of: .global, version: made.version))
        #expect(try ModelStore(objects: world.objects, keys: new).open(bytes).signer == new.newestSigner)
    }

    @Test func resignedOnesNeedTheOldKeyNoMoreAndKeepTheirNames() throws {
        let world = try world()
        let before = try world.contents()
        let resigning = ModelResigning(store: ModelStore(objects: world.objects, keys: both))
        #expect(try resigning.run() == .init(current: 0, signed: 5))
        #expect(try resigning.run() == .init(current: 5, signed: 0))
        #expect(try opened(world, new) == 5 && opened(world, SigningKeys(newest: "third")) == 0)
        // No byte of what verdicts name is another one.
        let after = try world.contents()
        for (key, bytes) in before { #expect(after[key] == bytes, "\(key)") }
        #expect(
            Set(after.keys).subtracting(before.keys) == [
                "models/signatures/global.list", "models/signatures/3f.list",
            ])
        // And once more, from the lists of the second key.
        let third = SigningKeys(newest: "third", older: ["new"])
        #expect(
            try ModelResigning(store: ModelStore(objects: world.objects, keys: third)).run()
                == .init(current: 0, signed: 5))
        #expect(try opened(world, SigningKeys(newest: "third")) == 5 && opened(world, new) == 0)
    }

    @Test func aProcessWithTheNewKeyAloneServesThem() throws {
        let world = try world()
        let first = try world.process()
        try first.promotion.promote(
            Dictionary(uniqueKeysWithValues: tenants.map { ($0, 1) }), by: "t", reason: "")
        _ = try ModelResigning(store: ModelStore(objects: world.objects, keys: both)).run()
        // On the same disk, whose cache the old key had checked, and on another.
        for name in ["a", "b"] {
            let store = ModelStore(objects: world.objects, keys: new)
            let process = try world.process(name, store: store)
            #expect(try process.promotion.start(logger: world.logger))
            for user in Self.users { #expect(try process.router.description(user) == "user v1") }
        }
    }

    @Test func nothingOfAStrangerIsSigned() throws {
        let world = try world()
        // An artifact of no key, one of another key, and a list that somebody wrote who has none.
        _ = try ModelStore(objects: world.objects).publish(
            World.header(.global), payload: try World.payload(score: -0.4))
        _ = try ModelStore(objects: world.objects, hmacKey: "mallory").publish(
            World.header(.user(Self.users[0])), payload: try World.payload(score: -0.4))
        let forged = SignatureLists(objects: world.objects, keys: SigningKeys(newest: "mallory"))
        let mine = try #require(try world.store.bytes(of: .global, version: 2))
        let hash = ArtifactHash(of: mine.bytes)
        #expect(try forged.write(.init(hashes: [hash]), shard: "global"))
        let report = try ModelResigning(store: ModelStore(objects: world.objects, keys: both)).run()
        #expect(report.signed == 5 && report.refused.count == 2, "\(report)")
        #expect(report.refused.first?.hasPrefix("models/global/v2.model: ") == true)
        let store = ModelStore(objects: world.objects, keys: both)
        #expect(throws: ArtifactError.wrongSignature) { _ = try store.open(mine) }
        // A list of one shard is none of another.
        let list = try #require(try world.objects.get("models/signatures/global.list")).bytes
        try world.objects.put("models/signatures/3f.list", list, if: .always)
        #expect(try SignatureLists(objects: world.objects, keys: both).read("3f").hashes.isEmpty)
    }

    /// The format of a list, for ever.
    @Test func aListIsRead() throws {
        let world = try World(hmacKey: "old")
        let hash = ArtifactHash(of: "a")
        let lists = SignatureLists(objects: world.objects, keys: old)
        #expect(try lists.write(.init(hashes: [hash]), shard: "3f"))
        let text =
            "ml-signatures-1 3f\nca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n"
            + "73246a4c9bf3d37d0c9f5da2c1665ed3cb797fe7a4186bf16ea65b52ae26f30a\n"
        let written = try #require(try world.objects.get("models/signatures/3f.list")).bytes
        #expect(String(decoding: written, as: UTF8.self) == text)
        #expect(try lists.signer(of: hash, tenant: .user(Self.users[0])) == old.newestSigner)
        #expect(try lists.signer(of: hash, tenant: .global) == nil)
    }
}
