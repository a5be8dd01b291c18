import Foundation
import Testing

/// Plugins of strangers, in a running service.
@Suite(.serialized) struct PluginEndToEndTests {
    private static let range = #""date_range":{"start":"2026-01-01","end":"2026-02-08"}"#

    @Test func aPluginCopiedIntoTheFolderServesWithoutARestart() async throws {
        let deployment = try Deployment()
        let (service, plugins) = try await serve(deployment)
        #expect(try await service.loaded("half-space-trees").isEmpty)
        let built = deployment.folder.appending(path: "libHalfSpaceTrees.so")
        try Self.compile(Self.halfSpaceTrees, to: built)
        try FileManager.default.copyItem(at: built, to: plugins.appending(path: "libHalfSpaceTrees.so"))
        try await waitUntil("the plugin is listed", timeoutSeconds: 120) {
            try await service.loaded("half-space-trees").count == 1
        }

        let job = try await service.train(
            #"{"user_id":"user-000002","detector":"half-space-trees","parameters":{"trees":30},\#(Self.range)}"#
        )
        let version = try #require(job.version("models", 0, "version"))
        let promoted = try await service.post("/v1/models/\(version)/promote?user_id=user-000002")
        #expect(promoted.status == 200, "\(promoted.text)")
        let lines = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"user-000002\"") }
        try deployment.produce(Array(lines[..<5]))
        let verdicts = try deployment.consume("anomalies", count: 5)
        let model = #""model":{"tenant":"user-000002","version":\#(version),"detector":"half-space-trees""#
        #expect(verdicts.count == 5)
        #expect(verdicts.allSatisfy { $0.contains(model) }, "\(service.logText.suffix(2_000))")

        // Other bytes under the same name are a further version; the model goes on with the code it has.
        try Self.compile(Self.halfSpaceTrees, optimisation: "-O1", to: built)
        try Data(contentsOf: built).write(to: plugins.appending(path: "libHalfSpaceTrees.so"))
        let rescan = try await service.post("/v1/detectors/rescan")
        #expect(rescan.status == 200)
        let both = try await service.loaded("half-space-trees")
        #expect(both.count == 2)
        #expect(both.map { $0["is_current"] as? Bool } == [false, true])
        try deployment.produce(Array(lines[5..<8]))
        #expect(try deployment.consume("anomalies", count: 8).count { $0.contains(model) } == 8)
        #expect(try await service.interrupt() == 0)
    }

    @Test func whatIsNoPluginIsRefusedAndTheServiceGoesOn() async throws {
        let deployment = try Deployment()
        let (service, plugins) = try await serve(deployment)
        let expected = try Self.badPlugins(in: plugins)
        #expect(try await service.post("/v1/detectors/rescan", key: nil).status == 401)
        let answer = try await service.post("/v1/detectors/rescan")
        #expect(answer.status == 200)
        let refused = answer.value("refused") as? [[String: String]] ?? []
        #expect(refused.count == expected.count)
        for (name, reason) in expected {
            let refusal = refused.first { $0["path"]?.hasSuffix(name) == true }
            #expect(refusal?["reason"]?.contains(reason) == true, "\(name): \(String(describing: refusal))")
        }
        #expect(try await service.get("/healthz").status == 200)
        #expect(try await service.interrupt() == 0)

        // The command says the same, a line each, and ends with 65.
        let failure = #expect(throws: ServiceFailure.self) {
            try ServiceProcess.run(["detectors", "list", "--plugins", plugins.path])
        }
        let text = failure?.description ?? ""
        #expect(text.contains("--plugins \(plugins.path): 65\n"))
        for (name, reason) in expected {
            let lines = text.split(separator: "\n").filter {
                $0.contains("\(name) is refused") && $0.contains(reason)
            }
            #expect(!lines.isEmpty, "\(name): \(text)")
        }
    }

    @Test func aModelThatFailsIsQuarantinedAndItsTransactionsAreScored() async throws {
        let deployment = try Deployment()
        let (service, plugins) = try await serve(deployment)
        try Self.compile(Self.fixture, "NAN_FAR_AWAY", to: plugins.appending(path: "libfixture.so"))
        #expect(try await service.post("/v1/detectors/rescan").status == 200)
        let job = try await service.train(#"{"user_id":"user-000002","detector":"fixture",\#(Self.range)}"#)
        let version = try #require(job.version("models", 0, "version"))
        #expect(try await service.post("/v1/models/\(version)/promote?user_id=user-000002").status == 200)
        let lines = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"user-000002\"") }
        let far = try #require(lines.first).replacing(/"amount":[0-9.]+/, with: #""amount":1e15"#)
        try deployment.produce([lines[1]])
        #expect(
            try deployment.consume("anomalies", count: 1).first?.contains(#""detector":"fixture""#) == true)
        try deployment.produce([far])
        try deployment.produce([lines[2]])
        let verdicts = try deployment.consume("anomalies", count: 3)
        #expect(
            verdicts.count { $0.contains(#""fallback":"quarantined""#) && $0.contains(#""tenant":"global""#) }
                == 2)
        #expect(try await service.get("/metrics").text.contains("ml_models_quarantined 1"))
        #expect(service.logText.split(separator: "\n").count { $0.contains("out of service") } == 1)
        #expect(try await service.interrupt() == 0)
    }

    /// A crash in a process of its own costs one batch the user's model, and nothing else.
    @Test func anIsolatedDetectorCrashesAlone() async throws {
        let deployment = try Deployment()
        let (service, plugins) = try await serve(deployment, ["plugins.isolation": "process"])
        try Self.compile(Self.fixture, "CRASH_FAR_AWAY", to: plugins.appending(path: "libfixture.so"))
        #expect(try await service.post("/v1/detectors/rescan").status == 200)
        #expect(try await service.loaded("fixture").first?["isolation"] as? String == "process")
        let job = try await service.train(#"{"user_id":"user-000002","detector":"fixture",\#(Self.range)}"#)
        let version = try #require(job.version("models", 0, "version"))
        #expect(try await service.post("/v1/models/\(version)/promote?user_id=user-000002").status == 200)
        let lines = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"user-000002\"") }
        let far = try #require(lines.first).replacing(/"amount":[0-9.]+/, with: #""amount":1e15"#)

        try deployment.produce([lines[1]])
        #expect(
            try deployment.consume("anomalies", count: 1).first?.contains(#""detector":"fixture""#) == true)
        try deployment.produce([far])
        let second = try deployment.consume("anomalies", count: 2)
        #expect(
            second.count { $0.contains(#""fallback":"detector-away""#) && $0.contains(#""tenant":"global""#) }
                == 1)
        // The stream goes on.
        let others = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"user-000003\"") }
        try deployment.produce(Array(others[..<3]))
        #expect(try deployment.consume("anomalies", count: 5).count == 5)
        #expect(service.logText.contains("a detector's process has ended"))
        #expect(service.logText.contains("SIGSEGV"))
        #expect(try await service.get("/metrics").text.contains("ml_models_quarantined 0"))
        #expect(try await service.interrupt() == 0)
    }

    // MARK: What the tests are made of

    private func serve(_ deployment: Deployment, _ more: [String: String] = [:]) async throws -> (
        ServiceProcess, plugins: URL
    ) {
        let plugins = deployment.folder.appending(path: "plugins")
        try FileManager.default.createDirectory(at: plugins, withIntermediateDirectories: true)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        try Fixtures.upload("lake", to: try Fixtures.s3(prefix: "\(deployment.run)/lake"))
        let settings = try deployment.settings(
            [
                "stream.publish": "all", "plugins.folders": plugins.path, "plugins.seconds": "1",
            ].merging(more) { $1 })
        return (try await ServiceProcess(settings: settings, folder: deployment.folder), plugins)
    }

    private static let headers = "Sources/DetectorAPI/Sources/CDetectorPlugin/include"
    private static let halfSpaceTrees = "examples/half-space-trees/half_space_trees.c"
    private static let fixture = "Tests/PluginsTests/Fixtures/fixture.c"

    static func compile(
        _ source: String, _ fault: String = "NONE", optimisation: String = "-O2", to library: URL
    ) throws {
        let compiler = Process()
        compiler.executableURL = URL(filePath: "/usr/bin/env")
        compiler.currentDirectoryURL = ServiceProcess.root
        compiler.arguments = [
            "cc", "-std=c11", "-D_DEFAULT_SOURCE", optimisation, "-shared", "-fPIC", "-fvisibility=hidden",
            "-ffp-contract=off", "-I", headers, "-DFAULT=\(fault)", source, "-o", library.path, "-lm",
        ]
        try compiler.run()
        compiler.waitUntilExit()
        try #require(compiler.terminationStatus == 0, "cc failed on \(source)")
    }

    /// - Returns: Names, and what their refusals say.
    private static func badPlugins(in folder: URL) throws -> [(String, String)] {
        let path = { (name: String) in folder.appending(path: name) }
        try Data().write(to: path("libempty.so"))
        try FileManager.default.copyItem(atPath: "/bin/true", toPath: path("libtrue.so").path)
        try compile(fixture, "SCORE_NAN", to: path("libnan.so"))
        try compile(fixture, "CRASH_AT_LOAD", to: path("libcrash.so"))
        try compile(fixture, "HANG_IN_FIT", to: path("libhang.so"))
        var old = try Data(contentsOf: path("libnan.so"))
        let magic = try #require(old.firstRange(of: Data("MLSVCDET".utf8)))
        old[magic.upperBound] = 99
        try old.write(to: path("libold.so"))
        return [
            ("libempty.so", "it is not an ELF file"), ("libtrue.so", "no section"), ("libnan.so", "is nan"),
            ("libcrash.so", "SIGSEGV while being loaded"), ("libhang.so", "while fitting"),
            ("libold.so", "C ABI"),
        ]
    }
}

extension ServiceProcess {
    /// The versions of a detector, the newest last.
    fileprivate func loaded(_ id: String) async throws -> [[String: Any]] {
        let loaded = try await get("/v1/detectors").value("loaded") as? [[String: Any]] ?? []
        return loaded.filter { $0["id"] as? String == id }
    }
}
