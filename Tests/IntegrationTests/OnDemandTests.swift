import Foundation
import Testing

/// What the service says of transactions that are not in the stream is what the stream would say.
@Suite(.serialized) struct OnDemandTests {
    private static func withoutSource(_ verdicts: [String]) -> [String] {
        verdicts.map { $0.replacing(/"source":(null|\{[^}]*\})/, with: "") }
    }

    /// The fixtures' transactions in order, each with the verdict that replay gave, and the place where a part is cut off.
    private static func cut(_ share: Double) throws -> (
        before: [String], next: [(line: String, verdict: String)]
    ) {
        let verdicts = try Fixtures.lines("verdicts.jsonl")
        let lines = try Fixtures.lines("stream.jsonl")
        let known = Dictionary(grouping: lines) { line in
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            return object?["transaction_id"] as? String ?? ""
        }
        let place = Int(Double(verdicts.count) * share)
        let offset = try offset(of: verdicts[place])
        let next = try verdicts[place..<place + 60].map { verdict in
            let object = try JSONSerialization.jsonObject(with: Data(verdict.utf8)) as? [String: Any]
            let id = try #require(object?["transaction_id"] as? String)
            return (try #require(known[id]?.first), verdict)
        }
        return (Array(lines[..<offset]), next)
    }

    private static func offset(of verdict: String) throws -> Int {
        let match = try #require(verdict.firstMatch(of: /"offset":(\d+)/))
        return try #require(Int(match.1))
    }

    private static func elements(_ answer: ServiceProcess.Answer) throws -> [String] {
        #expect(answer.status == 200, "\(answer.text)")
        return answer.text.dropFirst().dropLast().replacing(
            "},{\"transaction_id\"", with: "}\n{\"transaction_id\""
        )
        .split(separator: "\n").map(String.init)
    }

    @Test func memoryGivesTheStreamsBytesAndChangesNothing() async throws {
        let folder = try TemporaryFolder()
        let (before, next) = try Self.cut(0.6)
        let stream = folder.file("stream.jsonl")
        try Data((before.joined(separator: "\n") + "\n").utf8).write(to: stream)
        try FileManager.default.copyItem(
            at: Fixtures.folder.appending(path: "store"), to: folder.file("store"))
        let service = try await ServiceProcess(
            settings: [
                "stream.file": stream.path, "store.uri": folder.file("store").path, "stream.publish": "all",
                "stream.output": folder.file("verdicts.jsonl").path,
            ], folder: folder.url)
        try await waitUntil("the stream has ended", timeoutSeconds: 180) {
            try await service.get("/readyz").value("state") as? String == "finished"
        }
        let body = "[\(next.map(\.line).joined(separator: ", \n"))]"
        let first = try await service.post("/v1/score", body)
        let verdicts = try Self.elements(first)
        #expect(Self.withoutSource(verdicts) == Self.withoutSource(next.map(\.verdict)))
        #expect(verdicts.allSatisfy { $0.contains("\"source\":null") })
        #expect(verdicts.contains { $0.contains("\"reasons\":[{") })
        // Nothing has changed by it: the same bytes again, and alone as in company.
        #expect(try await service.post("/v1/score", body).text == first.text)
        #expect(try await service.post("/v1/score", next[0].line).text == verdicts[0])
        #expect(try await service.get("/v1/anomalies?user_id=what-if").text == "[]")

        try await refusals(service, next[0].line)
        try infer(service, next, folder)
        try Self.nobodyElseReads(folder.file("data"))
        #expect(try await service.interrupt() == 0)
    }

    /// Transactions, models and windows lie there.
    private static func nobodyElseReads(_ data: URL) throws {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: data.path)
        #expect(paths.contains("models.sqlite") && paths.contains("anomalies.sqlite"))
        for path in paths + ["."] {
            let attributes = try FileManager.default.attributesOfItem(atPath: data.path + "/" + path)
            let mode = attributes[.posixPermissions] as? Int ?? 0
            #expect(mode & 0o077 == 0, "\(path) \(String(mode, radix: 8))")
        }
    }

    private func refusals(_ service: ServiceProcess, _ line: String) async throws {
        #expect(try await service.post("/v1/score", line, key: nil).status == 401)
        for (body, status, field) in [
            ("", 400, nil), ("[", 400, nil), ("[]", 422, nil), ("[\(line)] x", 400, nil), ("7", 422, nil),
            ("[\(line),{\"user_id\":\"u\"}]", 422, "[1].transaction_id"),
            (line.replacing(/"amount":[^,]*/, with: "\"amount\":\"much\""), 422, "amount"),
            ("[\(line),,\(line)]", 400, "[1]"),
        ] as [(String, Int, String?)] {
            let answer = try await service.post("/v1/score", body)
            #expect(answer.status == status, "\(body): \(answer.text)")
            #expect(answer.value("field") as? String == field, "\(body): \(answer.text)")
        }
    }

    /// Triton's own client, with binary tensors and without.
    private func infer(
        _ service: ServiceProcess, _ next: [(line: String, verdict: String)], _ folder: TemporaryFolder
    ) throws {
        // Of users without a model of their own, each once: others' windows would know of those before them.
        var users: Set<String> = []
        let chosen = next.filter { _, verdict in
            guard verdict.contains("\"tenant\":\"global\""),
                verdict.contains("\"fallback\":\"no-user-model\""),
                let user = verdict.firstMatch(of: /"user_id":"([^"]*)"/)
            else { return false }
            return users.insert(String(user.1)).inserted
        }
        try #require(chosen.count > 5)
        let (lines, verdicts) = (folder.file("rows.jsonl"), folder.file("expected.jsonl"))
        try Data(chosen.map { $0.line + "\n" }.joined().utf8).write(to: lines)
        try Data(chosen.map { $0.verdict + "\n" }.joined().utf8).write(to: verdicts)
        let host = "\(service.baseURL.host() ?? ""):\(service.baseURL.port ?? 0)"
        try PythonScript.run("infer.py", [host, ServiceProcess.adminKey, lines.path, verdicts.path])
    }

    @Test func redisGivesTheStreamsBytesToAProcessThatDoesNotScore() async throws {
        let deployment = try Deployment(partitions: 3)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let settings = try deployment.settings(["stream.publish": "all"])
        let (before, next) = try Self.cut(0.5)
        try deployment.produce(before)
        let scoring = try await ServiceProcess(
            settings: settings, folder: deployment.folder, arguments: ["--role", "inference,management"])
        let expected = try Fixtures.lines("verdicts.jsonl").prefix {
            ((try? Self.offset(of: $0)) ?? .max) < before.count
        }
        #expect(try deployment.consume("anomalies", count: expected.count).count == expected.count)
        // What is delivered may be committed a moment later.
        try FileManager.default.createDirectory(
            at: deployment.folder.appending(path: "other"), withIntermediateDirectories: true)
        let asking = try await ServiceProcess(
            settings: settings, folder: deployment.folder.appending(path: "other"),
            arguments: ["--role", "management"])
        let verdicts = try Self.elements(
            try await asking.post("/v1/score", "[\(next.map(\.line).joined(separator: ","))]"))
        #expect(Self.withoutSource(verdicts) == Self.withoutSource(next.map(\.verdict)))
        // The stream itself then says the same.
        try deployment.produce(next.map(\.line))
        let all = try deployment.consume("anomalies", count: expected.count + next.count)
        #expect(Set(Self.withoutSource(all)).isSuperset(of: Self.withoutSource(verdicts)))
        #expect(try await scoring.interrupt() == 0)
        #expect(try await asking.interrupt() == 0)
    }
}
