import Foundation
import ObjectStore
import Testing

@testable import Rules

/// Users who are erased, and the rules that named them.
@Suite struct ErasingTests {
    private func texts(_ objects: any ObjectStore) throws -> String {
        try objects.listAll(prefix: "").map {
            String(decoding: try #require(try objects.get($0.key)).bytes, as: UTF8.self)
        }.joined()
    }

    @Test(arguments: [nil, "secret"]) func noVersionNamesThemAndVerdictsOfOthersNameTheSameVersions(
        secret: String?
    ) throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        let store = RuleStore(objects: objects, hmacKey: secret)
        let gone = #"{"id":"x","action":"suppress","user_id":"gone/\"1","reason":"r"}"#
        _ = try store.add(rule(gone), by: "ada", now: noon)
        _ = try store.add(
            rule(#"{"id":"y","action":"alert","user_id":"stays","reason":"r"}"#), by: "eve", now: noon)
        _ = try store.remove("x", by: "eve", now: noon)
        _ = try store.add(rule(gone.replacing("\"x\"", with: "\"z\"")), by: "ada", now: noon)
        let before = try (1...4).map { try store.load($0) }
        #expect(try texts(objects).contains("gone/"))

        let erased = try store.erase(userID: "gone/\"1", by: "officer", now: noon + 5)
        #expect(erased.rules.map(\.id) == ["z"] && erased.rules.map(\.author) == ["ada"])
        #expect(erased.versions == [4, 2, 1] && erased.unreadable.isEmpty)
        #expect(!(try texts(objects).contains("gone/")))
        #expect(try store.newest() == 5 && store.load(5).rules.map(\.id) == ["y"])
        for (version, set) in zip(1..., before) {
            let now = try store.load(version)
            #expect(now.sha256 == set.sha256, "v\(version)")
            let other = transaction(user: "stays")
            #expect(now.decision(other) == set.decision(other), "v\(version)")
        }
        // Once is enough, and others are not touched.
        let again = try store.erase(userID: "gone/\"1", by: "officer", now: noon + 6)
        #expect(again.rules.isEmpty && again.versions.isEmpty && again.unreadable.isEmpty)
        #expect(try store.erase(userID: "stay", by: "officer", now: noon).versions.isEmpty)
        // A second user of a version that was written anew: it keeps its first name.
        #expect(try store.erase(userID: "stays", by: "officer", now: noon + 7).versions == [5, 4, 3, 2])
        #expect(try store.load(2).sha256 == before[1].sha256)
    }

    @Test func aVersionThatCannotBeReadIsNamed() throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        let store = RuleStore(objects: objects)
        _ = try store.add(
            rule(#"{"id":"x","action":"suppress","user_id":"gone","reason":"r"}"#), by: "ada", now: noon)
        try objects.put("rules/v2.rules", Array(#"{"user_id":"gone""#.utf8), if: .absent)
        try objects.put("rules/v3.rules", Array("{".utf8), if: .absent)
        let erased = try store.erase(userID: "gone", by: "officer", now: noon)
        #expect(erased.versions == [1] && erased.unreadable == [2])
    }

    /// The format of a version from which a user was erased, for ever.
    @Test func anErasedVersionIsRead() throws {
        let original = String(repeating: "0a", count: 32)
        let text =
            #"{"format":"ml-rules-1","version":7,"original":"\#(original)","previous":null,"by":"ada","#
            + #""time":"2026-02-03T12:00:00Z","rules":[{"id":"y","action":"alert","user_id":"stays","#
            + #""publish":true,"reason":"r","author":"eve","created":"2026-02-03T12:00:00Z"}]}"#
        let set = try RuleSet(decoding: Array(text.utf8), version: 7, keys: .none)
        #expect(set.sha256 == original && set.rules.map(\.id) == ["y"])
        #expect(throws: RuleError.self) {
            _ = try RuleSet(
                decoding: Array(text.replacing(original, with: "ab").utf8), version: 7, keys: .none)
        }
    }
}
