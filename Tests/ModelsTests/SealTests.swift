import Foundation
import ObjectStore
import Signing
import Testing

@testable import Models

/// What an attacker with the bucket does to manifests and history, where there is a key.
@Suite struct SealTests {
    private static let keys = SigningKeys(newest: "key")
    private static let user = Tenant.user("u")

    /// One process with the key: its disk remembers.
    private func catalogue(_ world: World, _ name: String = "a", _ keys: SigningKeys = keys) throws
        -> Catalogue
    {
        let cache = try ModelCache(path: world.cachePath(name), maximumSize: 1 << 20, logger: world.logger)
        return Catalogue(objects: world.objects, sealing: Sealing(keys: keys, seen: cache))
    }

    private func bytes(_ world: World, _ key: String) throws -> [UInt8] {
        try #require(try world.objects.get(key)?.bytes)
    }

    private func edit(_ world: World, _ key: String, _ old: String, _ new: String) throws {
        let text = String(decoding: try bytes(world, key), as: UTF8.self)
        #expect(text.contains(old), "\(text)")
        try world.objects.put(key, Array(text.replacing(old, with: new).utf8), if: .always)
    }

    private func refusal(_ body: () throws -> Void) -> SealError? {
        do {
            try body()
            return nil
        } catch CatalogueError.untrusted(_, let reason) {
            return reason
        } catch {
            Issue.record("\(error)")
            return nil
        }
    }

    @Test func aChangedManifestIsRefused() throws {
        let world = try World()
        let catalogue = try catalogue(world)
        try catalogue.activate([Self.user: 1, .global: 1])
        try catalogue.activate([Self.user: 2])
        #expect(try catalogue.active(Self.user) == 2)
        try edit(world, Self.user.manifestKey, #""to":2"#, #""to":1"#)
        #expect(refusal { _ = try catalogue.active(Self.user) } == .forged)
        // Nobody writes over it, and the rest is read.
        #expect(refusal { try catalogue.activate([Self.user: 3]) } == .forged)
        #expect(try catalogue.active(.global) == 1)
        let loaded = try catalogue.load(except: [:])
        #expect(loaded.changed.map(\.key) == [Tenant.globalManifestKey] && loaded.damaged.count == 1)
    }

    @Test func aGenerationOrANameIsPartOfWhatIsSigned() throws {
        let world = try World()
        let catalogue = try catalogue(world)
        try catalogue.activate([Self.user: 1, .user("v"): 1])
        let sealed = try bytes(world, Self.user.manifestKey)
        let text = String(decoding: sealed, as: UTF8.self)
        let newer = text.replacing(#"{"generation":"#, with: #"{"generation":9"#)
        try world.objects.put(Self.user.manifestKey, Array(newer.utf8), if: .always)
        #expect(refusal { _ = try catalogue.active(Self.user) } == .forged)
        // Another shard's manifest in its place.
        try world.objects.put(Tenant.user("v").manifestKey, sealed, if: .always)
        #expect(refusal { _ = try catalogue.active(.user("v")) } == .forged)
        // And one without its seal.
        try world.objects.put(Self.user.manifestKey, Sealing.content(of: sealed), if: .always)
        #expect(refusal { _ = try catalogue.active(Self.user) } == .unsigned)
    }

    @Test func anOlderManifestIsRefusedAfterARestartToo() throws {
        let world = try World()
        let first = try catalogue(world)
        try first.activate([.global: 1])
        let old = try bytes(world, Tenant.globalManifestKey)
        try first.activate([.global: 2])
        try world.objects.put(Tenant.globalManifestKey, old, if: .always)
        for catalogue in [first, try catalogue(world)] {
            guard case .older = refusal({ _ = try catalogue.active(.global) }) else {
                Issue.record("an older manifest was believed")
                return
            }
        }
        // A machine that has seen nothing cannot tell.
        #expect(try catalogue(world, "new").active(.global) == 1)
        // What is gone was there.
        try world.objects.delete(Tenant.globalManifestKey)
        #expect(refusal { _ = try first.active(.global) } == .missing)
        let loaded = try first.load(except: [Tenant.globalManifestKey: VersionTag("x")])
        #expect(loaded.keys == [Tenant.globalManifestKey] && loaded.damaged.count == 1)
    }

    /// The process goes on with what it knew, and its router with it.
    @Test func whatServedGoesOnWhenAManifestIsPutBack() throws {
        let world = try World(hmacKey: "key")
        for _ in 0..<2 { try world.publish(.global) }
        let process = try world.process(sealing: Self.keys)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        let old = try bytes(world, Tenant.globalManifestKey)
        try process.promotion.promote([.global: 2], by: "t", reason: "")
        try world.objects.put(Tenant.globalManifestKey, old, if: .always)
        #expect(try process.promotion.poll(logger: world.logger).isEmpty)
        #expect(process.router.snapshot().entry(of: .global)?.version == 2)
        let again = try world.process(sealing: Self.keys)
        #expect(try again.promotion.start(logger: world.logger))
        #expect(again.router.snapshot().entry(of: .global)?.version == 2)
    }

    @Test func historyCannotBeChangedOrTakenOut() throws {
        let world = try World()
        let catalogue = try catalogue(world)
        for version in 1...10 { try catalogue.activate([Self.user: version], by: "mallory") }
        #expect(try catalogue.changes(of: Self.user).map(\.to) == Array(1...10))
        let key = try #require(try world.objects.listAll(prefix: Self.user.historyPrefix).first?.key)
        let sound = try bytes(world, key)
        try edit(world, key, #""by":"mallory""#, #""by":"alice""#)
        #expect(refusal { _ = try catalogue.changes(of: Self.user) } == .forged)
        try world.objects.delete(key)
        #expect(throws: CatalogueError.self) { try catalogue.changes(of: Self.user) }
        try world.objects.put(key, sound, if: .always)
        #expect(try catalogue.changes(of: Self.user).count == 10)
        // An entry of the manifest itself.
        let text = String(decoding: try bytes(world, Self.user.manifestKey), as: UTF8.self)
        let cut = try #require(text.firstMatch(of: /\{"by":[^}]*"to":9\}/)).output
        try edit(world, Self.user.manifestKey, cut + ",", "")
        #expect(refusal { _ = try catalogue.changes(of: Self.user) } == .forged)
    }

    @Test func whatWasWrittenBeforeThereWasAKeyIsSignedOnPurposeOnly() throws {
        let world = try World()
        for version in 1...6 { try world.catalogue.activate([Self.user: version]) }
        let catalogue = try catalogue(world)
        #expect(refusal { _ = try catalogue.active(Self.user) } == .unsigned)
        #expect(refusal { _ = try catalogue.changes(of: Self.user) } == .unsigned)
        func resign(_ keys: SigningKeys, unsigned: Bool = false, restored: Bool = false) throws
            -> CatalogueResigning.Report
        {
            try CatalogueResigning(
                objects: world.objects, keys: keys, signsUnsigned: unsigned, isRestored: restored
            ).run()
        }
        let refused = try resign(Self.keys)
        #expect(refused.signed == 0 && refused.refused.count == 2)
        #expect(refused.refused.allSatisfy { $0.contains("--unsigned") })
        #expect(try resign(Self.keys, unsigned: true).signed == 2)
        #expect(try catalogue.changes(of: Self.user).map(\.to) == Array(1...6))
        #expect(try resign(Self.keys).current == 2)

        // Rotation: both verify, then the new one alone.
        let both = SigningKeys(newest: "new", older: ["key"])
        #expect(try self.catalogue(world, "a", both).active(Self.user) == 6)
        #expect(try resign(both).signed == 2)
        let new = SigningKeys(newest: "new")
        let after = try self.catalogue(world, "a", new)
        #expect(try after.changes(of: Self.user).map(\.to) == Array(1...6))
        #expect(refusal { _ = try catalogue.active(Self.user) } == .forged)

        // A copy that was put back on purpose.
        let copy = try bytes(world, Self.user.manifestKey)
        try after.activate([Self.user: 7])
        try world.objects.put(Self.user.manifestKey, copy, if: .always)
        #expect(refusal { _ = try after.active(Self.user) } != nil)
        #expect(try resign(new, restored: true).signed == 1)
        #expect(try after.active(Self.user) == 6)
        // Without a key what is sealed is read, too.
        #expect(try world.catalogue.active(Self.user) == 6)
    }

    @Test func aUserIDThatLooksLikeASealIsNone() throws {
        let world = try World()
        let catalogue = try catalogue(world)
        let hmac = String(repeating: "0", count: 64)
        let tenant = Tenant.user(#"","seal":{"generation":9,"hmac":"\#(hmac)"}}"# + "\n")
        try catalogue.activate([tenant: 1], by: #","seal":{"generation":9"#)
        #expect(try catalogue.active(tenant) == 1)
        #expect(try world.catalogue.active(tenant) == 1)
    }
}
