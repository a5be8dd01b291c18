import Foundation
import Testing

/// What curl hears of a running service.
@Suite struct EventStreamTests {
    @Test func anomaliesJobsAndPromotionsAreToldAndTheEndIsClean() async throws {
        let folder = try TemporaryFolder()
        for name in ["store", "lake"] {
            try FileManager.default.copyItem(
                at: Fixtures.folder.appending(path: name), to: folder.file(name))
        }
        let service = try await ServiceProcess(
            settings: [
                "stream.file": Fixtures.folder.appending(path: "stream.jsonl").path, "stream.rate": "100",
                "store.uri": folder.file("store").path, "lake.uri": folder.file("lake").path,
                "windows.warm": "never",
            ], folder: folder.url)
        let heard = folder.file("events.txt")
        try Data().write(to: heard)
        let curl = Process()
        curl.executableURL = URL(filePath: "/usr/bin/env")
        curl.arguments = ["curl", "-sN", "\(service.baseURL)/v1/events"]
        curl.standardOutput = try FileHandle(forWritingTo: heard)
        try curl.run()
        func text() -> String { (try? String(contentsOf: heard, encoding: .utf8)) ?? "" }
        try await waitUntil("an anomaly is told", timeoutSeconds: 120) { text().contains("event: anomaly\n") }

        let job = try await service.train(
            #"{"promotion":"manual","detector":"zscore-baseline","date_range":{"start":"2026-01-01","end":"2026-02-08"}}"#
        )
        let version = try #require(job.version("models", 0, "version"))
        #expect(try await service.post("/v1/models/\(version)/promote").status == 200)
        try await waitUntil("job and promotion are told", timeoutSeconds: 60) {
            let text = text()
            return text.contains("event: promotion\n") && text.contains("\"version\":\"v\(version)\"")
                && text.contains("event: job\n") && text.contains("\"state\":\"succeeded\"")
        }
        // Numbered without a gap, whatever their kind.
        let numbers = text().matches(of: /id: [0-9a-f]+-(\d+)\n/).compactMap { Int($0.1) }
        #expect(numbers == Array((numbers.first ?? 0)..<((numbers.first ?? 0) + numbers.count)))

        // Who listens does not hold up the end, and hears that it is one.
        #expect(try await service.interrupt() == 0)
        curl.waitUntilExit()
        #expect(curl.terminationStatus == 0)
    }

    /// Read by Standard Webhooks' own library, which checks the signatures; the first is refused and comes again.
    @Test func whatSomebodyShouldHearOfIsPostedAndSigned() async throws {
        let folder = try TemporaryFolder()
        for name in ["store", "lake"] {
            try FileManager.default.copyItem(
                at: Fixtures.folder.appending(path: name), to: folder.file(name))
        }
        let secret = "whsec_" + Data((1...32).map { UInt8($0) }).base64EncodedString()
        let port = try ServiceProcess.freePort()
        let came = folder.file("came.json")
        let receiver = try PythonScript.started("webhooks.py", ["\(port)", secret, came.path, "3"])
        defer { PythonScript.end(receiver) }
        let service = try await ServiceProcess(
            settings: [
                "stream.file": Fixtures.folder.appending(path: "stream.jsonl").path,
                "store.uri": folder.file("store").path, "lake.uri": folder.file("lake").path,
                "windows.warm": "never", "webhooks.url": "http://127.0.0.1:\(port)/alerts",
                "webhooks.secret": secret,
            ], folder: folder.url)
        let range = #""date_range":{"start":"2026-01-01","end":"2026-02-08"}"#
        let job = try await service.train(
            #"{"promotion":"manual","detector":"zscore-baseline",\#(range)}"#)
        let version = try #require(job.version("models", 0, "version"))
        #expect(try await service.post("/v1/models/\(version)/promote").status == 200)
        // A single tree of two rows finds less than the active version: the gate refuses it.
        _ = try await service.train(
            #"{"promotion":"gated","detector":"isolation-forest","parameters":{"n_estimators":1,"max_samples":2},\#(range)}"#
        )
        let failing = try await service.post(
            "/v1/train", #"{"user_id":"nobody",\#(range)}"#)
        #expect(failing.status == 202)
        try await waitUntil("all have come", timeoutSeconds: 120) {
            guard receiver.isRunning else { return true }
            return false
        }
        #expect(receiver.terminationStatus == 0, "\(service.logText)")
        let messages = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: came)) as? [[String: Any]])
        #expect(
            messages.compactMap { $0["type"] as? String } == [
                "model.promoted", "model.refused", "job.failed",
            ])
        #expect((messages[0]["data"] as? [String: Any])?["version"] as? String == "v\(version)")
        #expect(try await service.interrupt() == 0)
    }
}
