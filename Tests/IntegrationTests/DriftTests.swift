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
}
