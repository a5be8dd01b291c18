import Exact
import Foundation
import Hummingbird
import Rules

func ruleEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/v1/rules", name: "rules",
            summary: "What analysts have decided about alerts: suppressed, snoozed, always alerted",
            details: """
                The version that serves, or that serves within `rules.seconds`, by the rules' ids. A key that is for some \
                users only sees the rules that name them. Where there are more than `limit`, the header `Link` names the \
                next page (`rel="next"`); where that has another `version`, somebody has changed the rules meanwhile.
                """,
            scope: .read,
            parameters: [
                .query("limit", .integer(1...RuleLimits.rules), "At most; without it: all.", example: 20),
                .query("cursor", .text(1...64), "Only rules whose `id` comes after this one."),
            ],
            answers: [.ok("The rules", "Rules")]
        ) { call, services in
            let set = try await services.blocking {
                try services.rules.load(try services.rules.newest())
            }
            let limit = call.integer("limit") ?? RuleLimits.rules
            let after = call.text("cursor")
            let rules = set.rules.filter { rule in
                call.mayTouch(rule) && (after.map { $0 < rule.id } ?? true)
            }
            var response = Response.json(bytes: json(set, rules.prefix(limit)))
            if rules.count > limit { response.linkNext("/v1/rules", call, cursor: rules[limit - 1].id) }
            return response
        },
        Endpoint(
            .post, "/v1/rules", name: "addRule",
            summary:
                "Suppress or snooze alerts of a user, merchant, category or amount range, or always alert",
            details: """
                Every change makes a new version of the rules, which workers take between two batches, within \
                `rules.seconds`. Scores and thresholds stay what they are; the verdict says `suppressed_by` or `alerted_by` \
                and names the version. An alert rule goes before others, and then the first by id. `expires` is compared \
                with the transaction's own time. The same rule twice is once. A key that is for some users only makes rules \
                that name one of them.
                """,
            scope: .label,
            body: Endpoint.Body(
                schema: "RuleRequest",
                example: [
                    "action": "snooze", "user_id": "user-000001", "expires": "2026-03-01T00:00:00Z",
                    "reason": "on holiday, called back",
                ], maximumBytes: 16 << 10),
            answers: [
                Endpoint.Answer(status: .created, meaning: "The rule is there now", schema: "RuleReceipt"),
                .ok("The rule was there already", "RuleReceipt"),
                .problem(.conflict, "Another rule has the id"),
                .problem(.contentTooLarge, "The body has more than sixteen kibibytes"),
            ]
        ) { call, services in
            let now = Int64(Date().timeIntervalSince1970 * 1_000)
            try refuseOrigin(call.body)
            let rule = try RuleParser(author: call.caller, now: now).rule(call.body)
            try call.identity?.check(userID: rule.conditions.userID)
            call.record.set("user_id", rule.conditions.userID)
            call.record.set("action", rule.action.rawValue)
            let (kept, change) = try await services.blocking {
                defer { services.currentRules?.refresh() }
                return try services.rules.add(rule, by: call.caller, now: now)
            }
            call.note(change, id: kept.id)
            return .json(bytes: receipt(change, kept), status: change.isChange ? .created : .ok)
        },
        Endpoint(
            .delete, "/v1/rules/{rule_id}", name: "removeRule", summary: "Remove a rule",
            details:
                "Verdicts that it decided about are made again with the version that they name, which stays.",
            scope: .label,
            parameters: [.path("rule_id", .text(1...64), "The rule's id.", example: "r-0011223344556677")],
            answers: [.ok("It is gone", "RuleReceipt"), .problem(.notFound, "There is no such rule")]
        ) { call, services in
            let id = call.text("rule_id") ?? ""
            let now = Int64(Date().timeIntervalSince1970 * 1_000)
            let change = try await services.blocking {
                defer { services.currentRules?.refresh() }
                return try services.rules.remove(id, by: call.caller, now: now) {
                    // A rule of others is not there for this key.
                    guard call.mayTouch($0) else { throw RuleError.notFound(id: id) }
                }
            }
            call.note(change, id: id)
            return .json(bytes: receipt(change, nil))
        },
    ]
}

/// Who made a rule and when is the service's to say.
private func refuseOrigin(_ body: [UInt8]) throws {
    guard let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any] else {
        throw RuleError.notJSON
    }
    try BodyFields.refuseRepeated(Data(body))
    for field in ["author", "created"] where object[field] != nil {
        throw Problem.invalid("the service says it: leave it out", field: field)
    }
}

extension Call {
    fileprivate func mayTouch(_ rule: Rule) -> Bool {
        guard let identity else { return true }
        return (try? identity.check(userID: rule.conditions.userID)) != nil
    }

    /// For the audit log.
    fileprivate func note(_ change: RuleStore.Change, id: String) {
        record.set("rule", id)
        record.set("from", "v\(change.before)")
        record.set("to", "v\(change.after.version)")
    }
}

private func json(_ set: RuleSet, _ rules: ArraySlice<Rule>) -> [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    json.field("version", Int64(set.version))
    if let sha256 = set.sha256 { json.field("sha256", sha256) }
    json.beginArray("rules")
    for rule in rules { rule.write(into: &json) }
    json.endArray()
    json.endObject()
    return json.bytes
}

private func receipt(_ change: RuleStore.Change, _ rule: Rule?) -> [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    json.field("version", Int64(change.after.version))
    json.key("changed")
    json.append(change.isChange ? "true" : "false")
    if let rule {
        json.key("rule")
        rule.json.withUnsafeBufferPointer { json.append(plain: $0) }
    }
    json.endObject()
    return json.bytes
}
