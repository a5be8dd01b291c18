import Foundation
import ObjectStore
import Testing

/// What clients and stores do to a running service, and what is left of its users when they are erased.
@Suite(.serialized) struct HoldingOnTests {
    /// 1,100 silent connections once took every file handle, and the scoring stopped.
    @Test func silentConnectionsStopNeitherTheAPINorTheStream() async throws {
        let deployment = try Deployment(partitions: 1)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let lines = try Fixtures.lines("stream.jsonl")
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all"]), folder: deployment.folder,
            fileHandles: 1_024)
        try deployment.produce(Array(lines[..<10]))
        #expect(try deployment.consume("anomalies", count: 10).count == 10)
        let port = try #require(service.baseURL.port)
        let silent = (0..<1_100).map { _ in SilentConnection(port: port) }
        try deployment.produce(Array(lines[10..<20]))
        #expect(try await service.get("/healthz").status == 200)
        #expect(
            try deployment.consume("anomalies", count: 20).count == 20, "\(service.logText.suffix(2_000))")
        // All of them are gone, whatever they wait for.
        try await waitUntil("the silent ones are gone", timeoutSeconds: 60) { silent.allSatisfy(\.isClosed) }
        #expect(try await service.get("/healthz").status == 200)
        #expect(try await service.interrupt() == 0)
    }

    /// Whatever was kept of a user goes: in the store, in Redis, in the caches of other processes.
    @Test func anErasedUserIsGoneEverywhere() async throws {
        let deployment = try Deployment(partitions: 1)
        let store = try Fixtures.s3(prefix: deployment.run)
        try Fixtures.upload("store", to: store)
        let user = "user-000032"
        let lines = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"\(user)\"") }
        let settings = try deployment.settings(["stream.publish": "all", "models.seconds": "1"])
        let service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        let other = try TemporaryFolder()
        let second = try await ServiceProcess(
            settings: settings, folder: other.url, arguments: ["--role", "management,training"])
        try deployment.produce(Array(lines[..<5]))
        let before = try deployment.consume("anomalies", count: 5)
        #expect(before.allSatisfy { $0.contains(#""tenant":"\#(user)""#) }, "\(before)")

        // Asked of a process that does not score.
        let receipt = try await second.delete("/v1/users/\(user)")
        #expect(receipt.status == 200, "\(receipt.text)")
        #expect(receipt.value("state") as? String == "done")
        let parts = receipt.value("parts") as? [[String: Any]] ?? []
        for what in ["models", "catalogue", "windows"] {
            let part = parts.first { $0["what"] as? String == what }
            #expect((part?["removed"] as? Int ?? 0) > 0, "\(what): \(receipt.text)")
        }
        #expect(try await second.delete("/v1/users/\(user)").status == 404)
        #expect(try store.listAll(prefix: "models/").allSatisfy { !$0.key.contains("/\(user)/") })
        let versions = try await service.get("/v1/models?user_id=\(user)")
        #expect(versions.text == "[]")

        // The process that scores has heard of it: the next transactions are a stranger's.
        try await waitUntil("the scoring process forgets the model", timeoutSeconds: 60) {
            try await service.get("/v1/users/\(user)").value("serving", "tenant") as? String == "global"
        }
        try deployment.produce(Array(lines[5..<8]))
        let after = try deployment.consume("anomalies", count: 8).filter { !before.contains($0) }
        #expect(after.allSatisfy { $0.contains(#""tenant":"global""#) }, "\(after)")
        #expect(try await service.interrupt() == 0)
        #expect(try await second.interrupt() == 0)
    }

    @Test func recentAnomaliesCanBeLookedAt() async throws {
        let deployment = try Deployment(partitions: 1)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let service = try await ServiceProcess(settings: try deployment.settings(), folder: deployment.folder)
        try deployment.produce(Array(try Fixtures.lines("stream.jsonl")))
        let golden = try Fixtures.lines("verdicts.jsonl").count { $0.contains(#""verdict":"ANOMALY""#) }
        let published = Set(try deployment.consume("anomalies", count: golden))
        try await waitUntil("they are listed", timeoutSeconds: 60) {
            let list = try await service.get("/v1/anomalies?limit=1000")
            return (list.value() as? [Any])?.count == min(golden, 1_000)
        }
        // Page by page, each as it was published.
        var cursor: Int?
        var seen: Set<String> = []
        while true {
            let page = try await service.get("/v1/anomalies?limit=7\(cursor.map { "&cursor=\($0)" } ?? "")")
            let items = page.value() as? [[String: Any]] ?? []
            guard !items.isEmpty else { break }
            for verdict in published where page.text.contains(verdict) { seen.insert(verdict) }
            cursor = items.last?["number"] as? Int
        }
        #expect(seen == published)
        let user = "user-000032"
        let view = try await service.get("/v1/users/\(user)")
        #expect(view.value("serving", "tenant") as? String == user, "\(view.text)")
        #expect(view.value("has_window") as? Bool == true)
        let sentences = view.value("window", "sentences") as? [String] ?? []
        #expect(sentences.first?.contains("in the last 30 days") == true, "\(view.text)")
        let own = published.count { $0.contains("\"user_id\":\"\(user)\"") }
        #expect((view.value("recent") as? [Any])?.count == min(own, 20))
        let stranger = try await service.get("/v1/users/nobody")
        #expect(stranger.value("serving", "tenant") as? String == "global")
        #expect(try await service.interrupt() == 0)
    }

    /// A stranger's client, made of nothing but `/openapi.json`, finds nothing that is not as it says.
    @Test func schemathesisFindsNothing() async throws {
        let folder = try TemporaryFolder()
        let service = try await ServiceProcess(
            settings: ["store.uri": folder.file("store").path], folder: folder.url,
            arguments: ["--role", "inference,management"])
        try Fixtures.upload(
            "store", to: try makeObjectStore(uri: folder.file("store").path))
        try PythonScript.module(
            "schemathesis.cli",
            [
                "run", "\(service.baseURL)/openapi.json", "--header",
                "Authorization: Bearer \(ServiceProcess.adminKey)", "--checks", "all",
                // A schema cannot say which parameters the named detector has.
                "--exclude-checks", "positive_data_acceptance",
                // Its answer does not end.
                "--exclude-path", "/v1/events",
                "--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1", "--workers",
                "1",
            ])
        #expect(try await service.get("/healthz").status == 200)
        #expect(try await service.interrupt() == 0)
    }
}

/// A TCP connection that says nothing.
private final class SilentConnection: Sendable {
    private let descriptor: Int32

    init(port: Int) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    deinit { close(descriptor) }

    /// Whether the service has closed it, or never took it.
    var isClosed: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN)
    }
}
