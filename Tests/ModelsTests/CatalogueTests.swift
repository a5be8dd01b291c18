import Foundation
import Testing

@testable import Models

/// Versions are written once, and no change of what is active is lost.
@Suite struct CatalogueTests {
    @Test func racingTrainersGetVersionsOfTheirOwn() async throws {
        let world = try World()
        let versions = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<16 { group.addTask { try world.publish(.user("a")).version } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(versions.sorted() == Array(1...16))
        #expect(try world.store.versions(of: .user("a")) == Array(1...16))
    }

    @Test func racingChangesOfOneManifestAreAllKept() async throws {
        let world = try World()
        // Users of one shard share a manifest.
        let users = (0..<100_000).lazy.map { "u\($0)" }.filter { Tenant.shard($0) == "07" }.prefix(12)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, user) in users.enumerated() {
                group.addTask {
                    _ = try world.catalogue.activate(
                        [.user(user): index + 1], by: "t", reason: "r", timeMilliseconds: 0)
                }
            }
            try await group.waitForAll()
        }
        let all = try world.catalogue.all()
        #expect(all == Dictionary(uniqueKeysWithValues: users.enumerated().map { (.user($1), $0 + 1) }))
    }

    @Test func everyChangeIsRemembered() throws {
        let world = try World()
        for version in [1, 2, 2, 1] {
            _ = try world.catalogue.activate(
                [.global: version], by: "me", reason: "because", timeMilliseconds: 5)
        }
        let changes = try world.catalogue.changes(of: .global)
        #expect(changes.map(\.from) == [nil, 1, 2])
        #expect(changes.map(\.to) == [1, 2, 1])
        #expect(changes.allSatisfy { $0.by == "me" && $0.reason == "because" && $0.timeMilliseconds == 5 })
    }

    @Test(arguments: ["a/b", "..", ".", "ü", "%2F", "a b", String(repeating: "x", count: 256), "\u{0}"])
    func anyUserIDHasAPlaceOfItsOwn(userID: String) throws {
        let world = try World()
        try world.publish(.user(userID))
        try world.publish(.global)
        #expect(try world.store.versions(of: .user(userID)) == [1])
        #expect(try world.store.header(of: .user(userID), version: 1)?.tenant == .user(userID))
        #expect(try world.store.versions(of: .user(userID + "x")) == [])
    }
}
