import Foundation
import ObjectStore
import Testing

@testable import Models

/// Versions are written once, and no change of what is active is lost.
@Suite struct CatalogueTests {
    /// Users of one shard, who share a manifest.
    private let neighbours = Array(
        (0..<100_000).lazy.map { "u\($0)" }.filter { Tenant.shard($0) == "07" }.prefix(16))

    @Test func racingTrainersGetVersionsOfTheirOwn() throws {
        let world = try World()
        let versions = try onThreads(16) { index in
            try world.publish(.user("a"), score: -0.1 * Double(index)).version
        }
        #expect(versions.sorted() == Array(1...16))
        #expect(try world.store.versions(of: .user("a")) == Array(1...16))
        // Nobody has overwritten anybody.
        for (index, version) in versions.enumerated() {
            let bytes = try #require(try world.store.bytes(of: .user("a"), version: version))
            let ready = try ReadyModel(bytes, key: nil, registry: world.registry)
            #expect((ready.model as? ConstantModel)?.value == -0.1 * Double(index))
        }
    }

    @Test func racingChangesOfOneManifestAreAllKept() throws {
        let world = try World()
        let neighbours = neighbours
        _ = try onThreads(neighbours.count) { index in
            for version in 1...6 { try world.catalogue.activate([.user(neighbours[index]): version]) }
        }
        let all = try world.catalogue.all()
        #expect(all.count == neighbours.count)
        for user in neighbours {
            #expect(all[.user(user)]?.version == 6)
            #expect(try world.catalogue.changes(of: .user(user)).map(\.to) == Array(1...6))
        }
    }

    @Test func racingChangesOfOneTenantAreAllKeptAndFollowEachOther() throws {
        let world = try World()
        _ = try onThreads(8) { index in
            for round in 0..<5 { try world.catalogue.activate([.global: 1 + index * 5 + round]) }
        }
        let changes = try world.catalogue.changes(of: .global)
        #expect(changes.count == 40)
        #expect(changes.map(\.sequence) == Array(1...40))
        #expect(zip(changes, changes.dropFirst()).allSatisfy { $0.to == $1.from })
        #expect(try world.catalogue.active(.global) == changes.last?.to)
    }

    @Test func everyChangeIsRemembered() throws {
        let world = try World()
        for version in [1, 2, 2, 1] {
            try world.catalogue.activate([.global: version], by: "me \"\\\n", reason: "weil’s so ist")
        }
        let changes = try world.catalogue.changes(of: .global)
        #expect(changes.map(\.from) == [nil, 1, 2])
        #expect(changes.map(\.to) == [1, 2, 1])
        #expect(changes.allSatisfy { $0.by == "me \"\\\n" && $0.reason == "weil’s so ist" })
        #expect(changes.allSatisfy { $0.timeMilliseconds == 5 })
    }

    /// However many there are: manifests stay small, and the rest is in objects of their own.
    @Test func aLongHistoryIsFoldedAndNotLost() throws {
        let world = try World()
        for version in 1...50 { try world.catalogue.activate([.user("a"): version]) }
        let changes = try world.catalogue.changes(of: .user("a"))
        #expect(changes.map(\.to) == Array(1...50))
        #expect(changes.map(\.sequence) == Array(1...50))
        let manifest = try #require(try world.contents()[Tenant.user("a").manifestKey])
        #expect(manifest.count < 1_000)
    }

    /// A writer that ends after folding and before the manifest has changed nothing.
    @Test func anUnfinishedFoldChangesNothing() throws {
        let world = try World()
        for version in 1...4 { try world.catalogue.activate([.user("a"): version]) }
        let manifestKey = Tenant.user("a").manifestKey
        let before = try #require(try world.contents()[manifestKey])
        try world.catalogue.activate([.user("a"): 5])
        // The manifest as it was: the fold's object is there already.
        try world.objects.put(manifestKey, before, if: .always)
        #expect(try world.catalogue.changes(of: .user("a")).map(\.to) == [1, 2, 3, 4])
        try world.catalogue.activate([.user("a"): 9])
        #expect(try world.catalogue.changes(of: .user("a")).map(\.to) == [1, 2, 3, 4, 9])
    }

    @Test func missingHistoryIsReported() throws {
        let world = try World()
        for version in 1...9 { try world.catalogue.activate([.user("a"): version]) }
        let history = try world.contents().keys.filter { $0.hasPrefix("models/history/") }.sorted()
        #expect(history.count == 2)
        try world.objects.delete(history[0])
        #expect(throws: CatalogueError.self) { try world.catalogue.changes(of: .user("a")) }
    }

    @Test func aMalformedManifestIsNamed() throws {
        let world = try World()
        let key = Tenant.user("a").manifestKey
        for bytes in ["", "nonsense", #"{"entries":{"a":{}}}"#, #"{"entries":{"%2":{"changes":[{}]}}}"#] {
            try world.objects.put(key, Array(bytes.utf8), if: .always)
            for read in [
                { _ = try world.catalogue.all() }, { try world.catalogue.activate([.user("a"): 1]) },
            ] as [() throws -> Void] {
                let error = #expect(throws: CatalogueError.self) { try read() }
                #expect(error?.description.hasPrefix(key) == true)
            }
            #expect(try world.objects.get(key)?.bytes == Array(bytes.utf8))
        }
    }

    @Test func theSameCatalogueHasTheSameBytes() throws {
        let (one, other) = (try World(), try World())
        try one.catalogue.activate([.user(neighbours[0]): 1])
        try one.catalogue.activate([.user(neighbours[1]): 2])
        try other.catalogue.activate([.user(neighbours[1]): 2])
        try other.catalogue.activate([.user(neighbours[0]): 1])
        #expect(try one.contents() == other.contents())
    }

    @Test func onlyManifestsThatHaveChangedAreRead() throws {
        let world = try World()
        try world.catalogue.activate([.global: 1, .user("a"): 1, .user("b"): 1])
        let first = try world.catalogue.load(except: [:])
        #expect(first.changed.count == 3)
        try world.catalogue.activate([.user("a"): 2])
        let known = Dictionary(uniqueKeysWithValues: first.changed.map { ($0.key, $0.tag) })
        let second = try world.catalogue.load(except: known)
        #expect(second.changed.map(\.key) == [Tenant.user("a").manifestKey])
        #expect(second.changed.first?.active[.user("a")]?.version == 2)
        #expect(second.keys.count == 3)
    }

    @Test(arguments: [
        "a/b", "..", ".", "ü", "%2F", "a b", String(repeating: "x", count: 256), "\u{0}", "global",
    ])
    func anyUserIDHasAPlaceOfItsOwn(userID: String) throws {
        let world = try World()
        try world.publish(.user(userID))
        try world.publish(.global)
        #expect(try world.store.versions(of: .user(userID)) == [1])
        #expect(try world.store.header(of: .user(userID), version: 1)?.tenant == .user(userID))
        #expect(try world.store.versions(of: .user(userID + "x")) == [])
        try world.catalogue.activate([.user(userID): 1])
        #expect(try world.catalogue.all().mapValues(\.version) == [.user(userID): 1])
        #expect(percentDecoded(percentEncoded(userID)) == userID)
    }

    /// `é` in one character and in two: texts that are equal to Swift, of two users.
    @Test func usersAreToldApartByTheirBytes() throws {
        let (composed, decomposed) = (Tenant.user("caf\u{E9}"), Tenant.user("cafe\u{301}"))
        #expect(composed != decomposed)
        let world = try World()
        try world.catalogue.activate([composed: 1, decomposed: 2])
        #expect(try world.catalogue.all().mapValues(\.version) == [composed: 1, decomposed: 2])
        let table = RoutingTable(try world.catalogue.all())
        #expect(table.version(of: composed) == 1)
        #expect(table.version(of: decomposed) == 2)
    }

    @Test(arguments: ["%", "%4", "%41", "%g0", "a/b", "%2f", "%FF", "."])
    func whatIsNoEncodedIDIsRefused(_ encoded: String) { #expect(percentDecoded(encoded) == nil) }
}
