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
}
