import Foundation
import Testing

/// The whole service on a real broker, Redis and S3 server, as its users run it.
@Suite(.serialized) struct EndToEndTests {
    @Test func replayGivesTheGoldenVerdicts() throws {
        let output = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).jsonl")
        defer { try? FileManager.default.removeItem(at: output) }
        try ServiceProcess.run(
            [
                "replay", "--stream", Fixtures.folder.appending(path: "stream.jsonl").path, "--output",
                output.path,
            ],
            settings: [
                "store.uri": Fixtures.folder.appending(path: "store").path,
                "data.directory": FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
                    .path,
            ])
        let golden = try String(
            contentsOf: Fixtures.folder.appending(path: "verdicts.jsonl"), encoding: .utf8)
        #expect(try String(contentsOf: output, encoding: .utf8) == golden)
    }

    /// Nobody makes room for a command that says nothing.
    @Test func aReplayOntoAFullDiskEndsAndNamesTheFile() throws {
        let folder = try TemporaryFolder()
        let replay = try ServiceProcess.output(
            [
                "replay", "--stream", Fixtures.folder.appending(path: "stream.jsonl").path, "--output",
                "/dev/full",
            ],
            settings: [
                "store.uri": Fixtures.folder.appending(path: "store").path,
                "data.directory": folder.file("data").path,
            ])
        #expect(replay.status == 1)
        #expect(replay.text.contains("cannot write /dev/full: No space left on device"), "\(replay.text)")
        #expect(replay.text.contains("the first 0 lines"), "\(replay.text)")
    }

    /// A newcomer names the wrong file: that is no success, and it is said which line is wrong, and how.
    @Test func aStreamWithoutATransactionIsAnErrorThatShowsTheFirstLine() throws {
        let folder = try TemporaryFolder()
        let settings = [
            "store.uri": Fixtures.folder.appending(path: "store").path,
            "data.directory": folder.file("data").path,
        ]
        func replay(_ text: String) throws -> (status: Int32, text: String) {
            try Data(text.utf8).write(to: folder.file("stream.jsonl"))
            return try ServiceProcess.output(
                [
                    "replay", "--stream", folder.file("stream.jsonl").path, "--output",
                    folder.file("out.jsonl").path,
                ], settings: settings)
        }
        let table = try replay("transaction_id,is_fraud\nt1,1\n")
        #expect(table.status == 65)
        #expect(table.text.contains("line 1"), "\(table.text)")
        let transaction = try #require(try Fixtures.lines("stream.jsonl").first)
        let mixed = try replay("\(transaction)\nno transaction\n")
        #expect(mixed.status == 0)
        #expect(mixed.text.contains("1 rejected") && mixed.text.contains("line 2"), "\(mixed.text)")
        // Nothing at all is nothing to complain of.
        #expect(try replay("").status == 0)
    }

    @Test func theEmbeddedStreamGivesTheGoldenVerdicts() async throws {
        let deployment = try Deployment()
        let store = deployment.folder.appending(path: "store")
        try FileManager.default.copyItem(at: Fixtures.folder.appending(path: "store"), to: store)
        let output = deployment.folder.appending(path: "verdicts.jsonl")
        let service = try await ServiceProcess(
            settings: [
                "stream.file": Fixtures.folder.appending(path: "stream.jsonl").path, "store.uri": store.path,
                "stream.publish": "all", "stream.output": output.path,
            ], folder: deployment.folder)
        try await waitUntil("the stream has ended", timeoutSeconds: 180) {
            try await service.get("/readyz").value("state") as? String == "finished"
        }
        #expect(try await service.interrupt() == 0)
        let verdicts = try String(contentsOf: output, encoding: .utf8).split(separator: "\n").map(String.init)
        let golden = Fixtures.comparable(try Fixtures.lines("verdicts.jsonl"))
        let differing = zip(Fixtures.comparable(verdicts), golden).first { $0 != $1 }
        #expect(verdicts.count == golden.count)
        #expect(differing == nil, "\(String(describing: differing))\n\(service.logText)")
    }

    /// Exactly once: killed twice while it reads, each verdict is there once and is the golden one.
    @Test func kafkaGivesTheGoldenVerdictsOnceThoughKilledTwice() async throws {
        let deployment = try Deployment()
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let golden = try Fixtures.lines("verdicts.jsonl")
        let settings = try deployment.settings(["stream.publish": "all", "batch.records": "20"])
        let lines = try Fixtures.lines("stream.jsonl")
        for part in 0..<2 {
            try deployment.produce(Array(lines[lines.count * part / 3..<lines.count * (part + 1) / 3]))
            let service = try await ServiceProcess(settings: settings, folder: deployment.folder)
            try await waitUntil("some batches are through", timeoutSeconds: 180) {
                try await Self.metric("ml_batches_total", of: service) >= 2
            }
            service.kill()
        }
        try deployment.produce(Array(lines[(lines.count * 2 / 3)...]))

        let service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        let verdicts = try deployment.consume("anomalies", count: golden.count)
        #expect(verdicts.count == golden.count, "\(service.logText.suffix(2_000))")
        let differing = zip(Fixtures.comparable(verdicts), Fixtures.comparable(golden)).first { $0 != $1 }
        #expect(differing == nil)

        // What is no transaction is kept, whole, and the stream went on.
        let malformed = try Fixtures.lines("stream.jsonl").count - golden.count
        #expect(try deployment.consume("dlq", count: malformed).count == malformed)
        #expect(try await service.interrupt() == 0)
    }

    @Test func trainsPromotesAndSurvivesARestart() async throws {
        let deployment = try Deployment()
        let store = try Fixtures.s3(prefix: deployment.run)
        try Fixtures.upload("store", to: store)
        try Fixtures.upload("lake", to: try Fixtures.s3(prefix: "\(deployment.run)/lake"))
        let settings = try deployment.settings(["stream.publish": "all"])
        let lines = try Fixtures.lines("stream.jsonl").filter { $0.contains("\"user-000002\"") }
        try #require(lines.count >= 30)

        var service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        let range = #""promotion":"manual","date_range":{"start":"2026-01-01","end":"2026-02-08"}"#
        let global = try await service.train("{\(range)}")
        let globalVersion = try #require(global.version("models", 0, "version"))
        #expect(globalVersion == (try Fixtures.globalVersions) + 1)
        #expect(global.value("metrics", "auroc") is Double)
        let user = try await service.train(#"{"user_id":"user-000002",\#(range)}"#)
        let userVersion = try #require(user.version("models", 0, "version"))

        // Trained, not yet active.
        let before = try await service.get("/v1/models")
        #expect(before.version(0, "version") == globalVersion)
        #expect(before.value(0, "active") as? Bool == false)
        #expect(before.value(0, "accuracy") is Double)

        let promoted = try await service.post("/v1/models/\(globalVersion)/promote")
        #expect(promoted.status == 200, "\(promoted.text)")
        #expect(
            try await service.post("/v1/models/v\(userVersion)/promote?user_id=user-000002").status == 200)
        let after = try await service.get("/v1/models?user_id=user-000002")
        #expect(after.value(0, "active") as? Bool == true)

        // A shadow looks on, and the verdicts are those of an undisturbed replay all the same.
        let shadow = try await service.post("/v1/models/1/shadow?minutes=5")
        #expect(shadow.status == 200 && shadow.value("state") as? String == "running", "\(shadow.text)")
        #expect(try await service.post("/v1/models/\(globalVersion)/shadow").status == 422)

        try deployment.produce(Array(lines[..<10]))
        let first = try deployment.consume("anomalies", count: 10)
        #expect(
            first.allSatisfy { $0.contains(#""model":{"tenant":"user-000002","version":\#(userVersion),"#) })

        // Nothing but a crash, and everything is as it was: the models, and the window that 11 records continue.
        service.kill()
        service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        try deployment.produce(Array(lines[10...10]))
        let second = try deployment.consume("anomalies", count: 11)
        let verdict = try #require(second.first { !first.contains($0) })
        #expect(verdict.contains(#""tenant":"user-000002","version":\#(userVersion),"#))
        let undisturbed = try replay(
            Array(lines[...10]), store: "s3://\(Stack.variable("S3_BUCKET"))/\(deployment.run)")
        #expect(Fixtures.comparable(second) == Fixtures.comparable(undisturbed))

        // What rolling back would change is asked first: a job, and the answer has the command's members.
        let backtest = try await service.job(
            "/v1/models/1/backtest",
            #"{"date_range":{"start":"2026-02-01","end":"2026-02-08"},"alert_cost":2}"#)
        #expect(backtest.value("kind") as? String == "backtest")
        #expect(backtest.value("backtest", "candidate", "version") as? Int == 1, "\(backtest.text)")
        #expect(backtest.value("backtest", "active", "version") as? Int == globalVersion)
        #expect(backtest.value("backtest", "candidate", "transactions") as? Int ?? 0 > 0)
        #expect(backtest.value("backtest", "alert_cost") as? Double == 2)
        #expect(try await service.post("/v1/models/1/backtest", #"{"days":7,"against":"v99"}"#).status == 422)
        #expect(try await service.post("/v1/models/99/backtest", #"{"days":7}"#).status == 404)

        // Rolling back is promoting an older one; a version that is not there changes nothing.
        #expect(try await service.post("/v1/models/1/promote").status == 200)
        #expect(try await service.post("/v1/models/99/promote").status == 404)
        #expect(try await service.get("/v1/models").value(globalVersion - 1, "active") as? Bool == true)
    }

    @Test func garbageGoesToTheDeadLettersAndTheStreamGoesOn() async throws {
        let deployment = try Deployment(partitions: 1)
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let service = try await ServiceProcess(
            settings: try deployment.settings(["stream.publish": "all"]), folder: deployment.folder)
        let good = try Fixtures.lines("verdicts.jsonl").count
        try #require(good > 0)
        let line = try #require(try Fixtures.lines("stream.jsonl").first)
        try deployment.produce(["garbage", "{", "[1]", line])
        #expect(try deployment.consume("anomalies", count: 1).count == 1, "\(service.logText.suffix(2_000))")
        #expect(try deployment.consume("dlq", count: 3) == ["garbage", "{", "[1]"])
    }

    @Test func changingCallsNeedTheKeyAndErrorsNameTheField() async throws {
        let deployment = try Deployment()
        let service = try await ServiceProcess(settings: [:], folder: deployment.folder)
        let body = #"{"date_range":{"start":"2026-01-01","end":"2026-01-31"}}"#
        #expect(try await service.post("/v1/train", body, key: nil).status == 401)
        #expect(try await service.post("/v1/train", body, key: "wrong").status == 401)
        #expect(try await service.post("/v1/models/1/promote", key: nil).status == 401)

        let reversed = try await service.post(
            "/v1/train", #"{"date_range":{"start":"2026-02-01","end":"2026-01-31"}}"#)
        #expect(reversed.status == 422)
        #expect(reversed.value("field") as? String == "date_range")
        for (wrong, field) in [
            (#"{"date_range":{"start":"soon","end":"2026-01-31"}}"#, "date_range.start"),
            (#"{"date_range":{"start":"2026-01-01"}}"#, "date_range.end"), ("{}", "date_range"),
            (#"{"date_range":{"start":"2026-01-01","end":"2026-01-31"},"detectr":"x"}"#, "detectr"),
            (#"{"date_range":{"start":"2026-01-01","end":"2026-01-31"},"detector":"x"}"#, "detector"),
            (
                #"""
                {"date_range":{"start":"2026-01-01","end":"2026-01-31"},"detector":"isolation-forest",
                 "parameters":{"n_estimators":0}}
                """#,
                "parameters.n_estimators"
            ),
        ] {
            let answer = try await service.post("/v1/train", wrong)
            #expect(answer.status == 422, "\(answer.text)")
            #expect(answer.value("field") as? String == field, "\(answer.text)")
        }
        #expect(try await service.post("/v1/train", "nonsense").status == 400)
        let long = String(repeating: " ", count: 3 << 20)
        #expect(try await service.post("/v1/train", long).status == 413)
        #expect(try await service.get("/v1/train/nothing").status == 404)
        #expect(try await service.get("/nothing").status == 404)

        // The same key gives the same job; with another body it is refused.
        let key = ["Idempotency-Key": "once"]
        let first = try await service.post("/v1/train", body, headers: key)
        let again = try await service.post("/v1/train", body, headers: key)
        #expect(first.status == 202)
        #expect(first.value("job_id") as? String == again.value("job_id") as? String)
        let other = #"{"date_range":{"start":"2026-01-02","end":"2026-01-31"}}"#
        #expect(try await service.post("/v1/train", other, headers: key).status == 409)

        // Without any model it is alive, not ready, and its detectors are loaded.
        #expect(try await service.get("/healthz").status == 200)
        try await waitUntil("it says what it lacks", timeoutSeconds: 60) {
            let answer = try await service.get("/readyz")
            return answer.status == 503 && answer.text.contains("there is no active global model")
        }
        #expect(try await service.get("/v1/detectors").text.contains("isolation-forest"))
        #expect(try await service.get("/v1/detectors").text.contains("zscore-baseline"))
        #expect(try await service.get("/openapi.json").value("openapi") as? String == "3.1.0")
    }

    private func replay(_ lines: [String], store: String) throws -> [String] {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let stream = folder.appending(path: "stream.jsonl")
        let output = folder.appending(path: "verdicts.jsonl")
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: stream)
        try ServiceProcess.run(
            ["replay", "--stream", stream.path, "--output", output.path],
            settings: try Stack.s3Settings.merging(["store.uri": store, "data.directory": folder.path]) { $1 }
        )
        return try String(contentsOf: output, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    private static func metric(_ name: String, of service: ServiceProcess) async throws -> Double {
        let text = try await service.get("/metrics").text
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        return line.flatMap { Double($0.dropFirst(name.count + 1)) } ?? 0
    }
}
