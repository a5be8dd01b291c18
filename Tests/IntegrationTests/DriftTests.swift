import Foundation
import Testing

/// A stream that changes under a model must not page everybody.
@Suite struct DriftTests {
    private func alertShare(_ lines: [String], folder: URL, labels: Bool = false) throws -> Double {
        let stream = folder.appending(path: "\(UUID().uuidString).jsonl")
        let output = folder.appending(path: "\(UUID().uuidString).jsonl")
        try lines.joined(separator: "\n").appending("\n").write(to: stream, atomically: true, encoding: .utf8)
        try ServiceProcess.run(
            ["replay", "--stream", stream.path, "--output", output.path],
            settings: [
                "store.uri": Fixtures.folder.appending(path: "store").path,
                "data.directory": folder.appending(path: "data").path,
            ])
        let verdicts = try String(contentsOf: output, encoding: .utf8).split(separator: "\n")
        return Double(verdicts.count { $0.contains("\"verdict\":\"ANOMALY\"") }) / Double(verdicts.count)
    }

    @Test func aRenamedCategoryListIsNoFlood() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "drift-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let lines = try Fixtures.lines("stream.jsonl")
        let renamed = lines.map { $0.replacing("\"category\":\"", with: "\"category\":\"new-") }
        #expect(renamed != lines)
        let before = try alertShare(lines, folder: folder)
        let after = try alertShare(renamed, folder: folder)
        #expect(before > 0)
        #expect(after <= 1.5 * before, "\(before) became \(after)")
    }

    /// In a model's report, and in metrics with a series a feature: of the global model, and of users' own together.
    @Test func categoriesThatNoModelKnowsAreCountedAndTold() async throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(
            at: Fixtures.folder.appending(path: "store"), to: folder.file("store"))
        let lines = try Fixtures.lines("stream.jsonl").map {
            $0.replacing("\"category\":\"", with: "\"category\":\"new-")
        }
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: folder.file("stream.jsonl"))
        let service = try await ServiceProcess(
            settings: [
                "stream.file": folder.file("stream.jsonl").path, "store.uri": folder.file("store").path,
                "windows.warm": "never", "flood.seconds": "1", "batch.records": "50",
            ], folder: folder.url)
        func shares(_ metric: String = "ml_unseen_category_share") async throws -> [String: Double] {
            let pattern = try Regex<(Substring, Substring, Substring)>(
                "(?m)^\(metric)\\{feature=\"([a-z]+)\"\\} ([0-9.e-]+)$")
            let text = try await service.get("/metrics").text
            return Dictionary(
                uniqueKeysWithValues: text.matches(of: pattern).map { (String($0.1), Double($0.2) ?? -1) })
        }
        try await waitUntil("the share is told", timeoutSeconds: 60) {
            try await shares()["category"] ?? 0 > 0.9
        }
        #expect(try await shares()["channel"] ?? 1 < 0.5)
        let own = try await shares("ml_own_unseen_category_share")
        #expect(own["category"] ?? 0 > 0.9 && own["channel"] ?? 1 < 0.5, "\(own)")
        let models = try JSONSerialization.jsonObject(with: try await service.get("/v1/models").body)
        let active = (models as? [[String: Any]])?.first { $0["active"] as? Bool == true }
        let version = try #require(active?["version"] as? String)
        let report = try await service.get("/v1/models/\(version)/drift")
        #expect(report.value("unseen_category_share", "category") as? Double ?? 0 > 0.9, "\(report.text)")
    }
}
