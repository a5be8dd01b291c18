import DetectorAPI
import Foundation
import Signing
import Testing

@testable import Models

/// Models that come from another store, as they are.
@Suite struct AdoptingTests {
    private let user = Tenant.user("a/\"1\"")

    /// The bytes of the last version, and which it is.
    private func exported(_ world: World, _ tenant: Tenant) throws -> (version: Int, bytes: ArtifactBytes) {
        let version = try #require(try world.store.versions(of: tenant).last)
        return (version, try #require(try world.store.bytes(of: tenant, version: version)))
    }

    @Test func theyKeepBytesNumberAndOwner() throws {
        let (from, to) = (try World(), try World())
        for tenant in [Tenant.global, user] {
            for _ in 0..<3 { try from.publish(tenant) }
            let (version, bytes) = try exported(from, tenant)
            #expect(version == 3)
            let adopted = try to.store.adopt(bytes)
            #expect(adopted.header.tenant == tenant && adopted.header.version == 3 && !adopted.wasHere)
            let here = try exported(to, tenant).bytes
            #expect(withExtendedLifetime(here) { here.bytes.elementsEqual(bytes.bytes) })
            #expect(try to.store.adopt(bytes).wasHere)
            // They serve by the name that verdicts have of them.
            let process = try to.process()
            try process.promotion.promote([tenant: 3], by: "t", reason: "")
            let hash = ArtifactHash(of: bytes.bytes)
            #expect(try process.promotion.catalogue.active([tenant])[tenant]?.sha256 == hash)
            // What is trained here next has the next number.
            #expect(try to.publish(tenant).version == 4)
        }
    }

    @Test func anotherModelOfThatVersionStays() throws {
        let (from, to) = (try World(), try World())
        try from.publish(user, score: -0.7)
        try to.publish(user, score: -0.5)
        let before = try to.contents()
        let bytes = try exported(from, user).bytes
        let error = #expect(throws: ArtifactError.self) { try to.store.adopt(bytes) }
        #expect(error?.description.contains("v1.model") == true, "\(String(describing: error))")
        #expect(try to.contents() == before)
    }

    @Test func aKeyOfTheStoreMustHaveSignedThem() throws {
        let (from, to) = (try World(hmacKey: "theirs"), try World())
        try from.publish(.global)
        let bytes = try exported(from, .global).bytes
        func store(_ keys: SigningKeys) -> ModelStore { ModelStore(objects: to.objects, keys: keys) }
        let error = #expect(throws: ArtifactError.wrongSignature) {
            try store(SigningKeys(newest: "ours")).adopt(bytes)
        }
        #expect(error?.description.contains("models.oldhmackeys") == true)
        #expect(try to.contents().isEmpty)
        #expect(try !store(SigningKeys(newest: "ours", older: ["theirs"])).adopt(bytes).wasHere)
        // Nobody has signed it.
        let unsigned = try World()
        try unsigned.publish(user)
        let plain = try exported(unsigned, user).bytes
        let refused = #expect(throws: ArtifactError.wrongSignature) {
            try store(SigningKeys(newest: "ours")).adopt(plain)
        }
        #expect(refused?.description.contains("trained again") == true)
    }

    @Test func whatIsDamagedOrTooLargeIsRefused() throws {
        let (from, to) = (try World(), try World())
        try from.publish(user)
        let bytes = try exported(from, user).bytes
        var damaged = [UInt8](bytes.bytes)
        damaged[damaged.count - 1] ^= 1
        #expect(throws: ArtifactError.self) { try to.store.adopt(ArtifactBytes(copying: damaged)) }
        #expect(throws: ArtifactError.self) { try to.store.adopt(ArtifactBytes(copying: damaged.prefix(20))) }
        var limits = UserModelLimits()
        limits.modelBytes = bytes.bytes.count - 1
        let small = ModelStore(objects: to.objects, keys: .none, limits: limits)
        #expect(throws: ArtifactError.self) { try small.adopt(bytes) }
        #expect(try to.contents().isEmpty)
    }
}
