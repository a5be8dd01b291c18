import Foundation
import Lake
import Synchronization
import Testing

@testable import Training

/// A job is run once, whoever asks twice and whoever dies.
@Suite struct JobTests {
    private let clock = TestClock()

    private final class TestClock: Sendable {
        let milliseconds = Mutex<Int64>(1_000)
        func advance(_ by: Int64) { milliseconds.withLock { $0 += by } }
    }

    private func store() throws -> JobStore {
        try JobStore(path: nil, now: { [clock] in clock.milliseconds.withLock { $0 } })
    }

    private func request(_ seed: UInt64 = 0) throws -> TrainingRequest {
        TrainingRequest(
            from: try #require(LakeDay(parsing: "2026-01-01")),
            to: try #require(LakeDay(parsing: "2026-01-31")),
            seed: seed)
    }

    @Test func theSameKeyGivesTheSameJobAndOnlyForTheSameRequest() throws {
        let store = try store()
        let job = try store.submit(try request(), key: "k")
        #expect(try store.submit(try request(), key: "k").id == job.id)
        #expect(throws: TrainingError.keyReused("k")) { try store.submit(try request(1), key: "k") }
        #expect(try store.submit(try request()).id != store.submit(try request()).id)
    }

    @Test func twoWorkersNeverRunOneJob() throws {
        let store = try store()
        let ids = try (0..<3).map { try store.submit(try request(UInt64($0))).id }
        let claimed = try ["a", "b", "a", "b"].compactMap { try store.claim(worker: $0)?.id }
        #expect(claimed == ids)
    }

    @Test func aDeadWorkersJobIsTakenOverAndTheDeadOneCannotWriteAnyMore() throws {
        let store = try store()
        _ = try store.submit(try request())
        let first = try #require(try store.claim(worker: "a"))
        clock.advance(JobStore.leaseMilliseconds - 1)
        #expect(try store.claim(worker: "b") == nil)
        clock.advance(2)
        let second = try #require(try store.claim(worker: "b"))
        #expect(second.id == first.id)
        #expect(second.attempts == 2)
        #expect(try !store.update(first, worker: "a"))
        #expect(try store.update(second, worker: "b"))
    }

    @Test func progressRenewsTheLease() throws {
        let store = try store()
        _ = try store.submit(try request())
        let job = try #require(try store.claim(worker: "a"))
        for _ in 0..<5 {
            clock.advance(JobStore.leaseMilliseconds - 1)
            #expect(try store.update(job, worker: "a"))
            #expect(try store.claim(worker: "b") == nil)
        }
    }

    @Test func aCancelledJobIsNotTheWorkersAnyMore() throws {
        let store = try store()
        let id = try store.submit(try request()).id
        let job = try #require(try store.claim(worker: "a"))
        try store.cancel(id: id)
        #expect(try !store.update(job, worker: "a"))
        #expect(try store.job(id: id)?.state == .cancelled)
        #expect(try store.claim(worker: "a") == nil)
    }

    @Test func jobsSurviveTheirProcess() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).sqlite").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let id = try JobStore(path: path).submit(try request()).id
        #expect(try JobStore(path: path).job(id: id)?.request == (try request()))
    }
}
