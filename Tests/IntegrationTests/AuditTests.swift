import Foundation
import Testing

/// Verdicts that are made again long after, by what they name and not by what serves now.
@Suite(.serialized) struct AuditTests {
    /// Verdicts of three models that served one after the other.
    @Test func eachVerdictIsMadeAgainByItsOwnModel() throws {
        let scene = try Scene()
        try FileManager.default.copyItem(at: Fixtures.folder.appending(path: "store"), to: scene.store)
        try FileManager.default.copyItem(
            at: Fixtures.folder.appending(path: "stream.jsonl"), to: scene.stream)
        let recorded = try scene.recorded([
            .init(), .init(before: ["models", "promote", "v1"]), .init(before: ["models", "promote", "v2"]),
        ])
        #expect(Set(recorded.map { Scene.value("version", of: $0) }).isSuperset(of: ["1", "2"]))
        // What serves now is none of them.
        try scene.run(["models", "promote", "v3"])
        #expect(try scene.madeAgain(recorded) == recorded)

        let own = try #require(recorded.first { $0.contains(#""fallback":null"#) }, "a user's own model")
        let global = try #require(recorded.last { $0.contains(#""fallback":"no-user-model""#) })
        for verdict in [own, global] {
            let audit = try scene.audit(verdict)
            #expect(audit.status == 0 && audit.text.contains("REPRODUCED"), "\(audit.text)")
        }
    }

    @Test func aVerdictThatWasAlteredIsSaidToDifferAndWhere() throws {
        let scene = try Scene()
        try FileManager.default.copyItem(at: Fixtures.folder.appending(path: "store"), to: scene.store)
        try FileManager.default.copyItem(
            at: Fixtures.folder.appending(path: "stream.jsonl"), to: scene.stream)
        let golden = try Fixtures.lines("verdicts.jsonl")
        let anomaly = try #require(golden.first { $0.contains(#""verdict":"ANOMALY""#) })
        let altered = anomaly.replacing(#""verdict":"ANOMALY""#, with: #""verdict":"NORMAL""#)
        let audit = try scene.audit(altered)
        #expect(audit.status == 1 && audit.text.contains("DIFFERS"), "\(audit.text)")
        #expect(audit.text.contains(#"verdict was "NORMAL", is "ANOMALY""#), "\(audit.text)")
        // A file of them says how many, and which is the first.
        let files = [golden[0], altered]
        #expect(try scene.madeAgain(files) == [golden[0], anomaly])
        // A transaction that the stream does not have, and a model that nobody has.
        let stranger = anomaly.replacing(#""transaction_id":"t"#, with: #""transaction_id":"x"#)
        #expect(try scene.audit(stranger).status != 0)
        let sha256 = Scene.value("sha256", of: anomaly)
        let lost = try scene.audit(anomaly.replacing(sha256, with: String(sha256.reversed())))
        #expect(lost.status != 0 && !lost.text.contains("REPRODUCED"), "\(lost.text)")
    }

    /// Verdicts of two reference tables in one batch.
    @Test func eachVerdictIsMadeAgainByItsOwnReferenceTable() throws {
        let scene = try Scene()
        try scene.run([
            "generate", "--users", "70", "--days", "40", "--seed", "3", "--output", scene.path("demo"),
        ])
        try FileManager.default.copyItem(
            at: scene.folder.appending(path: "demo/stream.jsonl"), to: scene.stream)
        let lake = ["--lake", scene.path("demo/lake")]
        for moment in ["2026-01-20", "2026-01-30"] {
            try scene.run(["references", "refresh", "--as-of", moment] + lake)
        }
        try scene.run(
            ["train", "--from", "2026-01-01", "--to", "2026-01-30", "--detector", "boosted-trees"] + lake
                + ["--promotion", "auto"])
        let recorded = try scene.recorded([
            .init(options: ["--reference", "v1"]), .init(options: ["--reference", "v2"]),
            .init(options: ["--reference", "v1"]),
        ])
        #expect(Set(recorded.map { $0.contains(#""reference":{"version":1,"#) }).count == 2)
        #expect(try scene.madeAgain(recorded) == recorded)

        let old = recorded[0]
        let audit = try scene.audit(old)
        #expect(audit.status == 0 && audit.text.contains("REPRODUCED"), "\(audit.text)")
        // A table of that number, and another one.
        let tables = scene.store.appending(path: "references")
        try FileManager.default.removeItem(at: tables.appending(path: "v1.table"))
        try FileManager.default.copyItem(
            at: tables.appending(path: "v2.table"), to: tables.appending(path: "v1.table"))
        let other = try scene.audit(old)
        #expect(
            other.status != 0 && other.text.contains("the reference table v1 with the SHA-256"),
            "\(other.text)")
    }

    /// Windows begin with what the lake has of the days before the stream, and so do those of whoever makes a verdict again.
    @Test func verdictsOfWindowsThatBeganWithTheLakeAreMadeAgain() async throws {
        let scene = try Scene()
        try scene.run([
            "generate", "--users", "20", "--days", "40", "--seed", "5", "--output", scene.path("demo"),
        ])
        let made = try String(contentsOfFile: scene.path("demo/stream.jsonl"), encoding: .utf8)
        try Data("no transaction\n\(made)".utf8).write(to: scene.stream)
        try scene.run([
            "train", "--lake", scene.path("demo/lake"), "--from", "2026-01-01", "--to", "2026-01-30",
            "--detector", "zscore-baseline", "--promotion", "auto",
        ])
        scene.settings["lake.uri"] = scene.path("demo/lake")
        scene.settings["stream.file"] = scene.stream.path
        let settings = ["stream.publish": "all", "stream.rate": "2000", "http.publicread": "yes"]
        let service = try await ServiceProcess(
            settings: scene.settings.merging(settings) { $1 }, folder: scene.folder)
        func recorded() -> [String] {
            let text = try? String(contentsOfFile: scene.path("data/anomalies.jsonl"), encoding: .utf8)
            return (text ?? "").split(separator: "\n").map(String.init)
        }
        let count = made.split(separator: "\n").count
        try await waitUntil("all is judged", timeoutSeconds: 120) { recorded().count == count }
        let list = try await service.get("/v1/anomalies")
        let number = try #require(list.value(0, "number") as? Int)
        let audit = try await service.get(
            "/v1/anomalies/\(number)/audit", key: ServiceProcess.adminKey)
        #expect(audit.value("outcome") as? String == "reproduced", "\(audit.text)")
        #expect(try await service.interrupt() == 0)

        let verdicts = recorded()
        #expect(!verdicts.contains { $0.contains(#""cold""#) })
        #expect(try scene.madeAgain(verdicts) == verdicts)
        #expect(try scene.replayed() == verdicts)
        let last = try scene.audit(try #require(verdicts.last))
        #expect(last.status == 0 && last.text.contains("REPRODUCED"), "\(last.text)")
        let rebuilt = try ServiceProcess.run(
            ["windows", "rebuild", "--from", "topic"], settings: scene.settings)
        #expect(rebuilt.contains(" 0 windows rebuilt"), "\(rebuilt)")

        // Without the lake they are others.
        scene.settings["windows.warm"] = "never"
        #expect(try scene.replayed() != verdicts)
    }

    /// A store, a stream, and the commands on them.
    private final class Scene {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        var store: URL { folder.appending(path: "store") }
        var stream: URL { folder.appending(path: "stream.jsonl") }

        init() throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        func path(_ name: String) -> String { folder.appending(path: name).path }

        lazy var settings = ["store.uri": store.path, "data.directory": path("data")]

        func run(_ arguments: [String]) throws {
            try ServiceProcess.run(arguments, settings: settings)
        }

        /// A part of what a service has published.
        struct Part {
            /// A command that changes what serves.
            var before: [String] = []
            /// Of the replay.
            var options: [String] = []
        }

        /// Replays the whole stream once for each part of it, and takes of each replay its own part: what a service
        /// publishes while what serves is changed.
        func recorded(_ parts: [Part]) throws -> [String] {
            var recorded: [String] = []
            for (number, part) in parts.enumerated() {
                if !part.before.isEmpty { try run(part.before) }
                let lines = try output(["replay", "--stream", stream.path] + part.options)
                recorded +=
                    lines[lines.count * number / parts.count..<lines.count * (number + 1) / parts.count]
            }
            return recorded
        }

        func replayed() throws -> [String] { try output(["replay", "--stream", stream.path]) }

        func madeAgain(_ verdicts: [String]) throws -> [String] {
            try write(verdicts, to: "verdicts.jsonl")
            return try output(["replay", "--stream", stream.path, "--verdicts", path("verdicts.jsonl")])
        }

        func audit(_ verdict: String) throws -> (status: Int32, text: String) {
            try write([verdict], to: "verdict.json")
            return try ServiceProcess.output(
                ["audit", "--verdict", path("verdict.json"), "--stream", stream.path], settings: settings)
        }

        private func output(_ arguments: [String]) throws -> [String] {
            try run(arguments + ["--output", path("output.jsonl")])
            return try String(contentsOfFile: path("output.jsonl"), encoding: .utf8).split(separator: "\n")
                .map(String.init)
        }

        private func write(_ lines: [String], to name: String) throws {
            try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: URL(filePath: path(name)))
        }

        /// The first member of a name in a verdict's JSON, without quotes.
        static func value(_ name: String, of verdict: String) -> String {
            let after = verdict.components(separatedBy: "\"\(name)\":").dropFirst().first ?? ""
            return String(after.prefix { !",}".contains($0) }).filter { $0 != "\"" }
        }
    }
}
