import Crypto
import Foundation
import Testing

@testable import Management
@testable import Models

/// What is posted to people, and that only the receiver named can be posted to.
@Suite struct WebhookTests {
    private static let secret = "whsec_" + Data((0..<32).map { UInt8($0) }).base64EncodedString()

    @Test(
        arguments: [
            ("ftp://example.com/", secret, "https://"), ("", secret, "https://"),
            ("nonsense", secret, "https://"),
            ("http://example.com/x", secret, "another machine"), ("https://example.com/x", "", "whsec_"),
            ("https://example.com/x", "whsec_!", "base64"),
            ("https://example.com/x", "whsec_AAAA", "24 to 64"),
        ])
    func aTargetThatWillNotDoIsRefused(url: String, secret: String, word: String) {
        let error = #expect(throws: WebhookError.self) { try Webhooks.Target(url: url, secret: secret) }
        #expect(error?.description.contains(word) == true, "\(String(describing: error))")
    }

    @Test(arguments: ["https://example.com/x?y=1", "http://127.0.0.1:8080/", "http://localhost/"])
    func aTargetThatWillDoIsTaken(url: String) throws {
        _ = try Webhooks.Target(url: url, secret: Self.secret)
    }

    @Test func authoritiesAreForTLS() {
        let error = #expect(throws: WebhookError.self) {
            try Webhooks.Target(url: "http://localhost/", secret: Self.secret, authorities: "/ca.pem")
        }
        #expect(error?.description.contains("webhooks.ca") == true)
    }

    @Test func aMessageIsSignedOverIdTimeAndBody() async throws {
        let hub = EventHub()
        let listener = try #require(hub.listen(EventHub.Filter(), after: nil))
        hub.note([
            ModelChange(
                userID: "u \"1\"", sequence: 1, from: 3, to: 4, sha256: nil, by: "t", reason: "r",
                timeMilliseconds: 12)
        ])
        hub.leave(listener.number)
        var messages: [Webhooks.Message] = []
        for await event in listener.events {
            if let message = Webhooks.Message(event, now: 1_772_366_400_000) { messages.append(message) }
        }
        let message = try #require(messages.first)
        #expect(messages.count == 1)
        #expect(message.type == "model.promoted")
        // A header of HTTP, whatever the user is called.
        #expect(message.id.count == 32 && message.id.allSatisfy { $0.isASCII && $0.isHexDigit })
        #expect(message.id == EventHub.Notice(type: "model.promoted", facts: "user:u \"1\" v4 12").id)
        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(message.body)) as? [String: Any])
        #expect(json["type"] as? String == "model.promoted")
        #expect(json["timestamp"] as? String == "2026-03-01T12:00:00.000Z")
        #expect((json["data"] as? [String: Any])?["previous"] as? String == "v3")
        let target = try Webhooks.Target(url: "https://example.com", secret: Self.secret)
        let signed = Data("\(message.id).99.".utf8) + Data(message.body)
        let code = try #require(Data(base64Encoded: message.signature(target.key, seconds: 99)))
        #expect(HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: signed, using: target.key))
    }
}
