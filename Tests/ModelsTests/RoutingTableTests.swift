import DetectorAPI
import Foundation
import Testing

@testable import Models

@Suite struct RoutingTableTests {
    /// Whatever changes in whatever order, the table says what a dictionary of the latest changes says.
    @Test func theTableIsADictionaryOfTheLatestChanges() throws {
        var generator = SeededGenerator(seed: 5)
        var table = RoutingTable()
        var model: [Tenant: (sequence: Int, version: Int?)] = [:]
        for step in 1...400 {
            var changes: [ModelChange] = []
            for _ in 0...generator.below(30) {
                let id = generator.below(40) == 0 ? nil : "user-\(generator.below(300))"
                let tenant = id.map(Tenant.user) ?? .global
                // A tenant that is gone is forgotten with its sequence, so only newer changes come.
                let isStale = generator.below(4) == 0 && model[tenant]?.version != nil
                let sequence = isStale ? max(1, step - 1 - generator.below(step)) : step
                let version = generator.below(5) == 0 ? nil : 1 + generator.below(1_000)
                changes.append(
                    ModelChange(
                        userID: id, sequence: sequence, to: version, by: "", reason: "", timeMilliseconds: 0))
                if sequence > model[tenant]?.sequence ?? 0 { model[tenant] = (sequence, version) }
            }
            table = table.applying(changes)
            for (tenant, expected) in model { #expect(table.version(of: tenant) == expected.version) }
        }
        #expect(table.userCount == model.count { $0.key != .global && $0.value.version != nil })
        let active = model.compactMapValues { entry in
            entry.version.map { ActiveModel(version: $0, sequence: entry.sequence) }
        }
        let rebuilt = RoutingTable(active)
        for (tenant, expected) in model { #expect(rebuilt.version(of: tenant) == expected.version) }
        #expect(rebuilt.userCount == table.userCount)
    }

    @Test func aChangeLeavesEarlierTablesAsTheyWere() {
        let before = RoutingTable([.user("a"): ActiveModel(version: 1), .global: ActiveModel(version: 1)])
        let after = before.applying([
            ModelChange(userID: "a", sequence: 2, from: 1, to: 2, by: "", reason: "", timeMilliseconds: 0),
            ModelChange(userID: nil, sequence: 2, from: 1, to: 2, by: "", reason: "", timeMilliseconds: 0),
        ])
        #expect(before.version(of: .user("a")) == 1)
        #expect(before.global == 1)
        #expect(after.version(of: .user("a")) == 2)
        #expect(after.global == 2)
    }

    /// Of users whose ids have the same hash each has their own version.
    @Test func usersWithTheSameHashAreToldApart() {
        let users = ["a", "b", "cc", "", "cd"].enumerated().map { index, id in
            RoutedUser(hash: 0xFFFF_FFFF_0000_0003, id: Array(id.utf8), index + 1, sequence: 1)
        }
        func version(_ id: String, in shard: RoutingShard) -> Int? {
            Array(id.utf8).withUnsafeBytes { shard.find(0xFFFF_FFFF_0000_0003, $0)?.version }
        }
        var shard = RoutingShard(users)
        for (index, id) in ["a", "b", "cc", "", "cd"].enumerated() {
            #expect(version(id, in: shard) == index + 1)
        }
        #expect(version("c", in: shard) == nil)
        shard = shard.applying([
            RoutedUser(hash: 0xFFFF_FFFF_0000_0003, id: Array("b".utf8), RoutedUser.none, sequence: 2),
            RoutedUser(hash: 0xFFFF_FFFF_0000_0003, id: Array("cd".utf8), 9, sequence: 2),
        ])
        #expect(version("b", in: shard) == nil)
        #expect(version("cd", in: shard) == 9)
        #expect(version("a", in: shard) == 1)
    }
}
