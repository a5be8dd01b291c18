import Foundation
import Testing

/// What a machine keeps for itself can be lost: models, windows and offsets lie elsewhere.
@Suite struct LostDataDirectoryTests {
    @Test func aLostDataDirectoryChangesNoVerdict() async throws {
        let deployment = try Deployment()
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        let golden = try Fixtures.lines("verdicts.jsonl")
        let settings = try deployment.settings(["stream.publish": "all"])
        let lines = try Fixtures.lines("stream.jsonl")
        try deployment.produce(Array(lines[..<(lines.count / 2)]))

        var service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        let first = try deployment.consume("anomalies", count: golden.count / 3)
        #expect(first.count >= golden.count / 3, "\(service.logText.suffix(2_000))")
        // In order: the test's broker keeps a member that was killed, whose name is lost with the directory.
        #expect(try await service.interrupt() == 0)
        let data = deployment.folder.appending(path: "data")
        #expect(!(try FileManager.default.contentsOfDirectory(atPath: data.path)).isEmpty)
        try FileManager.default.removeItem(at: data)

        try deployment.produce(Array(lines[(lines.count / 2)...]))
        service = try await ServiceProcess(settings: settings, folder: deployment.folder)
        let verdicts = try deployment.consume("anomalies", count: golden.count)
        #expect(verdicts.count == golden.count, "\(service.logText.suffix(2_000))")
        let differing = zip(Fixtures.comparable(verdicts), Fixtures.comparable(golden)).first { $0 != $1 }
        #expect(differing == nil)
        #expect(try await service.interrupt() == 0)
    }
}
