import Foundation
import Logging
import ObjectStore
import Testing

@testable import Management

/// Answers that are kept for an `Idempotency-Key` name nobody who has been erased, and are not kept for long.
@Suite struct ErasedAnswerTests {
    private func call(
        _ api: TestAPI, _ method: String, _ target: String, _ body: String = "", key: String? = nil
    ) async throws -> JSONAnswer {
        JSONAnswer(
            try await blocking {
                try api.connect().request(
                    method, target,
                    headers: ["X-Admin-Key: \(TestAPI.key)"] + (key.map { ["Idempotency-Key: \($0)"] } ?? []),
                    body: body)
            })
    }

    private func rule(_ user: String) -> String {
        #"{"id":"of-\#(user)","action":"suppress","user_id":"\#(user)","reason":"card of Ann Smith"}"#
    }

    /// The bodies of all answers that are kept.
    private func kept(_ api: TestAPI) throws -> [String] {
        try api.objects.listAll(prefix: "answers/").compactMap { summary in
            let bytes = try #require(try api.objects.get(summary.key)).bytes
            let note = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            let body = (note?["answer"] as? [String: Any])?["body"] as? String
            return body.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) }
        }
    }

    private func part(_ what: String, _ receipt: JSONAnswer) -> [String: Any]? {
        (receipt.json["parts"] as? [[String: Any]])?.first { $0["what"] as? String == what }
    }

    @Test func anErasedUserIsInNoAnswerAnyMore() async throws {
        let api = try await TestAPI()
        for user in ["u-1", "u-2"] {
            #expect(try await call(api, "POST", "/v1/rules", rule(user), key: user).status == "201")
        }
        #expect(try kept(api).count { $0.contains("u-1") && $0.contains("Ann Smith") } == 1)
        let receipt = try await call(api, "DELETE", "/v1/users/u-1")
        #expect(part("answers", receipt)?["removed"] as? Int == 1, "\(receipt.json)")
        #expect(try kept(api).allSatisfy { !$0.contains("u-1") })
        // Sent again the call makes no rule for somebody who is gone.
        let again = try await call(api, "POST", "/v1/rules", rule("u-1"), key: "u-1")
        #expect(again.status == "410" && again.json["field"] as? String == "Idempotency-Key", "\(again.json)")
        #expect((again.json["type"] as? String)?.hasSuffix("answer-erased") == true)
        // Others' answers stay.
        #expect(try await call(api, "POST", "/v1/rules", rule("u-2"), key: "u-2").status == "201")
        let rules = try await call(api, "GET", "/v1/rules").json["rules"] as? [[String: Any]] ?? []
        #expect(rules.compactMap { $0["id"] as? String } == ["of-u-2"])
    }

    @Test func aReceiptIsKeptForItsKeyUntilTheUserIsErasedAgain() async throws {
        let api = try await TestAPI()
        #expect(try await call(api, "POST", "/v1/rules", rule("u-1")).status == "201")
        let receipt = try await call(api, "DELETE", "/v1/users/u-1", key: "e1")
        #expect(["200", "202"].contains(receipt.status), "\(receipt.json)")
        #expect((part("answers", receipt)?["note"] as? String)?.contains("Idempotency-Key") == true)
        let again = try await call(api, "DELETE", "/v1/users/u-1", key: "e1")
        #expect(NSDictionary(dictionary: again.json) == NSDictionary(dictionary: receipt.json))
        #expect(try kept(api).contains { $0.contains("u-1") })
        // A receipt alone is nothing of the user's, so that erasing comes to an end.
        #expect(try await call(api, "DELETE", "/v1/users/u-1", key: "e2").status == "404")
        #expect(try kept(api).allSatisfy { !$0.contains("u-1") })
        #expect(try await call(api, "DELETE", "/v1/users/u-1", key: "e1").status == "410")
    }

    @Test func aDamagedAnswerKeepsNobodyFromBeingErased() async throws {
        let api = try await TestAPI()
        try api.objects.put("answers/020000/x.json", Array("{\"request\":".utf8), if: .always)
        #expect(try await call(api, "POST", "/v1/rules", rule("u-1")).status == "201")
        let receipt = try await call(api, "DELETE", "/v1/users/u-1")
        #expect(["200", "202"].contains(receipt.status), "\(receipt.json)")
        #expect(try api.objects.listAll(prefix: "answers/").isEmpty)
    }

    /// Whether or not another call ever comes with a key.
    @Test func oldAnswersGoByThemselves() async throws {
        let api = try await TestAPI()
        let today = Int64(Date().timeIntervalSince1970) / 86_400
        func key(_ day: Int64) -> String { "answers/0\(day)/x.json" }
        for day in [today - 3, today - 2, today + 1] {
            try api.objects.put(key(day), Array("{}".utf8), if: .always)
        }
        let upkeep = AnswerUpkeep(
            api.services, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await upkeep.run() }
        while try api.objects.listAll(prefix: "answers/").count > 1 {
            try await Task.sleep(for: .milliseconds(10))
        }
        running.cancel()
        try await running.value
        #expect(try api.objects.listAll(prefix: "answers/").map(\.key) == [key(today + 1)])
    }
}
