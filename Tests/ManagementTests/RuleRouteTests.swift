import Foundation
import Logging
import Rules
import Testing

@testable import Management

/// Rules that come by HTTP.
@Suite struct RuleRouteTests {
    private func call(
        _ api: TestAPI, _ method: String, _ target: String, _ body: String = "", key: String = TestAPI.key
    ) async throws -> JSONAnswer {
        JSONAnswer(
            try await blocking {
                try api.connect().request(method, target, headers: ["X-Admin-Key: \(key)"], body: body)
            })
    }

    @Test func rulesAreMadeListedAndRemoved() async throws {
        let api = try await TestAPI()
        var answer = try await call(api, "GET", "/v1/rules")
        #expect(answer.status == "200" && answer.json["version"] as? Int == 0 && answer.rules.isEmpty)
        let body = #"{"action":"suppress","user_id":"u-1","amount_to":50,"reason":"small ones are theirs"}"#
        let made = try await call(api, "POST", "/v1/rules", body)
        #expect(made.status == "201" && made.json["version"] as? Int == 1, "\(made.json)")
        let again = try await call(api, "POST", "/v1/rules", body)
        #expect(again.status == "200" && again.json["changed"] as? Bool == false && again.id == made.id)
        answer = try await call(api, "GET", "/v1/rules")
        #expect(answer.rules.count == 1 && answer.rules[0]["author"] as? String == "admin", "\(answer.json)")
        #expect((answer.json["sha256"] as? String)?.count == 64)
        // What the API shows is what others read.
        #expect(try RuleStore(objects: api.objects).load(1).rules.map(\.id) == [made.id])
        #expect(try await call(api, "DELETE", "/v1/rules/nobody").status == "404")
        answer = try await call(api, "DELETE", "/v1/rules/\(made.id)")
        #expect(answer.status == "200" && answer.json["version"] as? Int == 2, "\(answer.json)")
        #expect(try await call(api, "GET", "/v1/rules").rules.isEmpty)
    }

    @Test(
        arguments: [
            (#"{"action":"suppress","reason":"everybody"}"#, "422", nil),
            (#"{"action":"suppress","usr":"u","reason":"r"}"#, "422", "usr"),
            (#"{"action":"snooze","user_id":"u","reason":"r"}"#, "422", "expires"),
            (#"{"action":"alert","user_id":"u","reason":"r","author":"the boss"}"#, "422", "author"),
            (
                #"{"action":"alert","user_id":"u","reason":"r","created":"2026-01-01T00:00:00Z"}"#, "422",
                "created"
            ),
            (#"{"action":"alert","user_id":"u""#, "400", nil), ("[]", "400", nil), ("", "400", nil),
        ] as [(String, String, String?)])
    func badOnesAreRefusedByField(body: String, status: String, field: String?) async throws {
        let api = try await TestAPI()
        let answer = try await call(api, "POST", "/v1/rules", body)
        #expect(answer.status == status && answer.json["field"] as? String == field, "\(answer.json)")
        #expect(try RuleStore(objects: api.objects).newest() == 0)
    }

    @Test func anotherRuleOfTheSameIdIsAConflict() async throws {
        let api = try await TestAPI()
        let first = #"{"id":"x","action":"alert","user_id":"u","reason":"r"}"#
        #expect(try await call(api, "POST", "/v1/rules", first).status == "201")
        let other = first.replacing("\"u\"", with: "\"v\"")
        #expect(try await call(api, "POST", "/v1/rules", other).status == "409")
    }

    @Test func aKeyIsNeededAndEachChangeIsInTheAuditLog() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rules-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "audit.log").path
        let log = try AuditLog(path: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let api = try await TestAPI(auditLog: log)
        let body = #"{"id":"mine","action":"suppress","user_id":"u-secret","reason":"r"}"#
        let unasked = try await blocking { try api.connect().request("POST", "/v1/rules", body: body) }
        #expect(unasked.hasPrefix("HTTP/1.1 401"))
        #expect(try await call(api, "POST", "/v1/rules", body, key: "wrong").status == "401")
        #expect(try RuleStore(objects: api.objects).newest() == 0)
        #expect(try await call(api, "POST", "/v1/rules", body).status == "201")
        #expect(try await call(api, "DELETE", "/v1/rules/mine").status == "200")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let lines = text.split(separator: "\n")
        let made = try #require(lines.first { $0.contains("\"addRule\"") && $0.contains("201") })
        #expect(made.contains("\"rule\":\"mine\"") && made.contains("\"to\":\"v1\""), "\(made)")
        #expect(made.contains("\"action\":\"suppress\"") && !text.contains("u-secret"))
        #expect(lines.contains { $0.contains("\"removeRule\"") && $0.contains("\"to\":\"v2\"") })
        _ = try AuditLog.verify(path)
    }

    @Test func anErasedUsersRulesAreGoneAndTheReceiptNamesTheirAuthors() async throws {
        let api = try await TestAPI()
        for user in ["u-1", "u-2"] {
            let body = #"{"id":"of-\#(user)","action":"suppress","user_id":"\#(user)","reason":"r"}"#
            #expect(try await call(api, "POST", "/v1/rules", body).status == "201")
        }
        let receipt = try await call(api, "DELETE", "/v1/users/u-1")
        #expect(["200", "202"].contains(receipt.status), "\(receipt.json)")
        let lost = try #require(receipt.rules.first)
        #expect(lost["id"] as? String == "of-u-1" && lost["author"] as? String == "admin", "\(lost)")
        #expect(
            try await call(api, "GET", "/v1/rules").rules.compactMap { $0["id"] as? String } == ["of-u-2"])
        for version in 1...3 {
            let rules = try RuleStore(objects: api.objects).load(version).rules
            #expect(!rules.contains { $0.conditions.userID == "u-1" }, "v\(version)")
        }
        #expect(try await call(api, "DELETE", "/v1/users/u-3").status == "404")
    }

    /// Who may look after some users may not quieten the alerts of others, nor read of them.
    @Test func aKeyForSomeUsersHasTheirRulesOnly() async throws {
        let (key, entry) = KeyFile.make(name: "k", scopes: [.read, .label], tenantPrefix: "a-", expires: nil)
        let file = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("{\"keys\":[".utf8 + JSONEncoder().encode(entry) + "]}".utf8).write(to: file)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
        let api = try await TestAPI(keyFile: file.path)
        func rule(_ conditions: String) -> String { #"{"action":"suppress",\#(conditions),"reason":"r"}"# }
        for others in [#""user_id":"b-1""#, #""merchant_id":"m""#, #""amount_to":5"#] {
            #expect(try await call(api, "POST", "/v1/rules", rule(others), key: key).status == "403")
            #expect(try await call(api, "POST", "/v1/rules", rule(others)).status == "201")
        }
        let own = try await call(api, "POST", "/v1/rules", rule(#""user_id":"a-1""#), key: key)
        #expect(own.status == "201" && own.json["version"] as? Int == 4, "\(own.json)")
        let seen = try await call(api, "GET", "/v1/rules", key: key)
        #expect(seen.rules.compactMap { $0["id"] as? String } == [own.id])
        let all = try await call(api, "GET", "/v1/rules").rules.compactMap { $0["id"] as? String }
        #expect(all.count == 4)
        for id in all where id != own.id {
            #expect(try await call(api, "DELETE", "/v1/rules/\(id)", key: key).status == "404")
        }
        #expect(try await call(api, "DELETE", "/v1/rules/\(own.id)", key: key).status == "200")
    }
}

extension JSONAnswer {
    fileprivate var rules: [[String: Any]] { json["rules"] as? [[String: Any]] ?? [] }
    fileprivate var id: String { (json["rule"] as? [String: Any])?["id"] as? String ?? "" }
}
