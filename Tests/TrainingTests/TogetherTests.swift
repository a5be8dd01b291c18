import Foundation
import Lake
import Logging
import Models
import ObjectStore
import Synchronization
import Testing

@testable import Training

/// Jobs of named users that ask for the same are one pass over the lake, and each is answered as if it had run alone.
@Suite struct TogetherTests {
    private let clock = TestClock()
    private let workshop: Workshop
    private let lake: CountingStore
    private let jobs: any JobStore
    private let days = 30

    init() throws {
        let clock = clock
        workshop = try Workshop()
        try workshop.generate(users: 12, days: days)
        _ = try workshop.run(Workshop.request(days: days, promote: true), jobID: "global")
        lake = CountingStore(workshop.lake)
        jobs = try SQLiteJobStore(path: nil, now: { clock.now })
    }

    private func worker() -> TrainingWorker {
        var logger = Logger(label: "tests of shared passes")
        logger.logLevel = .critical
        let pipeline = TrainingPipeline(
            lake: lake, store: workshop.models, promotion: workshop.promotion, router: workshop.router,
            registry: workshop.registry, settings: workshop.settings, now: { 1_000 })
        return TrainingWorker(jobs: jobs, pipeline: pipeline, name: "a", logger: logger)
    }

    private func request(_ user: Int) -> TrainingRequest {
        Workshop.request(user: "user-00000\(user)", days: days, promote: true)
    }

    @Test func whatAsksForTheSameIsOnePassAndEachIsAnsweredAsAlone() throws {
        let together = try (1...6).map { try jobs.submit(request($0)).id }
        var other = request(7)
        other.seed = 5
        let apart = try jobs.submit(other).id
        let global = try jobs.submit(Workshop.request(days: days)).id
        let nobody = try jobs.submit(Workshop.request(user: "nobody", days: days, promote: true)).id

        let worker = worker()
        #expect(try worker.runNext())
        for id in together { #expect(try jobs.job(id: id)?.state == .succeeded) }
        let failed = try #require(try jobs.job(id: nobody))
        #expect(failed.state == .failed)
        #expect(
            failed.error?.hasPrefix("insufficient_history: the lake has no transactions of user nobody")
                == true)
        // Files of the lake are read once for all of them.
        #expect(lake.mostReadsOfAnObject == 1)
        for id in [apart, global] { #expect(try jobs.job(id: id)?.state == .queued) }
        #expect(try worker.runNext())
        #expect(try jobs.job(id: apart)?.state == .succeeded)
        #expect(try jobs.job(id: global)?.state == .queued)

        for (number, id) in zip(1..., together) {
            let job = try #require(try jobs.job(id: id))
            let alone = try workshop.run(
                {
                    var request = request(number)
                    request.promote = false
                    return request
                }(), jobID: "alone")
            #expect(job.outcome?.metrics == alone.metrics)
            let user = Tenant.user("user-00000\(number)")
            let headers = try (1...2).map { try workshop.models.header(of: user, version: $0) }
            #expect(headers[0]?.payloadSHA256 == headers[1]?.payloadSHA256)
            #expect(headers[0]?.jobID == id)
            let isPromoted = job.outcome?.models.first?.isPromoted == true
            #expect(try workshop.catalogue.active(user) == (isPromoted ? 1 : nil))
            let changes = try workshop.catalogue.changes(of: user)
            #expect(changes.map(\.reason) == (isPromoted ? ["job \(id)"] : []))
        }
    }

    @Test func aUserWhoIsAskedForTwiceGetsTwoModels() throws {
        let ids = try (0..<2).map { _ in try jobs.submit(request(1)).id }
        #expect(try worker().runNext())
        let versions = try ids.map { try jobs.job(id: $0)?.outcome?.models.first?.version }
        #expect(versions == [1, 2])
    }

    @Test func oneThatIsCancelledLeavesTheOthersAlone() throws {
        let jobs = jobs
        let ids = try (1...3).map { try jobs.submit(request($0)).id }
        // While the lake is read.
        lake.onFirstRead { try? jobs.cancel(id: ids[1]) }
        #expect(try worker().runNext())
        #expect(try ids.map { try jobs.job(id: $0)?.state } == [.succeeded, .cancelled, .succeeded])
    }

    @Test func aJobThatHasFailedBeforeRunsAlone() throws {
        let first = try jobs.submit(request(1)).id
        _ = try #require(try jobs.claim(worker: "dead"))
        clock.advance(JobBounds.leaseMilliseconds)
        let second = try jobs.submit(request(2)).id
        #expect(try worker().runNext())
        #expect(try jobs.job(id: first)?.state == .succeeded)
        #expect(try jobs.job(id: second)?.state == .queued)
    }

    @Test func aLakeThatIsAwayPostponesThemAll() throws {
        let ids = try (1...3).map { try jobs.submit(request($0)).id }
        lake.isAway = true
        #expect(try worker().runNext())
        for id in ids { #expect(try jobs.job(id: id)?.state == .queued) }
    }

    @Test func whoeverIsWantedNextIsReadFromWhatWasJustRead() throws {
        let pipeline = TrainingPipeline(
            lake: lake, store: workshop.models, promotion: workshop.promotion, router: workshop.router,
            registry: workshop.registry, settings: workshop.settings)
        for user in 1...3 {
            _ = try pipeline.run(
                request(user), jobID: "\(user)", isCancelled: { false }, report: { _, _ in })
        }
        // These files are so small that they are fetched whole.
        #expect(lake.mostReadsOfAnObject == 1)
    }
}

/// Counts the reads of each object.
private final class CountingStore: ObjectStore {
    private struct State {
        var reads: [String: Int] = [:]
        var isAway = false
        var onFirstRead: (@Sendable () -> Void)?
    }

    private let store: any ObjectStore
    private let state = Mutex(State())

    init(_ store: any ObjectStore) { self.store = store }

    var location: String { store.location }
    var mostReadsOfAnObject: Int { state.withLock { $0.reads.values.max() ?? 0 } }
    var isAway: Bool {
        get { state.withLock { $0.isAway } }
        set { state.withLock { $0.isAway = newValue } }
    }
    func onFirstRead(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.onFirstRead = body } }

    private func note(_ key: String) throws(ObjectStoreError) {
        let (isAway, body) = state.withLock { state in
            state.reads[key, default: 0] += 1
            defer { state.onFirstRead = nil }
            return (state.isAway, state.onFirstRead)
        }
        body?()
        if isAway { throw .unavailable(location: location, reason: "a test") }
    }

    func get(_ key: String) throws(ObjectStoreError) -> StoredObject? {
        try note(key)
        return try store.get(key)
    }
    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        try note(key)
        return try store.get(key, range: range)
    }
    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? { try store.head(key) }
    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag
    {
        try store.put(key, bytes, if: condition)
    }
    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary] {
        try store.list(prefix: prefix, after: after, limit: limit)
    }
    func delete(_ key: String) throws(ObjectStoreError) { try store.delete(key) }
}
