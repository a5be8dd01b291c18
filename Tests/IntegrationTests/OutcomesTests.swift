import Foundation
import Testing

/// Labels, tables, a model that looks at them, its verdicts, and their audit, by the commands of an operator.
@Suite struct OutcomesTests {
    private struct Scene {
        let folder: TemporaryFolder
        let settings: [String: String]

        init() throws {
            folder = try TemporaryFolder()
            settings = [
                "store.uri": folder.file("store").path, "lake.uri": folder.file("data/lake").path,
                "data.directory": folder.file("state").path, "references.lag": "2",
            ]
        }

        @discardableResult
        func run(_ arguments: String...) throws -> String {
            try ServiceProcess.run(arguments, settings: settings)
        }

        func path(_ name: String) -> String { folder.file(name).path }

        func lines(_ name: String) throws -> [String] {
            try String(contentsOfFile: path(name), encoding: .utf8).split(separator: "\n").map(String.init)
        }

        /// Generated days, complaints brought in by etl, and boosted trees that learned from them.
        func prepare() throws {
            try run(
                "generate", "--users", "60", "--days", "40", "--seed", "3", "--start", "2025-01-01",
                "--mules",
                "3", "--label-delay", "2", "--output", path("data"))
            try FileManager.default.createDirectory(
                atPath: path("in/raw/labels"), withIntermediateDirectories: true)
            let known = try lines("data/labels.jsonl").filter { !$0.contains(#""known_at":"2025-02"#) }
            try Data((known.joined(separator: "\n") + "\n").utf8).write(
                to: folder.file("in/raw/labels/complaints.jsonl"))
            let loaded = try run("etl", "--raw", path("in"))
            #expect(loaded.contains("\(known.count) labels"), "\(loaded)")
            try run("references", "refresh", "--as-of", "2025-01-31")
            let trained = try run(
                "train", "--from", "2025-01-01", "--to", "2025-01-30", "--as-of", "2025-01-31", "--detector",
                "boosted-trees", "--parameter", "n_estimators=20", "--parameter", "min_labels=10",
                "--promotion", "auto")
            #expect(trained.contains("labelled_frauds"), "\(trained)")
        }
    }

    @Test func verdictsNameTheTableAndAreReproducedByIt() throws {
        let scene = try Scene()
        try scene.prepare()
        try scene.run(
            "replay", "--stream", scene.path("data/stream.jsonl"), "--output", scene.path("first.jsonl"))
        let first = try scene.lines("first.jsonl")
        #expect(!first.isEmpty && first.allSatisfy { $0.contains(#""reference":{"version":1,"#) })
        // A later table knows more; verdicts of before are made again by the one that they name.
        try FileManager.default.copyItem(
            atPath: scene.path("data/labels.jsonl"), toPath: scene.path("in/raw/labels/more.jsonl"))
        try scene.run("etl", "--raw", scene.path("in"))
        try scene.run("references", "refresh", "--as-of", "2025-02-05", "--full")
        try scene.run(
            "replay", "--stream", scene.path("data/stream.jsonl"), "--output", scene.path("second.jsonl"))
        let second = try scene.lines("second.jsonl")
        #expect(second != first && second.allSatisfy { $0.contains(#""reference":{"version":2,"#) })

        // A stream of whose verdicts some are of one table and some of the other.
        let mixed = zip(first, second).enumerated().map { $0.offset % 3 == 0 ? $0.element.1 : $0.element.0 }
        try Data((mixed.joined(separator: "\n") + "\n").utf8).write(to: scene.folder.file("mixed.jsonl"))
        let again = try scene.run(
            "replay", "--stream", scene.path("data/stream.jsonl"), "--verdicts", scene.path("mixed.jsonl"),
            "--output", scene.path("again.jsonl"))
        #expect(again.contains("\(mixed.count) with the same bytes"), "\(again)")
        #expect(try scene.lines("again.jsonl") == mixed)

        let verdict = scene.path("verdict.json")
        try Data(first[first.count / 2].utf8).write(to: URL(filePath: verdict))
        let audit = ["audit", "--verdict", verdict, "--stream", scene.path("data/stream.jsonl")]
        #expect(try ServiceProcess.run(audit, settings: scene.settings).contains("REPRODUCED"))

        // Its table is damaged, then gone: said, not taken for a difference.
        let table = scene.path("store/references/v1.table")
        var bytes = try Data(contentsOf: URL(filePath: table))
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: URL(filePath: table))
        var (status, text) = try ServiceProcess.output(audit, settings: scene.settings)
        #expect(status != 0 && text.contains("checksum is wrong"), "\(text)")
        try FileManager.default.removeItem(atPath: table)
        (status, text) = try ServiceProcess.output(audit, settings: scene.settings)
        #expect(status != 0 && text.contains("there is no reference table v1"), "\(text)")
    }

    @Test func aLakeWithoutLabelsIsSaidWhereTheyAreNeeded() throws {
        let scene = try Scene()
        try scene.run(
            "generate", "--users", "20", "--days", "30", "--start", "2025-01-01", "--label-delay", "2",
            "--output",
            scene.path("data"))
        // Nobody has brought the complaints in.
        let (status, text) = try ServiceProcess.output(
            ["train", "--from", "2025-01-01", "--to", "2025-01-22", "--detector", "boosted-trees"],
            settings: scene.settings)
        #expect(status != 0 && text.contains("label"), "\(text)")
        #expect(try scene.run("references", "refresh", "--as-of", "2025-01-20").contains("0 labelled frauds"))
    }

    /// The label topic is not the only way: a process that only answers HTTP takes labels, and a job learns from them.
    @Test func labelsByHTTPReachTheLakeAndTheUser() async throws {
        let scene = try Scene()
        try scene.run(
            "generate", "--users", "20", "--days", "20", "--start", "2025-01-01", "--label-delay", "2",
            "--output",
            scene.path("data"))
        var settings = scene.settings
        settings["references.refresh"] = "off"
        let service = try await ServiceProcess(
            settings: settings, folder: scene.folder.url, arguments: ["--role", "management"])
        let labels = try scene.lines("data/labels.jsonl")
        let body = "[" + labels.joined(separator: ",") + "]"
        let answer = try await service.post("/v1/labels", body)
        #expect(answer.value("new") as? Int == labels.count, "\(answer.text)")
        #expect(try await service.post("/v1/labels", body).value("repeated") as? Int == labels.count)
        var listed = 0
        for user in 1...20 {
            let view = try await service.get("/v1/users/user-0000\(user < 10 ? "0" : "")\(user)/labels")
            listed += (view.value() as? [Any])?.count ?? 0
        }
        // The stream's days are not in the lake; 2025-01-01 is day 20,089.
        let inLake = labels.count { label in
            label.firstMatch(of: /"t([0-9]+)-/).flatMap { Int($0.output.1) }.map { $0 < 20_089 + 15 } ?? false
        }
        #expect(listed == inLake && listed > 0)
        #expect(try await service.interrupt() == 0)
    }
}
