import Foundation
import Models
import ObjectStore
import Redis
import Testing

/// A job for all users whose parts are made by the training workers of three processes.
@Suite struct SharedBulkTests {
    private static let days = 60
    private static let range = #""date_range":{"start":"2026-01-01","end":"2026-03-01"}"#
    private static let bulk =
        #"{\#(range),"all_users":true,"detector":"isolation-forest","parameters":{"n_estimators":"20"},"promotion":"auto"}"#

    /// Processes that share a store, a lake and a Redis.
    private final class Site {
        let deployment: Deployment
        let store: any ObjectStore
        private let redis: RedisConnection

        init(lake: URL) throws {
            deployment = try Deployment()
            store = try Fixtures.s3(prefix: deployment.run)
            redis = RedisConnection(address: try RedisAddress(parsing: try Stack.redis))
            let root = lake.standardizedFileURL.path
            let files = FileManager.default.enumerator(at: lake, includingPropertiesForKeys: nil)
            while let file = files?.nextObject() as? URL {
                guard !file.hasDirectoryPath else { continue }
                let key = "lake" + file.standardizedFileURL.path.dropFirst(root.count)
                try store.put(key, [UInt8](Data(contentsOf: file)), if: .always)
            }
        }

        func folder(_ name: String) -> URL { deployment.folder.appending(path: name) }

        func process(_ name: String) async throws -> ServiceProcess {
            try FileManager.default.createDirectory(at: folder(name), withIntermediateDirectories: true)
            return try await ServiceProcess(
                settings: try deployment.settings(["log.level": "info"]), folder: folder(name),
                arguments: ["--role", "training,management"])
        }

        /// By what the job store knows a worker.
        func worker(_ name: String) throws -> String {
            try String(contentsOf: folder(name).appending(path: "data/instance"), encoding: .utf8)
        }

        func jobs(_ command: String, _ name: String, _ arguments: RedisArgument...) throws -> RedisReply {
            try redis.command(
                RedisArguments([.text(command), .text("\(deployment.run):{jobs}:\(name)")] + arguments))
        }
    }

    private func generate() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "bulk-\(UUID().uuidString)")
        try ServiceProcess.run([
            "generate", "--users", "200", "--days", "\(Self.days)", "--stream-days", "0", "--seed", "5",
            "--output", folder.path,
        ])
        return folder
    }

    /// The global model, which users' models are judged against.
    private func trainGlobal(_ service: ServiceProcess) async throws {
        let job = try await service.train(
            #"{\#(Self.range),"detector":"isolation-forest","promotion":"auto"}"#)
        #expect(job.version("version") == 1)
    }

    /// What is active, and each model, without what tells two runs apart: the job's id, the times, and hashes of both.
    private func catalogue(_ store: any ObjectStore, job: String) throws -> [String: String] {
        func masked(_ bytes: some Sequence<UInt8>) -> String {
            String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) }))
                .replacing(job, with: "JOB")
                .replacing(/"sha256":"[0-9a-f]{64}"/, with: "SHA")
                .replacing(/"(timeMilliseconds|createdMilliseconds)":[0-9]+/, with: "TIME")
        }
        var found: [String: String] = [:]
        for object in try store.listAll(prefix: "models/catalogue/") where !object.key.contains("global") {
            found[object.key] = masked(try #require(try store.get(object.key)).bytes)
        }
        let models = ModelStore(objects: store)
        let packs = try store.listAll(prefix: "models/packs/")
        // A pack a shard, all of this job: nothing was stored twice.
        #expect(packs.allSatisfy { $0.key.contains(job) })
        for pack in packs { found[masked(pack.key.utf8)] = "\(pack.sizeBytes)" }
        #expect(try store.listAll(prefix: "models/users/").isEmpty)
        for user in 0...200 {
            let tenant = Tenant.user("user-" + String(1_000_000 + user).dropFirst())
            for version in try models.versions(of: tenant) {
                let bytes = try #require(try models.bytes(of: tenant, version: version))
                let artifact = try Artifact(decoding: bytes, key: nil)
                var header = artifact.header
                header.createdMilliseconds = 0
                header.jobID = nil
                let same = try Artifact.encode(header, payload: Array(artifact.payload.bytes), key: nil)
                found["\(tenant) \(version)"] = Data(same).base64EncodedString()
            }
        }
        return found
    }

    /// Names of what is not the same in both.
    private func differences(_ a: [String: String], _ b: [String: String]) -> [String] {
        Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted()
    }

    @Test func oneDiesAndOneSleepsAndTheCatalogueIsThatOfOneWorker() async throws {
        let data = try generate()
        defer { try? FileManager.default.removeItem(at: data) }
        let lake = data.appending(path: "lake")

        // One worker that nothing disturbs.
        let quiet = try Site(lake: lake)
        let alone = try await quiet.process("alone")
        try await trainGlobal(alone)
        let undisturbed = try await alone.job("/v1/train", Self.bulk)
        let expected = try catalogue(
            quiet.store, job: try #require(undisturbed.value("job_id") as? String))
        alone.kill()
        #expect(expected.count > 100)

        let site = try Site(lake: lake)
        var processes: [String: ServiceProcess] = [:]
        let names = ["a", "b", "c"]
        for name in names { processes[name] = try await site.process(name) }
        try await trainGlobal(try #require(processes["a"]))
        let accepted = try await #require(processes["b"]).post("/v1/train", Self.bulk)
        let id = try #require(accepted.value("job_id") as? String, "\(accepted.text)")
        try await waitUntil("three workers have parts", timeoutSeconds: 180) {
            let finished = try site.jobs("HLEN", "parts:\(id)").integer ?? 0
            #expect(finished < 256, "the job was over before three took part")
            let holders = Set(
                (try site.jobs("HGETALL", "sharing:\(id)").array ?? []).compactMap(\.text).filter {
                    $0.contains(":")
                })
            return (finished >= 256 || holders.count >= 3) && finished > 0
        }
        let holder = try #require(try site.jobs("HGET", "job:\(id)", "holder").text)
        let sleeper = try #require(try names.first { try holder.hasSuffix(site.worker($0)) })
        let others = names.filter { $0 != sleeper }
        let (sleeping, dying, survivor) = (
            try #require(processes[sleeper]), try #require(processes[others[0]]),
            try #require(processes[others[1]])
        )
        kill(sleeping.processIdentifier, SIGSTOP)
        defer { kill(sleeping.processIdentifier, SIGCONT) }
        dying.kill()
        let done = try await survivor.finished(id, timeoutSeconds: 400)
        #expect(done.value("state") as? String == "succeeded", "\(done.text)")
        #expect(done.value("attempts") as? Int == 2)
        #expect(differences(try catalogue(site.store, job: id), expected) == [])
        #expect(survivor.logText.contains("training has helped"))

        // It wakes up long after its lease, in the middle of its parts, and is told.
        let jobs = try await survivor.get("/v1/train").text
        kill(sleeping.processIdentifier, SIGCONT)
        try await waitUntil("the one that slept lets go", timeoutSeconds: 180) {
            sleeping.logText.split(separator: "\n").contains {
                $0.contains("training ended") && $0.contains(id)
            }
        }
        #expect(differences(try catalogue(site.store, job: id), expected) == [])
        #expect(try await survivor.get("/v1/train").text == jobs)
        // And goes on to work: the next job may be its own.
        survivor.kill()
        let next = try await sleeping.train(
            #"{\#(Self.range),"detector":"isolation-forest","promotion":"manual","seed":9}"#)
        #expect(next.value("state") as? String == "succeeded")
    }
}
