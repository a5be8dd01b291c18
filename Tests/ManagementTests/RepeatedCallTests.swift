import Foundation
import ObjectStore
import Testing
import Transactions

@testable import Management

/// A call whose answer got lost is sent again, and one that was meant for other models changes nothing.
@Suite struct RepeatedCallTests {
    private func call(
        _ api: TestAPI, _ method: String, _ target: String, _ body: String = "", headers: [String] = []
    ) async throws -> (text: String, answer: JSONAnswer) {
        let text = try await blocking {
            try api.connect().request(
                method, target, headers: ["X-Admin-Key: \(TestAPI.key)"] + headers, body: body)
        }
        return (text, JSONAnswer(text))
    }

    private func rule(_ user: String) -> String {
        #"{"action":"suppress","user_id":"\#(user)","reason":"r"}"#
    }

    @Test func theSameKeyGivesTheFirstAnswerAndChangesNothingMore() async throws {
        let api = try await TestAPI()
        let key = ["Idempotency-Key: k1"]
        let first = try await call(api, "POST", "/v1/rules", rule("a"), headers: key).answer
        let again = try await call(api, "POST", "/v1/rules", rule("a"), headers: key).answer
        // Without the key the second one is told that there is such a rule already.
        #expect(first.status == "201" && again.status == "201", "\(again.json)")
        #expect(NSDictionary(dictionary: first.json) == NSDictionary(dictionary: again.json))
        let other = try await call(api, "POST", "/v1/rules", rule("b"), headers: key).answer
        #expect(other.status == "409" && other.json["field"] as? String == "Idempotency-Key", "\(other.json)")

        let id = (first.json["rule"] as? [String: Any])?["id"] as? String ?? ""
        for _ in 0..<2 {
            let gone = try await call(api, "DELETE", "/v1/rules/\(id)", headers: ["Idempotency-Key: k2"])
                .answer
            #expect(gone.status == "200" && gone.json["version"] as? Int == 2, "\(gone.json)")
        }
        // What fails may be sent again.
        for _ in 0..<2 {
            let missing = try await call(api, "DELETE", "/v1/rules/\(id)", headers: ["Idempotency-Key: k3"])
            #expect(missing.answer.status == "404", "\(missing.text)")
        }
    }

    /// Rolling back twice would be rolling forth again.
    @Test func rollingBackTwiceIsOnce() async throws {
        let api = try await TestAPI()
        api.services.registry.register(SameScore())
        for version in 1...2 {
            try api.publish()
            #expect(try await call(api, "POST", "/v1/models/v\(version)/promote").answer.status == "200")
        }
        for _ in 0..<2 {
            let back = try await call(
                api, "POST", "/v1/models/previous/promote", headers: ["Idempotency-Key: back"]
            ).answer
            #expect(back.json["version"] as? String == "v1" && back.json["changed"] as? Bool == true)
        }
        #expect(try api.services.catalogue.active(.global) == 1)
    }

    @Test func aCallIsDoneOnceWhicheverProcessIsAsked() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "answers-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let objects = DirectoryObjectStore(root: folder.path)
        let (one, two) = (RepeatedCalls(objects: objects), RepeatedCalls(objects: objects))
        let (now, day): (Int64, Int64) = (1_767_225_600_000, 86_400_000)
        let answer = RepeatedCalls.Answer(status: 200, headers: ["content-type": "x"], body: Data("b".utf8))

        guard case .new(let key) = try one.begin("ada", "k", request: "r", now: now) else {
            Issue.record("it is known before it has come")
            return
        }
        let underWay = #expect(throws: Problem.self) { try two.begin("ada", "k", request: "r", now: now) }
        #expect(underWay?.name == "idempotency-key-in-use" && underWay?.headers[.retryAfter] != nil)
        try one.finish(key, request: "r", answer)
        for later in [0, day - 1, day] {
            guard case .answered(let kept) = try two.begin("ada", "k", request: "r", now: now + later) else {
                Issue.record("not known \(later) ms later")
                continue
            }
            #expect(kept.status == 200 && kept.body == answer.body && kept.headers == answer.headers)
        }
        let reused = #expect(throws: Problem.self) { try two.begin("ada", "k", request: "s", now: now) }
        #expect(reused?.name == "idempotency-key-reused")
        // Somebody else's key is another one; and what is old is gone.
        guard case .new = try two.begin("eve", "k", request: "s", now: now) else {
            Issue.record("a key is its caller's own")
            return
        }
        guard case .new = try two.begin("ada", "k", request: "s", now: now + 2 * day) else {
            Issue.record("known for ever")
            return
        }
        for (days, count): (Int64, Int) in [(1, 3), (2, 1)] {
            try two.clean(now: now + days * day)
            #expect(try objects.listAll(prefix: "answers/").count == count)
        }
    }

    @Test func modelsThatHaveChangedAreNotPromotedUnseen() async throws {
        let api = try await TestAPI()
        api.services.registry.register(SameScore())
        func tag() async throws -> String {
            let text = try await call(api, "GET", "/v1/models").text
            return try #require(text.firstMatch(of: /etag: ("[^"]*")/.ignoresCase()).map { String($0.1) })
        }
        let empty = try await tag()
        try api.publish()
        let stored = try await tag()
        #expect(stored != empty)
        for match in [empty, "\"x\"", "v1"] {
            let refused = try await call(
                api, "POST", "/v1/models/v1/promote", headers: ["If-Match: \(match)"])
            #expect(refused.answer.status == "412", "\(refused.text)")
            #expect(refused.answer.json["field"] as? String == "If-Match")
        }
        #expect(try api.services.catalogue.active(.global) == nil)
        let done = try await call(
            api, "POST", "/v1/models/v1/promote", headers: ["If-Match: \"x\", \(stored)"])
        #expect(done.answer.status == "200", "\(done.text)")
        #expect(try await tag() != stored)
        #expect(
            try await call(api, "POST", "/v1/models/v1/promote", headers: ["If-Match: *"]).answer.status
                == "200")
    }

    @Test(arguments: [
        (
            "/v1/train",
            #"{"user_id":"a","user_id":"b","date_range":{"start":"2026-01-01","end":"2026-01-02"}}"#,
            "user_id"
        ),
        (
            "/v1/train", #"{"date_range":{"start":"2026-01-01","end":"2026-01-02","\u0065nd":"2026-01-03"}}"#,
            "end"
        ),
        ("/v1/rules", #"{"action":"suppress","action":"alert","user_id":"a","reason":"r"}"#, "action"),
        (
            "/v1/labels",
            #"[{"transaction_id":"t","label":"fraud","label":"genuine","known_at":"2026-01-01T00:00:00Z"}]"#,
            "labels[0].label"
        ),
        (
            "/v1/labels",
            #"[{"transaction_id":"t","label":"fraud","known_at":"2026-01-01T00:00:00Z","more":[1,{"a":[2,3]}]},{"transaction_id":"t","known_at":1767225600,"label":"fraud","known_at":1767225601}]"#,
            "labels[1].known_at"
        ),
        (
            "/v1/labels", #"{"transaction_id":"t","label":"fraud","label":"genuine","known_at":1767225600}"#,
            "label"
        ),
    ])
    func aNameThatStandsTwiceIsRefused(target: String, body: String, field: String) async throws {
        let api = try await TestAPI()
        let answer = try await call(api, "POST", target, body).answer
        #expect(answer.status == "422" && answer.json["field"] as? String == field, "\(answer.json)")
    }

    @Test(arguments: [
        #"{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}],"d":"{\"a\":1,\"a\":2}"}"#, "[]", "7", "\"a\"", "", "{\"",
        "[{\"a\\",
    ])
    func namesInOtherObjectsAreOthers(json: String) {
        #expect(RepeatedNames.first(in: Data(json.utf8)) == nil)
    }

    @Test func aCompressedBodyIsToldThatItIsNotRead() async throws {
        let api = try await TestAPI()
        let answer = try await call(api, "POST", "/v1/rules", rule("a"), headers: ["Content-Encoding: gzip"])
        #expect(answer.answer.status == "415" && answer.answer.json["field"] as? String == "Content-Encoding")
    }
}
