import Foundation
import Models
import Testing

@testable import Management

/// Starting and stopping a shadow by HTTP.
@Suite struct ShadowRouteTests {
    private func call(
        _ api: TestAPI, _ method: String, _ target: String, key: String = TestAPI.key
    ) async throws -> JSONAnswer {
        JSONAnswer(
            try await blocking {
                try api.connect().request(
                    method, "/v1/models/\(target)", headers: ["X-Admin-Key: \(key)"])
            })
    }

    @Test(
        arguments: [
            ("POST", "v1/shadow", "404", "version"), ("POST", "newest/shadow", "422", "version"),
            ("POST", "v1/shadow?minutes=0", "422", "minutes"),
            ("POST", "v1/shadow?minutes=soon", "422", "minutes"),
            ("POST", "v1/shadow?minutes=43201", "422", "minutes"),
            ("POST", "v1/shadow?transactions=-1", "422", "transactions"),
            ("POST", "v1/shadow?hours=1", "422", "hours"), ("GET", "v1/shadow", "404", nil),
            ("DELETE", "v1/shadow", "404", nil), ("PUT", "v1/shadow", "405", nil),
        ] as [(String, String, String, String?)])
    func badOnesAreRefusedByField(
        method: String, target: String, status: String, field: String?
    ) async throws {
        let api = try await TestAPI()
        let answer = try await call(api, method, target)
        #expect(answer.status == status && answer.json["field"] as? String == field, "\(answer.json)")
        #expect(try api.objects.head("models/shadow.json") == nil)
    }

    @Test func itNeedsAKey() async throws {
        let api = try await TestAPI()
        #expect(try await call(api, "POST", "v1/shadow", key: "wrong").status == "401")
        #expect(try await call(api, "DELETE", "v1/shadow", key: "wrong").status == "401")
    }

    @Test func oneThatStandsIsStoppedByItsVersion() async throws {
        let api = try await TestAPI()
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        _ = try ShadowStore(objects: api.objects).start(
            ShadowPlan(
                version: 3, by: "test", startedMilliseconds: now, endsMilliseconds: now + 3_600_000,
                maximumTransactions: 10), now: now)
        #expect(try await call(api, "DELETE", "v2/shadow").status == "404")
        #expect(try await call(api, "DELETE", "v3/shadow").status == "204")
        #expect(try await call(api, "DELETE", "v3/shadow").status == "404")
    }
}
