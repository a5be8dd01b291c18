import Foundation
import ObjectStore
import Signing
import Synchronization
import Testing

@testable import Rules

/// Versions of the rules, who changes them, and who follows.
@Suite struct StoreTests {
    private func one(_ id: String, user: String = "u") throws -> Rule {
        try rule(#"{"id":"\#(id)","action":"suppress","user_id":"\#(user)","reason":"r"}"#)
    }

    @Test func everyChangeIsAVersionAndNoVersionChanges() throws {
        let folder = try TemporaryFolder()
        let store = RuleStore(objects: folder.objects)
        #expect(try store.newest() == 0 && store.load(0).rules.isEmpty)
        let first = try store.add(one("a"), by: "ada", now: noon).change.after
        #expect(first.version == 1 && first.rules.map(\.id) == ["a"])
        let second = try store.add(one("b", user: "v"), by: "eve", now: noon).change
        #expect(second.before == 1 && second.after.version == 2)
        #expect(try store.remove("a", by: "eve", now: noon).after.rules.map(\.id) == ["b"])
        #expect(try store.load(1).sha256 == first.sha256 && store.load(1).rules.map(\.id) == ["a"])
        #expect(try store.load(2).sha256 == second.after.sha256 && store.newest() == 3)
        // Twice is once, and another rule of the same id is refused.
        let again = try store.add(one("b", user: "v"), by: "ada", now: noon + 1)
        #expect(!again.change.isChange && again.rule.author == "ada" && again.change.after.version == 3)
        #expect(throws: RuleError.taken(id: "b")) {
            _ = try store.add(one("b", user: "w"), by: "ada", now: noon)
        }
        #expect(throws: RuleError.notFound(id: "x")) { _ = try store.remove("x", by: "ada", now: noon) }
        #expect(try store.newest() == 3)
    }

    @Test func ofTwoWhoChangeThemAtOnceNoneIsLost() async throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    let store = RuleStore(objects: objects)
                    for number in 0..<8 {
                        let rule = try self.one("r\(writer)-\(number)", user: "u\(writer)-\(number)")
                        _ = try store.add(rule, by: "w\(writer)", now: noon)
                    }
                }
            }
            try await group.waitForAll()
        }
        let set = try RuleStore(objects: objects).load(32)
        #expect(set.rules.count == 32)
        #expect(try RuleStore(objects: objects).newest() == 32)
    }

    @Test func theHintIsOnlyAHint() throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        let store = RuleStore(objects: objects)
        for number in 1...5 { _ = try store.add(one("r\(number)", user: "u\(number)"), by: "ada", now: noon) }
        for hint in ["2\n", "99", "-1", "9223372036854775807", "no", ""] {
            try objects.put("rules/latest", Array(hint.utf8), if: .always)
            #expect(try store.newest() == 5, "\(hint)")
        }
        try objects.delete("rules/latest")
        #expect(try store.newest() == 5)
        try objects.put("rules/vx.rules", [1], if: .always)
        #expect(try store.newest() == 5)
    }

    @Test func aFileReplacesThemAndKeepsTheOriginOfWhatItDoesNotChange() throws {
        let folder = try TemporaryFolder()
        let store = RuleStore(objects: folder.objects)
        _ = try store.replace([one("a"), one("b")], by: "ada", now: noon)
        let parser = RuleParser(author: "git", now: noon + 5)
        let file = Array(
            #"[{"id":"b","action":"suppress","user_id":"u","reason":"r"},{"id":"c","action":"alert","user_id":"u","reason":"r"}]"#
                .utf8)
        let change = try store.replace(parser.rules(file), by: "git", now: noon + 5)
        #expect(change.after.version == 2 && change.after.rules.map(\.id) == ["b", "c"])
        #expect(change.after.rules.map(\.author) == ["ada", "git"])
        #expect(try !store.replace(parser.rules(file), by: "git", now: noon + 9).isChange)
        #expect(throws: RuleError.self) {
            _ = try store.replace([one("a"), one("a", user: "v")], by: "g", now: 0)
        }
    }

    @Test func thereAreLimits() throws {
        let folder = try TemporaryFolder()
        let store = RuleStore(objects: folder.objects)
        func refused(_ count: Int, _ conditions: (Int) -> String) throws -> Bool {
            let texts = (0..<count).map {
                #"{"id":"r\#($0)","action":"suppress",\#(conditions($0)),"reason":"r"}"#
            }
            let rules = try rules("[\(texts.joined(separator: ","))]")
            do {
                _ = try store.replace(rules, by: "ada", now: noon)
                return false
            } catch RuleError.invalid(let field, _) {
                #expect(field == "rules")
                return true
            }
        }
        #expect(try !refused(5_000) { "\"user_id\":\"u\($0)\"" })
        #expect(try refused(5_001) { "\"user_id\":\"u\($0)\"" })
        #expect(try !refused(200) { "\"merchant_id\":\"m\",\"amount_to\":\($0)" })
        #expect(try refused(201) { "\"merchant_id\":\"m\",\"amount_to\":\($0)" })
        #expect(try !refused(50) { "\"amount_to\":\($0)" })
        #expect(try refused(51) { "\"amount_to\":\($0)" })
    }

    @Test func aVersionThatTheKeyHasNotSignedIsRefused() throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        let signed = RuleStore(objects: objects, hmacKey: "secret")
        _ = try signed.add(one("a"), by: "ada", now: noon)
        #expect(try signed.load(1).rules.count == 1)
        // Who has no key reads it, and what they write is refused.
        let open = RuleStore(objects: objects)
        #expect(try open.load(1).sha256 == signed.load(1).sha256)
        _ = try open.add(one("b"), by: "mallory", now: noon)
        #expect(throws: RuleError.self) { _ = try signed.load(2) }
        #expect(throws: RuleError.self) { _ = try RuleStore(objects: objects, hmacKey: "other").load(1) }
        // A signed one under another number is no version of that number.
        let bytes = try #require(try objects.get("rules/v1.rules")).bytes
        try objects.put("rules/v3.rules", bytes, if: .absent)
        #expect(throws: RuleError.self) { _ = try signed.load(3) }
        // Importing is the way out.
        let mended = try signed.replace([one("c")], by: "ada", now: noon)
        #expect(mended.after.version == 4 && mended.after.rules.map(\.id) == ["c"])
    }

    @Test func anotherKeySignsThemAnewAndTheirNamesStay() throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        let store = RuleStore(objects: objects, hmacKey: "old")
        for user in ["u", "v"] { _ = try store.add(one("r-\(user)", user: user), by: "ada", now: noon) }
        let both = RuleStore(objects: objects, keys: SigningKeys(newest: "new", older: ["old"]))
        _ = try RuleStore(objects: objects).add(one("x", user: "w"), by: "mallory", now: noon)
        let names = try (1...2).map { try both.load($0).sha256 }
        let new = RuleStore(objects: objects, hmacKey: "new")
        #expect(throws: RuleError.self) { _ = try new.load(2) }
        let resigned = try both.resign()
        #expect(resigned.signed == 2 && resigned.refused == [3])
        #expect(try (1...2).map { try new.load($0).sha256 } == names)
        #expect(throws: RuleError.self) { _ = try store.load(2) }
        #expect(try both.resign().signed == 0)
    }

    // MARK: Following

    @Test func aProcessFollowsAndGoesOnWithoutTheStore() throws {
        let folder = try TemporaryFolder()
        let objects = FickleStore(folder.objects)
        let store = RuleStore(objects: objects)
        let cache = folder.path + "/rules.json"
        let current = CurrentRules(store: store, cachePath: cache, logger: quiet)
        current.refresh()
        #expect(current.current.version == 0 && current.trouble == nil)
        _ = try store.add(one("a"), by: "ada", now: noon)
        current.refresh()
        #expect(current.current.version == 1)
        objects.isAway = true
        current.refresh()
        #expect(current.current.version == 1 && current.trouble != nil)
        // A process that starts meanwhile.
        let started = CurrentRules(store: store, cachePath: cache, logger: quiet)
        started.refresh()
        #expect(started.current.rules.map(\.id) == ["a"] && started.trouble != nil)
        objects.isAway = false
        _ = try store.add(one("b"), by: "ada", now: noon)
        for process in [current, started] {
            process.refresh()
            #expect(process.current.version == 2 && process.trouble == nil)
        }
    }

    /// A machine that is new while the store is away does not take that for an answer.
    @Test func noRulesAreKnownOnceTheStoreHasSaidSo() throws {
        let folder = try TemporaryFolder()
        let objects = FickleStore(folder.objects)
        let store = RuleStore(objects: objects)
        let cache = folder.path + "/rules.json"
        func start() -> CurrentRules {
            let rules = CurrentRules(store: store, cachePath: cache, logger: quiet)
            rules.refresh()
            return rules
        }
        objects.isAway = true
        let new = start()
        #expect(!new.isKnown)
        objects.isAway = false
        new.refresh()
        #expect(new.isKnown && new.current.version == 0)
        objects.isAway = true
        #expect(start().isKnown && start().current.version == 0)
        objects.isAway = false
        _ = try store.add(one("a"), by: "ada", now: noon)
        #expect(start().current.version == 1)
        objects.isAway = true
        #expect(start().isKnown && start().current.version == 1)
    }

    @Test func aDamagedVersionLeavesThePresentOneInPlace() throws {
        let folder = try TemporaryFolder()
        let objects = folder.objects
        let store = RuleStore(objects: objects)
        let current = CurrentRules(store: store, logger: quiet)
        _ = try store.add(one("a"), by: "ada", now: noon)
        current.refresh()
        try objects.put("rules/v2.rules", Array("{}".utf8), if: .absent)
        current.refresh()
        #expect(current.current.version == 1 && current.trouble?.contains("v2") == true)
        #expect(throws: RuleError.self) { _ = try store.add(one("b"), by: "ada", now: noon) }
        _ = try store.replace([one("b")], by: "ada", now: noon)
        current.refresh()
        #expect(current.current.version == 3 && current.current.rules.map(\.id) == ["b"])
    }

    @Test func whatWasKeptOfAnotherStoreIsLetGo() throws {
        let (one, other) = (try TemporaryFolder(), try TemporaryFolder())
        let cache = one.path + "/rules.json"
        for number in 1...3 {
            _ = try RuleStore(objects: one.objects).add(
                self.one("r\(number)", user: "u\(number)"), by: "ada", now: noon)
        }
        CurrentRules(store: RuleStore(objects: one.objects), cachePath: cache, logger: quiet).refresh()
        let moved = CurrentRules(store: RuleStore(objects: other.objects), cachePath: cache, logger: quiet)
        #expect(moved.current.version == 3)
        moved.refresh()
        #expect(moved.current.version == 0)
        // A damaged file is none.
        try Data("{\"format\"".utf8).write(to: URL(filePath: cache))
        #expect(
            CurrentRules(store: RuleStore(objects: one.objects), cachePath: cache, logger: quiet).current
                .version
                == 0)
    }
}
