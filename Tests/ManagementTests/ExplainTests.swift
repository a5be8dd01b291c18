import Foundation
import Testing

@testable import Management

/// Bodies of `explain` from anybody.
@Suite struct ExplainTests {
    @Test func theArrayIsCutAsItStands() throws {
        let body = Array(#" { "instances" : [ {"a":"]}"}, {"b":[1]} ] } "#.utf8)
        let values = try JSONElements.cut(try JSONElements.member("instances", of: body)).values
        #expect(
            values.map { String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespaces) } == [
                #"{"a":"]}"}"#, #"{"b":[1]}"#,
            ])
    }

    @Test func aProcessWithoutWindowsSaysSo() async throws {
        let api = try await TestAPI()
        let answer = JSONAnswer(
            try await blocking {
                try api.connect().request(
                    "POST", "/v2/models/global/explain", headers: ["X-Admin-Key: \(TestAPI.key)"],
                    body: #"{"instances":[]}"#)
            })
        #expect(answer.status == "404", "\(answer.json)")
    }
}
