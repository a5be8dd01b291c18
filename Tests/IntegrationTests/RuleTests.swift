import Foundation
import Testing

/// Rules that an analyst owns, from a file to the verdicts that they decide about, and years later.
@Suite(.serialized) struct RuleTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "rules-\(UUID().uuidString)")

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private var settings: [String: String] { ["store.uri": path("store"), "data.directory": path("data")] }

    private func run(_ arguments: [String]) throws { try ServiceProcess.run(arguments, settings: settings) }

    private func replay(_ options: [String] = []) throws -> [String] {
        try run(["replay", "--stream", path("stream.jsonl"), "--output", path("out.jsonl")] + options)
        return try lines("out.jsonl")
    }

    private func lines(_ name: String) throws -> [String] {
        try String(contentsOfFile: path(name), encoding: .utf8).split(separator: "\n").map(String.init)
    }

    private func write(_ text: String, _ name: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: path(name)))
        return path(name)
    }

    private static func object(_ verdict: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(verdict.utf8)) as? [String: Any])
    }

    /// The verdict without what rules add to it.
    private static func withoutRule(_ verdict: String) -> String {
        verdict.replacing(
            /"(suppressed|alerted)_by":"[^"]*","rules":\{"version":\d+,"sha256":"[0-9a-f]{64}"\},/, with: "")
    }

    @Test func rulesDecideAboutAlertsAndEachVerdictIsMadeAgainByItsOwn() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["store", "stream.jsonl"] {
            try FileManager.default.copyItem(
                at: Fixtures.folder.appending(path: name), to: folder.appending(path: name))
        }
        let golden = try Fixtures.lines("verdicts.jsonl")
        #expect(try replay() == golden, "without rules nothing is different")

        // Two users with anomalies, and one without.
        var anomalous: [String] = []
        var normal: [String] = []
        for line in golden {
            let verdict = try Self.object(line)
            let user = try #require(verdict["user_id"] as? String)
            if verdict["verdict"] as? String == "ANOMALY" {
                if !anomalous.contains(user) { anomalous.append(user) }
            } else if !normal.contains(user) {
                normal.append(user)
            }
        }
        let (hidden, named) = (try #require(anomalous.first), try #require(anomalous.dropFirst().first))
        let watched = try #require(normal.first { $0 != hidden && $0 != named })
        let file = try write(
            """
            [{"id":"hide","action":"suppress","user_id":"\(hidden)","reason":"known"},
             {"id":"name","action":"suppress","user_id":"\(named)","publish":true,"reason":"known"},
             {"id":"watch","action":"alert","user_id":"\(watched)","reason":"asked for by the bank"}]
            """, "rules.json")
        try run(["rules", "import", file, "--author", "ada"])
        let ruled = try replay()
        let (ofHidden, ofNamed, ofWatched) = (
            ruled.filter { $0.contains(#""suppressed_by":"hide""#) },
            ruled.filter { $0.contains(#""suppressed_by":"name""#) },
            ruled.filter { $0.contains(#""alerted_by":"watch""#) }
        )
        #expect(ofHidden.isEmpty && !ofNamed.isEmpty && !ofWatched.isEmpty)
        for line in ofWatched { #expect(try Self.object(line)["user_id"] as? String == watched) }
        // Score, threshold, severity and the rest are what they were; what is kept back is the hidden user's anomalies.
        let kept = try golden.filter {
            let verdict = try Self.object($0)
            return !(verdict["user_id"] as? String == hidden && verdict["verdict"] as? String == "ANOMALY")
        }
        #expect(ruled.map(Self.withoutRule) == kept)
        let alerts = try replay(["--anomalies"])
        #expect(alerts.count == ruled.count { $0.contains("\"ANOMALY\"") || $0.contains("alerted_by") })

        // Other rules serve now, and none; the verdicts come out as they were published.
        try run(["rules", "import", try write("[]", "none.json")])
        #expect(try replay() == golden)
        #expect(try replay(["--rules", "v1"]) == ruled)
        let published = try write(ruled.map { $0 + "\n" }.joined(), "published.jsonl")
        #expect(try replay(["--verdicts", published]) == ruled)
        let verdict = try write(try #require(ofNamed.first), "verdict.json")
        let audit = try ServiceProcess.output(
            ["audit", "--verdict", verdict, "--stream", path("stream.jsonl")], settings: settings)
        #expect(audit.status == 0 && audit.text.contains("REPRODUCED"), "\(audit.text)")

        // Rules of that number, and other ones.
        let stored = folder.appending(path: "store/rules")
        try FileManager.default.removeItem(at: stored.appending(path: "v1.rules"))
        try FileManager.default.copyItem(
            at: stored.appending(path: "v2.rules"), to: stored.appending(path: "v1.rules"))
        let lost = try ServiceProcess.output(
            ["audit", "--verdict", verdict, "--stream", path("stream.jsonl")], settings: settings)
        #expect(lost.status == 65 && lost.text.contains("v1"), "\(lost.text)")
    }

    @Test func aListIsWhatAnImportTakes() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = try write(
            #"[{"action":"snooze","merchant_id":"m\u001b[31m","expires":"2026-03-01T00:00:00Z","reason":"r"}]"#,
            "rules.json")
        try run(["rules", "import", file])
        let table = try ServiceProcess.output(["rules", "list"], settings: settings)
        #expect(table.text.contains("snooze") && !table.text.contains("\u{1b}"), "\(table.text)")
        let json = try ServiceProcess.output(["rules", "list", "--json"], settings: settings)
        let again = try ServiceProcess.output(
            ["rules", "import", try write(json.text, "listed.json")], settings: settings)
        #expect(again.status == 0 && again.text.contains("v1 serves already"), "\(again.text)")
        let wrong = try ServiceProcess.output(
            ["rules", "import", try write(#"{"rules":[{"action":"suppress"}]}"#, "wrong.json")],
            settings: settings)
        #expect(wrong.status == 65 && wrong.text.contains("rules[0]"), "\(wrong.text)")
    }
}
