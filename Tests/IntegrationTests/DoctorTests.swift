import Foundation
import Testing

/// `ml-service doctor`: what an operator asks before the first start, and at 3 a.m.
@Suite struct DoctorTests {
    private struct Finding: Decodable {
        let part: String
        let check: String
        let state: String
        let advice: String
    }

    private static let transaction =
        #"{"transaction_id":"t","user_id":"u","amount":1,"timestamp":"2026-01-01T00:00:00Z"}"#

    private func findings(_ settings: [String: String]) throws -> (status: Int32, [Finding]) {
        let folder = try TemporaryFolder()
        let (status, output) = try ServiceProcess.output(
            ["doctor", "--json"],
            settings: settings.merging(["data.directory": folder.file("data").path]) { $1 })
        return (status, try JSONDecoder().decode([Finding].self, from: Data(output.utf8)))
    }

    @Test func everyPartOfAWorkingDeploymentIsTried() throws {
        let deployment = try Deployment()
        try deployment.produce([Self.transaction])
        let (status, findings) = try findings(try deployment.settings())
        #expect(status == 0)
        #expect(!findings.contains { $0.state == "failed" || $0.state == "away" }, "\(findings)")
        let checks = Set(findings.map { "\($0.part) \($0.check)" })
        #expect(
            checks.isSuperset(of: [
                "kafka transactions", "kafka keys", "redis writes", "redis eviction",
                "store conditional writes",
            ]))
    }

    @Test func recordsThatAreNotKeyedByTheirUserAreNamed() throws {
        let deployment = try Deployment()
        try deployment.produce([Self.transaction], key: "somebody else")
        let (status, findings) = try findings(try deployment.settings())
        #expect(status == 1)
        #expect(findings.contains { $0.check == "keys" && $0.state == "failed" && !$0.advice.isEmpty })
    }

    /// What would end `serve` at its start, or leave it without keys, is said before.
    @Test func whatTheHTTPAPIIsMadeOfIsTried() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("x").path
        try Data("{".utf8).write(to: folder.file("x"))
        let (status, findings) = try findings([
            "http.keys": file, "http.auditlog": file, "http.certificate": file, "http.certificatekey": file,
            "webhooks.url": "nowhere",
        ])
        #expect(status == 1)
        let bad = findings.filter { $0.part == "http" && $0.state == "failed" && !$0.advice.isEmpty }
        #expect(Set(bad.map(\.check)) == ["keys", "audit log", "certificate", "webhooks"], "\(findings)")
        let without = try self.findings([:]).1
        #expect(without.contains { $0.part == "http" && $0.check == "keys" && $0.state == "warning" })
    }

    @Test func partsThatDoNotAnswerAreNamedWithWhatToDo() throws {
        let (status, findings) = try findings([
            "stream.brokers": "127.0.0.1:1", "redis.url": "redis://127.0.0.1:1/0",
        ])
        #expect(status == 69)
        let away = findings.filter { $0.state == "away" }
        #expect(Set(away.map(\.part)) == ["kafka", "redis"])
        #expect(away.allSatisfy { !$0.advice.isEmpty })
    }
}
