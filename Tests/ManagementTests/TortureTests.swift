import Foundation
import Testing
import Torture

@testable import Management

/// Clients that send anything: each gets an answer that says so, and the next one is served.
@Suite struct TortureTests {
    private static let requests = [
        "GET /v1/models?user_id=a&limit=10&cursor=v3 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/models/v3/promote?user_id=a HTTP/1.1\r\nHost: x\r\nX-Admin-Key: \(TestAPI.key)\r\n\r\n",
        "DELETE /v1/users/a%2Fb HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(TestAPI.key)\r\n\r\n",
        "GET /v1/train/x HTTP/1.1\r\nHost: x\r\n\r\n",
    ]

    private static let body = """
        {"date_range":{"start":"2026-01-01","end":"2026-02-14"},"parameters":{"trees":100},"seed":1,"contamination":0.01}
        """

    @Test func tortureHTTP() async throws {
        let api = try await TestAPI()
        try await blocking {
            try Torture("HTTP").run(rounds: 300) { random in
                let client = try api.connect()
                if random.below(2) == 0 {
                    client.send(
                        bytes: Mutation.apply(to: Array(Mutation.pick(Self.requests, &random).utf8), &random))
                    client.finishSending()
                } else {
                    let body = Mutation.apply(to: Array(Self.body.utf8), &random)
                    client.send(
                        "POST /v1/train HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Admin-Key: \(TestAPI.key)\r\n"
                    )
                    client.send("Content-Length: \(body.count)\r\n\r\n")
                    client.send(bytes: body)
                }
                let answer = client.receive(seconds: 30).text
                guard !answer.contains("HTTP/1.1 5") else { throw Torture.Failure("\(answer)") }
                guard try api.connect().request("GET", "/healthz").hasPrefix("HTTP/1.1 200") else {
                    throw Torture.Failure("the next client was not served")
                }
                return answer.hasPrefix("HTTP/1.1 2") ? .accepted : .refused
            }
        }
    }
}
