import Foundation
import Testing

@testable import Management

/// What is asked of a backtest before it becomes a job.
@Suite struct BacktestRouteTests {
    private func post(_ api: TestAPI, _ body: String, version: String = "v1") async throws -> JSONAnswer {
        JSONAnswer(
            try await blocking {
                try api.connect().request(
                    "POST", "/v1/models/\(version)/backtest", headers: ["X-Admin-Key: \(TestAPI.key)"],
                    body: body)
            })
    }

    @Test(
        arguments: [
            ("{}", "422", "days"), (#"{"days":0}"#, "422", "days"), (#"{"days":"7"}"#, "422", "days"),
            (#"{"days":99999}"#, "422", "days"), (#"{"days":1.5}"#, "422", "days"),
            (#"{"days":7,"date_range":{"start":"2026-01-01","end":"2026-01-02"}}"#, "422", "days"),
            (#"{"date_range":{"start":"2026-01-02","end":"2026-01-01"}}"#, "422", "date_range"),
            (#"{"date_range":{"start":"1026-01-02","end":"2026-01-01"}}"#, "422", "date_range"),
            (#"{"date_range":{"start":"soon","end":"2026-01-01"}}"#, "422", "date_range.start"),
            (#"{"date_range":{"start":"2026-01-01"}}"#, "422", "date_range.end"),
            (
                #"{"date_range":{"start":"2026-01-01","end":"2026-01-02","x":2}}"#, "422", "date_range.x"
            ),
            (#"{"days":7,"against":"the other"}"#, "422", "against"),
            (#"{"days":7,"against":3}"#, "422", "against"),
            (#"{"days":7,"alert_cost":-1}"#, "422", "alert_cost"),
            (#"{"days":7,"as_of":"once"}"#, "422", "as_of"), (#"{"days":7,"dayz":1}"#, "422", "dayz"),
            (#"{"days":7"#, "400", nil), ("[]", "400", nil), ("", "400", nil),
            (#"{"days":7}"#, "404", "version"),
        ] as [(String, String, String?)])
    func badOnesAreRefusedByField(body: String, status: String, field: String?) async throws {
        let api = try await TestAPI()
        let answer = try await post(api, body)
        #expect(answer.status == status && answer.json["field"] as? String == field, "\(answer.json)")
        #expect(try api.services.jobs.jobs().isEmpty)
    }

    @Test func aVersionThatIsNoneIsRefused() async throws {
        let api = try await TestAPI()
        let answer = try await post(api, #"{"days":7}"#, version: "newest")
        #expect(answer.status == "422" && answer.json["field"] as? String == "version", "\(answer.json)")
    }
}
