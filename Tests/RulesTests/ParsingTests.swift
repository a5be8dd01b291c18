import DetectorAPI
import Foundation
import Testing
import Torture

@testable import Rules

/// Rules that people and other programs write.
@Suite struct ParsingTests {
    @Test func aRuleIsReadAndWrittenTheSame() throws {
        let text = #"""
            {"id":"r-1","action":"suppress","user_id":"ü","merchant_id":"m","category":"c","amount_from":-1.5,\#
            "amount_to":2.0,"expires":"2026-03-01T00:00:00.000Z","publish":true,"reason":"a \"b\"","author":"eve",\#
            "created":"2026-01-01T00:00:00.000Z"}
            """#
        #expect(String(decoding: try rule(text).json, as: UTF8.self) == text)
        let short = try rule(#"{"action":"alert","user_id":"u","reason":"r"}"#)
        #expect(short.author == "ada" && short.createdMilliseconds == noon && short.isPublished)
        #expect(short.id.count == 18 && short.id.hasPrefix("r-"))
        #expect(try rule(#"{"reason":"r","user_id":"u","action":"alert"}"#).id == short.id)
        #expect(try rule(#"{"action":"alert","user_id":"u","reason":"s"}"#).id != short.id)
    }

    @Test(arguments: [
        (#"{"action":"hide","user_id":"u","reason":"r"}"#, "action"),
        (#"{"user_id":"u","reason":"r"}"#, "action"),
        (#"{"action":"suppress","user_id":"u"}"#, "reason"),
        (#"{"action":"suppress","user_id":"u","reason":""}"#, "reason"),
        (#"{"action":"suppress","reason":"for everybody"}"#, ""),
        (#"{"action":"suppress","user_idd":"u","merchant_id":"m","reason":"r"}"#, "user_idd"),
        (#"{"action":"suppress","user_id":7,"reason":"r"}"#, "user_id"),
        (#"{"action":"suppress","user_id":"","reason":"r"}"#, "user_id"),
        (#"{"action":"snooze","user_id":"u","reason":"no end"}"#, "expires"),
        (#"{"action":"snooze","user_id":"u","reason":"r","expires":"soon"}"#, "expires"),
        (#"{"action":"snooze","user_id":"u","reason":"r","expires":"2026-01-01T00:00:00"}"#, "expires"),
        (#"{"action":"suppress","user_id":"u","reason":"r","expires":"2999-01-01T00:00:00Z"}"#, "expires"),
        (#"{"action":"suppress","amount_from":2,"amount_to":1,"reason":"r"}"#, "amount_to"),
        (#"{"action":"alert","user_id":"u","reason":"r","publish":false}"#, "publish"),
        (#"{"id":"a b","action":"alert","user_id":"u","reason":"r"}"#, "id"),
        (#"{"id":"../v9","action":"alert","user_id":"u","reason":"r","amount_from":true}"#, "amount_from"),
        (#"{"id":"","action":"alert","user_id":"u","reason":"r"}"#, "id"),
    ])
    func aWrongOneIsRefusedByItsField(text: String, field: String) throws {
        let error = #expect(throws: RuleError.self) { _ = try rule(text) }
        guard case .invalid(let found, _) = error else { throw try #require(error) }
        #expect(found == field, "\(String(describing: error))")
        // Among others it is named with its place.
        let good = #"{"action":"alert","user_id":"u","reason":"r"}"#
        for file in ["[\(good),\(text)]", "{\"version\":3,\"rules\":[\(good),\(text)]}"] {
            guard
                case .invalid(let place, _) = #expect(
                    throws: RuleError.self, performing: { _ = try rules(file) })
            else { continue }
            #expect(place.hasPrefix("rules[1]"), "\(place)")
        }
    }

    @Test(arguments: ["", "7", "[", "{}", "[[]]", "null", "{\"rules\":{}}", "[{\"a\":1e999}]", "\u{0}"])
    func whatIsNoRulesIsRefused(text: String) {
        #expect(throws: RuleError.self) { _ = try rules(text) }
    }

    @Test func nestingAndLengthsAreBounded() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: RuleError.self) { _ = try rules(deep) }
        let long = String(repeating: "x", count: 257)
        #expect(throws: RuleError.self) {
            _ = try rule(#"{"action":"alert","user_id":"\#(long)","reason":"r"}"#)
        }
        #expect(throws: RuleError.self) {
            _ = try rule(#"{"action":"alert","user_id":"u","reason":"\#(long)\#(long)"}"#)
        }
    }

    /// Whatever the store holds is refused, or is rules within their limits.
    @Test func tortureRules() throws {
        let rules = try (0..<40).map {
            try rule(
                #"{"id":"r\#($0)","action":"suppress","user_id":"u\#($0 % 7)","amount_to":\#($0),"reason":"r"}"#
            )
        }
        let sound = RuleSet.encode(
            version: 3, rules: try RuleSet.checked(rules), previous: nil, by: "ada", at: noon)
        _ = try RuleSet(decoding: sound, version: 3, keys: .none)
        try Torture("rules").run(rounds: 300) { random in
            guard
                let set = try? RuleSet(decoding: Mutation.apply(to: sound, &random), version: 3, keys: .none)
            else { return .refused }
            guard set.rules.count <= RuleLimits.rules, set.rules.allSatisfy({ !$0.conditions.isEmpty }) else {
                throw Torture.Failure("rules beyond their limits were taken")
            }
            _ = set.decision(transaction(user: "u1", amount: 3))
            return .accepted
        }
    }
}
