import Foundation
import Lake
import Logging
import ObjectStore
import Synchronization
import Testing

@testable import Training

@Suite struct WorkerTests {
    private let clock = TestClock()
    private let workshop: Workshop
    private let jobs: any JobStore

    init() throws {
        let clock = clock
        workshop = try Workshop()
        try workshop.generate(users: 4, days: 12)
        jobs = try SQLiteJobStore(path: nil, now: { clock.now })
    }

    private func worker(_ name: String = "a", lake: (any ObjectStore)? = nil) -> TrainingWorker {
        var logger = Logger(label: "worker tests")
        logger.logLevel = .critical
        let pipeline = TrainingPipeline(
            lake: lake ?? workshop.lake, store: workshop.models, promotion: workshop.promotion,
            router: workshop.router, registry: workshop.registry, settings: workshop.settings)
        return TrainingWorker(jobs: jobs, pipeline: pipeline, name: name, logger: logger)
    }

    @Test func runsWhatWaits() throws {
        let id = try jobs.submit(Workshop.request(days: 12, promote: true)).id
        let worker = worker()
        #expect(try worker.runNext())
        #expect(try !worker.runNext())
        let job = try #require(try jobs.job(id: id))
        #expect(job.state == .succeeded)
        #expect(job.outcome?.models == [.init(tenant: "global", version: 1, isPromoted: true)])
        #expect(job.stage == .promote)
        #expect(try workshop.models.header(of: .global, version: 1)?.jobID == id)
    }

    @Test func aRequestThatCannotBeServedFailsWithTheReason() throws {
        let id = try jobs.submit(Workshop.request(user: "nobody", days: 12)).id
        #expect(try worker().runNext())
        let job = try #require(try jobs.job(id: id))
        #expect(job.state == .failed)
        #expect(job.error?.contains("nobody") == true)
    }

    @Test func whileTheLakeIsAwayTheJobWaits() throws {
        let id = try jobs.submit(Workshop.request(days: 12)).id
        let away = AwayStore(workshop.lake)
        let worker = worker(lake: away)
        #expect(try worker.runNext())
        let postponed = try #require(try jobs.job(id: id))
        #expect(postponed.state == .queued)
        #expect(postponed.error?.contains("does not answer") == true)
        #expect(try !worker.runNext())
        away.comeBack()
        clock.advance(15_000)
        #expect(try worker.runNext())
        #expect(try jobs.job(id: id)?.state == .succeeded)
    }

    @Test func aJobThatWasStoredBeforeTheCrashIsPromotedByTheNext() throws {
        let id = try jobs.submit(Workshop.request(days: 12, promote: true)).id
        // The first worker stored the model and died.
        _ = try #require(try jobs.claim(worker: "dead"))
        _ = try workshop.run(Workshop.request(days: 12), jobID: id)
        #expect(try workshop.catalogue.active(.global) == nil)
        clock.advance(JobBounds.leaseMilliseconds)
        #expect(try worker().runNext())
        #expect(try jobs.job(id: id)?.state == .succeeded)
        #expect(try jobs.job(id: id)?.attempts == 2)
        #expect(try workshop.models.versions(of: .global) == [1])
        #expect(try workshop.catalogue.active(.global) == 1)
    }

    @Test func stoppedItGivesItsJobBack() throws {
        let id = try jobs.submit(Workshop.request(days: 12)).id
        // The lake holds the worker up until it is told to stop.
        let slow = AwayStore(workshop.lake)
        slow.comeBack()
        let stopping = worker(lake: slow)
        slow.onRead { stopping.stop() }
        stopping.run()
        #expect(try jobs.job(id: id)?.state == .queued)
        #expect(try worker("b").runNext())
        #expect(try jobs.job(id: id)?.state == .succeeded)
    }

    @Test func aCancelledJobStopsAndStoresNothing() throws {
        let id = try jobs.submit(Workshop.request(days: 12)).id
        let slow = AwayStore(workshop.lake)
        slow.comeBack()
        let jobs = jobs
        slow.onRead { try? jobs.cancel(id: id) }
        #expect(try worker(lake: slow).runNext())
        #expect(try jobs.job(id: id)?.state == .cancelled)
        #expect(try workshop.models.versions(of: .global).isEmpty)
    }
}

/// A store that is away until it comes back, and tells when it is read.
private final class AwayStore: ObjectStore {
    private let store: any ObjectStore
    private let state = Mutex(State())

    private struct State {
        var isAway = true
        var onRead: (@Sendable () -> Void)?
    }

    init(_ store: any ObjectStore) { self.store = store }

    var location: String { store.location }
    func comeBack() { state.withLock { $0.isAway = false } }
    func onRead(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.onRead = body } }

    private func ask() throws(ObjectStoreError) -> any ObjectStore {
        let (isAway, onRead) = state.withLock { ($0.isAway, $0.onRead) }
        onRead?()
        if isAway { throw .unavailable(location: location, reason: "a test") }
        return store
    }

    func get(_ key: String) throws(ObjectStoreError) -> StoredObject? { try ask().get(key) }
    func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        try ask().get(key, range: range)
    }
    func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? { try ask().head(key) }
    func put(_ key: String, _ bytes: [UInt8], if condition: PutCondition) throws(ObjectStoreError)
        -> VersionTag
    {
        try ask().put(key, bytes, if: condition)
    }
    func list(prefix: String, after: String?, limit: Int) throws(ObjectStoreError) -> [ObjectSummary] {
        try ask().list(prefix: prefix, after: after, limit: limit)
    }
    func delete(_ key: String) throws(ObjectStoreError) { try ask().delete(key) }
}
