import Foundation
import Testing
import Transactions

@testable import Rules

/// Which rule decides about which transaction.
@Suite struct DecidingTests {
    private func set(_ json: String) throws -> RuleSet {
        let folder = try TemporaryFolder()
        return try RuleStore(objects: folder.objects).replace(try rules(json), by: "ada", now: noon).after
    }

    @Test func allConditionsOfARuleMustHold() throws {
        let set = try set(
            #"""
            [{"id":"all","action":"suppress","user_id":"u","merchant_id":"m","category":"c","amount_from":5,
              "amount_to":10,"reason":"r"}]
            """#)
        let fitting = transaction(amount: 10, merchant: "m", category: "c")
        #expect(set.decision(fitting) == "all")
        #expect(set.decision(fitting, isAnomaly: false) == nil)
        #expect(set.decision(transaction(amount: 5, merchant: "m", category: "c")) == "all")
        for other in [
            transaction(user: "v", merchant: "m", category: "c"), transaction(merchant: "n", category: "c"),
            transaction(merchant: "m"), transaction(amount: 10.01, merchant: "m", category: "c"),
            transaction(amount: 4.99, merchant: "m", category: "c"),
        ] { #expect(set.decision(other) == nil, "\(other)") }
    }

    @Test func expiryIsOfTheTransactionsOwnTime() throws {
        let set = try set(
            #"[{"id":"z","action":"snooze","user_id":"u","expires":"2026-02-03T12:00:00Z","reason":"r"}]"#)
        #expect(set.decision(transaction(time: noon - 1)) == "z")
        #expect(set.decision(transaction(time: noon)) == nil)
        // Years ago: the clock of whoever asks has no part in it.
        #expect(set.decision(transaction(time: 40_000_000_000)) == "z")
    }

    @Test func alertsGoFirstAndThenTheFirstById() throws {
        let set = try set(
            #"""
            [{"id":"a","action":"suppress","merchant_id":"m","reason":"r"},
             {"id":"b","action":"suppress","user_id":"u","reason":"r"},
             {"id":"c","action":"alert","category":"c","reason":"r"},
             {"id":"d","action":"suppress","amount_from":100,"reason":"r"}]
            """#)
        #expect(set.decision(transaction(merchant: "m")) == "a")
        #expect(set.decision(transaction(merchant: "x")) == "b")
        #expect(set.decision(transaction(merchant: "m", category: "c")) == "c")
        #expect(set.decision(transaction(category: "c"), isAnomaly: false) == "c")
        #expect(set.decision(transaction(user: "v", amount: 100)) == "d")
        #expect(set.decision(transaction(user: "v", amount: 99)) == nil)
    }

    /// Two spellings of one letter are two users, as everywhere in the stream.
    @Test func textsAreComparedByTheirBytes() throws {
        let set = try set(
            "[{\"id\":\"a\",\"action\":\"suppress\",\"user_id\":\"e\u{301}\",\"reason\":\"r\"}]")
        #expect(set.decision(transaction(user: "e\u{301}")) == "a")
        #expect(set.decision(transaction(user: "\u{e9}")) == nil)
    }

    /// The index finds what looking at every rule finds.
    @Test func theIndexFindsWhatAllRulesSay() throws {
        var random = SystemRandomNumberGenerator()
        let seed = random.next()
        var state = seed
        func below(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(count))
        }
        var all: [Rule] = []
        for number in 0..<300 {
            var conditions = Rule.Conditions()
            if below(2) == 0 { conditions.userID = "u\(below(30))" }
            if below(2) == 0 { conditions.merchantID = "m\(below(30))" }
            if below(3) == 0 { conditions.category = "c\(below(10))" }
            if below(3) == 0 { conditions.amountFrom = Double(below(100)) }
            if conditions.isEmpty || (conditions.amountFrom != nil && below(2) == 0) {
                conditions.userID = "u\(below(30))"
            }
            if conditions.userID == nil, conditions.merchantID == nil, conditions.category == nil, number > 40
            {
                conditions.category = "c\(below(10))"
            }
            all.append(
                Rule(
                    id: "r\(below(1_000_000))-\(number)", action: below(4) == 0 ? .alert : .suppress,
                    conditions: conditions,
                    expiresMilliseconds: below(2) == 0 ? noon + Int64(below(1_000)) : nil, reason: "r",
                    author: "a", createdMilliseconds: noon))
        }
        let folder = try TemporaryFolder()
        let set = try RuleStore(objects: folder.objects).replace(all, by: "ada", now: noon).after
        for _ in 0..<400 {
            let one = transaction(
                user: "u\(below(40))", amount: Double(below(120)), time: noon + Int64(below(1_000)),
                merchant: below(5) == 0 ? nil : "m\(below(40))", category: "c\(below(12))")
            let isAnomaly = below(2) == 0
            let rows = batch(one)
            let applying = set.rules.filter { $0.applies(to: 0, of: rows) }
            let expected =
                applying.first { $0.action == .alert }
                ?? (isAnomaly ? applying.first { $0.action != .alert } : nil)
            #expect(set.decision(one, isAnomaly: isAnomaly) == expected?.id, "seed \(seed)")
        }
    }
}
