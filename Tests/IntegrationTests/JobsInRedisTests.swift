import DetectorAPI
import Foundation
import Lake
import Redis
import Synchronization
import Testing

@testable import Training

/// Jobs that several processes share.
@Suite struct JobsInRedisTests {
    private let prefix = "test:\(UUID().uuidString):"

    private func store() throws -> RedisJobStore {
        RedisJobStore(connection: try connection(), prefix: prefix)
    }

    private func connection() throws -> RedisConnection {
        RedisConnection(address: try RedisAddress(parsing: try Stack.redis))
    }

    private func key(_ name: String) -> RedisArgument { .text("\(prefix){jobs}:\(name)") }

    private func request(_ seed: UInt64 = 0) -> TrainingRequest {
        let day = LakeDay(dayNumber: 20_454)
        return TrainingRequest(from: day, to: day, seed: seed)
    }

    /// The rules that the store in SQLite keeps.
    @Test(arguments: JobRules.all.map(\.name))
    func keeps(rule: String) throws {
        let clock = TestClock()
        try JobRules.check(
            rule,
            JobRules(clock: clock) { limits in
                RedisJobStore(
                    connection: RedisConnection(address: try RedisAddress(parsing: try Stack.redis)),
                    prefix: "test:\(UUID().uuidString):", limits: limits, now: { clock.now })
            })
    }

    @Test func processesNeverRunOneJobTwice() throws {
        let submitting = try store()
        let ids = try (0..<60).map { try submitting.submit(request(UInt64($0))).id }
        let claimed = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 4) { worker in
            do {
                // By the server's clock, each with a connection of its own.
                let store = try store()
                while let job = try store.claim(worker: "\(worker)") {
                    claimed.withLock { $0.append(job.job.id) }
                    #expect(try store.finish([(job, .failure(TrainingError.noData("a test")))]) == [true])
                }
            } catch {
                Issue.record(error)
            }
        }
        let found = claimed.withLock { $0 }
        #expect(found.count == 60)
        #expect(Set(found) == Set(ids))
        #expect(try submitting.jobs(limit: 100).allSatisfy { $0.state == .failed && $0.attempts == 1 })
    }

    /// The same order, whatever the store, for a random mix of everything that users and workers do.
    @Test(arguments: 0..<4)
    func bothStoresGiveTheSameJobsInTheSameOrder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let clock = TestClock()
        let limits = JobLimits(waiting: 6, anHour: 25)
        let stores: [any JobStore] = [
            try SQLiteJobStore(path: nil, limits: limits, now: { clock.now }),
            RedisJobStore(
                connection: try connection(), prefix: "\(prefix)\(seed):", limits: limits,
                now: { clock.now }),
        ]
        // Ids differ; what was submitted is told by its seed.
        var claimed: [[UInt64: ClaimedJob]] = [[:], [:]]
        for step in 0..<400 {
            clock.advance(Int64.random(in: 1...4_000, using: &random))
            let submitter = ["", "a", "b", "c"].randomElement(using: &random) ?? ""
            let (choice, pick) = (Int.random(in: 0..<10, using: &random), random.next())
            let done = try stores.enumerated().map { place, store -> String in
                func running() -> ClaimedJob? {
                    let open = claimed[place].sorted { $0.key < $1.key }
                    return open.isEmpty ? nil : open[Int(pick % UInt64(open.count))].value
                }
                switch choice {
                case 0..<4:
                    do {
                        var request = request(UInt64(step))
                        if pick % 2 == 0 { request.userID = "u\(pick % 5)" }
                        return "\(try store.submit(request, submitter: submitter).state)"
                    } catch let error as TrainingError {
                        return "\(error)"
                    }
                case 4..<7:
                    guard let job = try store.claim(worker: "w\(pick % 3)") else { return "none" }
                    claimed[place][job.job.request.seed] = job
                    return "\(job.job.request.seed) \(job.attempt)"
                case 7:
                    guard let job = running() else { return "none" }
                    claimed[place][job.job.request.seed] = nil
                    return "\(try store.finish([(job, .failure(TrainingError.noData("a test")))]))"
                case 8:
                    guard let job = running() else { return "none" }
                    claimed[place][job.job.request.seed] = nil
                    let isOrderly = pick % 2 == 0
                    return
                        "\(try store.giveBack(job, reason: isOrderly ? nil : "away", delayMilliseconds: isOrderly ? 0 : 9_000))"
                default:
                    let listed = try store.jobs(limit: 8)
                    if let job = listed.last { try store.cancel(id: job.id) }
                    return listed.map { "\($0.request.seed) \($0.state) \($0.attempts)" }.joined(
                        separator: ", ")
                }
            }
            #expect(done[0] == done[1], "step \(step) of seed \(seed)")
            if done[0] != done[1] { return }
        }
        let states = try stores.map { store in
            try store.jobs(limit: 1_000).map {
                "\($0.request.seed) \($0.state) \($0.attempts) \($0.error ?? "")"
            }
        }
        #expect(states[0] == states[1])
    }

    // MARK: Bad data

    @Test func aRecordThatCannotBeReadIsSetAsideAndTheNextOneRuns() throws {
        let store = try store()
        let redis = try connection()
        let bodies = [
            "{", "", "\u{FF}", "[]", "null", #"{"job":{}}"#, String(repeating: "[", count: 100_000),
        ]
        for body in bodies {
            let (bad, good) = (try store.submit(request(1)).id, try store.submit(request(2)).id)
            try redis.command(["HSET", key("job:\(bad)"), "body", .text(body)])
            #expect(try store.jobs().allSatisfy { $0.id != bad })
            #expect(throws: TrainingError.self) { try store.claim(worker: "a") }
            let claimed = try #require(try store.claim(worker: "a"))
            #expect(claimed.job.id == good)
            #expect(try store.job(id: bad) == nil)
            try store.finish([(claimed, .failure(TrainingError.noData("a test")))])
        }
        let kept = try redis.command(["LRANGE", key("damaged"), 0, -1]).array?.count
        #expect(kept == bodies.count)
    }

    @Test func numbersThatCannotBeAreDamageAndNoTrap() throws {
        let store = try store()
        let redis = try connection()
        let strangers: [(String, String)] = [
            ("attempts", "9223372036854775807"), ("attempts", "-1"), ("strikes", "9223372036854775807"),
            ("strikes", "-9223372036854775808"), ("progress", "1e300"), ("lease", "\"soon\""),
            ("createdMilliseconds", "1e99"), ("state", "\"asleep\""), ("id", "\"other\""),
        ]
        for (field, value) in strangers {
            let id = try store.submit(request(1)).id
            let body = try #require(try redis.command(["HGET", key("job:\(id)"), "body"]).text)
            let changed = body.replacing(
                try Regex(#""\#(field)":("[^"]*"|[-0-9.e]+)"#), with: #""\#(field)":\#(value)"#)
            #expect(changed != body, "\(field)")
            try redis.command(["HSET", key("job:\(id)"), "body", .text(changed)])
            #expect(throws: TrainingError.self, "\(field) \(value)") { try store.claim(worker: "a") }
            #expect(try store.claim(worker: "a") == nil)
        }
    }

    @Test func whatIsGoneOrAnotherTypeHoldsNobodyUp() throws {
        let store = try store()
        let redis = try connection()
        func gone(_ damage: (String) throws -> Void) throws {
            let once = UUID().uuidString
            let bad = try store.submit(request(3), key: once, submitter: "s").id
            let good = try store.submit(request(4), submitter: "s").id
            try damage(bad)
            #expect(try store.job(id: bad) == nil)
            // The key is free again.
            let again = try store.submit(request(3), key: once, submitter: "s").id
            #expect(again != bad)
            #expect(throws: TrainingError.self) { try store.claim(worker: "a") }
            #expect(try store.claim(worker: "a")?.job.id == good)
            #expect(try store.claim(worker: "a")?.job.id == again)
            for id in [good, again] { try store.cancel(id: id) }
        }
        try gone { try redis.command(["DEL", key("job:\($0)")]) }
        try gone {
            try redis.command(["DEL", key("job:\($0)")])
            try redis.command(["SET", key("job:\($0)"), "a text"])
        }
        // Turns and places that are no numbers.
        let id = try store.submit(request(5), submitter: "s").id
        try redis.command(["HSET", key("begun"), "s", "never"])
        try redis.command(["HSET", key("job:\(id)"), "place", "first", "rev", "x"])
        #expect(throws: TrainingError.self) { try store.claim(worker: "a") }
        #expect(try store.claim(worker: "a") == nil)
        // A set that is no set is an error of Redis, each time, and no crash.
        try redis.command(["DEL", key("waiting")])
        try redis.command(["SET", key("waiting"), "a text"])
        #expect(throws: RedisError.self) { try store.submit(request(6)) }
    }

    @Test func aDamagedPartIsDoneAgain() throws {
        let store = try store()
        try store.submit(request())
        let claimed = try #require(try store.claim(worker: "a"))
        var part = UsersPart()
        part.users = 3
        #expect(try store.finishPart(claimed, 7, part))
        let redis = try connection()
        for (field, value) in [
            ("8", "{"), ("256", "{}"), ("x", "{}"), ("-1", "{}"),
            ("9", #"{"users":9223372036854775807,"models":[]}"#),
            ("10", #"{"users":1,"models":[],"division":1}"#),
        ] {
            try redis.command(["HSET", key("parts:\(claimed.job.id)"), .text(field), .text(value)])
        }
        #expect(try store.parts(claimed) == [7: part])
        // Out of the way: what is written first stands.
        #expect(try store.finishPart(claimed, 8, part))
        #expect(try store.parts(claimed) == [7: part, 8: part])
    }

    // MARK: Processes

    private func process(
        _ deployment: Deployment, _ name: String, _ role: String, _ more: [String: String] = [:]
    ) async throws -> ServiceProcess {
        let folder = deployment.folder.appending(path: name)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return try await ServiceProcess(
            settings: try deployment.settings(more), folder: folder, arguments: ["--role", role])
    }

    private static let range = #""date_range":{"start":"2026-01-01","end":"2026-02-08"},"promotion":"manual""#

    /// A job that is asked for at one process is run by another, and looked at and cancelled from any.
    @Test func anyProcessAsksAndAnotherWorks() async throws {
        let deployment = try Deployment()
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        try Fixtures.upload("lake", to: try Fixtures.s3(prefix: "\(deployment.run)/lake"))
        let asking = try await process(deployment, "asking", "management")
        let early = try await asking.post("/v1/train", #"{\#(Self.range),"seed":1}"#)
        let cancelled = try await asking.post(
            "/v1/train", #"{\#(Self.range),"seed":2}"#, headers: ["Idempotency-Key": "once"])
        let id = try #require(cancelled.value("job_id") as? String)
        let other = try await process(deployment, "other", "management")
        #expect(try await other.get("/v1/train/\(id)").value("state") as? String == "queued")
        let again = try await other.post(
            "/v1/train", #"{\#(Self.range),"seed":2}"#, headers: ["Idempotency-Key": "once"])
        #expect(again.value("job_id") as? String == id)
        #expect(try await other.delete("/v1/train/\(id)").status == 204)

        let working = try await process(deployment, "working", "training,management")
        defer { withExtendedLifetime(working) {} }
        let done = try await asking.finished(try #require(early.value("job_id") as? String))
        #expect(done.value("state") as? String == "succeeded", "\(done.text)")
        #expect(try await asking.get("/v1/train/\(id)").value("state") as? String == "cancelled")
    }

    /// While Redis is away callers are told so, and the worker goes on by itself afterwards.
    @Test func redisGoesAwayAndComesBack() async throws {
        let deployment = try Deployment()
        try Fixtures.upload("store", to: try Fixtures.s3(prefix: deployment.run))
        try Fixtures.upload("lake", to: try Fixtures.s3(prefix: "\(deployment.run)/lake"))
        let address = try #require(URL(string: try Stack.redis))
        let proxy = try CountingProxy(upstream: "http://127.0.0.1:\(address.port ?? 6_379)")
        let away = try #require(URL(string: proxy.endpoint)?.port)
        let service = try await process(
            deployment, "one", "training,management",
            ["redis.url": "redis://127.0.0.1:\(away)\(address.path)"])
        _ = try await service.train(#"{\#(Self.range),"seed":1}"#)
        proxy.isOpen = false
        try await waitUntil("callers are told", timeoutSeconds: 60) {
            let answer = try await service.post("/v1/train", #"{\#(Self.range),"seed":2}"#)
            return answer.status == 503 && answer.text.contains("redis-away")
        }
        let listed = try await service.get("/v1/train")
        #expect(listed.status == 503)
        #expect(listed.retryAfter != nil)
        proxy.isOpen = true
        var id: String?
        try await waitUntil("jobs are taken again", timeoutSeconds: 60) {
            let answer = try await service.post("/v1/train", #"{\#(Self.range),"seed":3}"#)
            id = answer.value("job_id") as? String
            return answer.status == 202
        }
        let done = try await service.finished(try #require(id))
        #expect(done.value("state") as? String == "succeeded", "\(done.text)")
    }
}
