import Foundation
import Lake
import ObjectStore
import Synchronization
import Testing

@testable import Training

/// A job is run once, whoever asks twice and whoever dies.
@Suite struct JobTests {
    private let clock = TestClock()

    private func store(_ path: String? = nil) throws -> JobStore {
        try JobStore(path: path, now: { [clock] in clock.now })
    }

    private func request(_ seed: UInt64 = 0) -> TrainingRequest {
        var request = Workshop.request(days: 31)
        request.seed = seed
        return request
    }

    // MARK: Submitting

    @Test func theSameKeyGivesTheSameJobAndOnlyForTheSameRequest() throws {
        let store = try store()
        let job = try store.submit(request(), key: "k")
        #expect(try store.submit(request(), key: "k") == job)
        #expect(throws: TrainingError.keyReused("k")) { try store.submit(request(1), key: "k") }
        #expect(try store.submit(request()).id != store.submit(request()).id)
        // The key holds after the job has ended, too.
        let claimed = try #require(try store.claim(worker: "a"))
        try store.finish(claimed, .success(outcome))
        #expect(try store.submit(request(), key: "k").state == .succeeded)
    }

    @Test func aJobTellsItsTimesStageAndOutcome() throws {
        let store = try store()
        let id = try store.submit(request()).id
        clock.advance(5)
        let claimed = try #require(try store.claim(worker: "a"))
        clock.advance(5)
        #expect(try store.renew(claimed, stage: .fit, progress: 0.5))
        let running = try #require(try store.job(id: id))
        #expect(running.state == .running)
        #expect(running.stage == .fit)
        #expect(running.progress == 0.5)
        #expect(running.attempts == 1)
        clock.advance(5)
        #expect(try store.finish(claimed, .success(outcome)))
        let job = try #require(try store.job(id: id))
        #expect(job.state == .succeeded)
        #expect(job.outcome == outcome)
        #expect(job.createdMilliseconds == 1_000)
        #expect(job.startedMilliseconds == 1_005)
        #expect(running.updatedMilliseconds == 1_010)
        #expect(job.finishedMilliseconds == 1_015)
        #expect(try store.jobs().map(\.id) == [id])
        #expect(try store.job(id: "other") == nil)
    }

    @Test func jobsSurviveTheirProcess() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/jobs.sqlite"
        let first = try store(path).submit(request(7), key: "k")
        let again = try store(path)
        #expect(try again.job(id: first.id) == first)
        #expect(try again.submit(request(7), key: "k").id == first.id)
    }

    // MARK: Claiming

    @Test func twoWorkersNeverRunOneJob() throws {
        let store = try store()
        let ids = try (0..<3).map { try store.submit(request(UInt64($0))).id }
        let claimed = try ["a", "b", "a", "b"].compactMap { try store.claim(worker: $0)?.job.id }
        #expect(claimed == ids)
    }

    @Test func twoProcessesNeverRunOneJob() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/jobs.sqlite"
        let ids = try (0..<60).map { try store(path).submit(request(UInt64($0))).id }
        let claimed = Log<String>()
        DispatchQueue.concurrentPerform(iterations: 4) { worker in
            do {
                let store = try store(path)
                while let job = try store.claim(worker: "\(worker)") { claimed.append(job.job.id) }
            } catch {
                Issue.record(error)
            }
        }
        #expect(claimed.all.count == 60)
        #expect(Set(claimed.all) == Set(ids))
    }

    @Test func aDeadWorkersJobIsTakenOverAndTheDeadOneCannotWriteAnyMore() throws {
        let store = try store()
        try store.submit(request())
        let first = try #require(try store.claim(worker: "a"))
        clock.advance(JobStore.leaseMilliseconds - 1)
        #expect(try store.claim(worker: "b") == nil)
        clock.advance(1)
        let second = try #require(try store.claim(worker: "b"))
        #expect(second.job.id == first.job.id)
        #expect(second.attempt == 2)
        #expect(try !store.renew(first, stage: .fit, progress: 0.9))
        #expect(try !store.finish(first, .failure(TrainingError.noData("late"))))
        #expect(try store.renew(second, stage: .lake, progress: 0))
        #expect(try store.job(id: first.job.id)?.state == .running)
        // Not even when the one that took over has the same name.
        clock.advance(JobStore.leaseMilliseconds)
        let third = try #require(try store.claim(worker: "b"))
        #expect(try !store.renew(second, stage: nil, progress: 0))
        #expect(try store.renew(third, stage: nil, progress: 0))
    }

    @Test func renewingKeepsTheLease() throws {
        let store = try store()
        try store.submit(request())
        let claimed = try #require(try store.claim(worker: "a"))
        for _ in 0..<5 {
            clock.advance(JobStore.leaseMilliseconds - 1)
            #expect(try store.renew(claimed, stage: nil, progress: 0))
            #expect(try store.claim(worker: "b") == nil)
        }
    }

    @Test func aRestartedWorkerTakesItsJobsBackAtOnce() throws {
        let store = try store()
        try store.submit(request())
        _ = try store.claim(worker: "a")
        try store.release(worker: "b")
        #expect(try store.claim(worker: "a") == nil)
        try store.release(worker: "a")
        #expect(try store.claim(worker: "a")?.attempt == 2)
    }

    @Test func aJobThatTakesItsWorkersDownFailsInTheEnd() throws {
        let store = try store()
        let id = try store.submit(request()).id
        for _ in 0..<JobStore.maximumStrikes {
            #expect(try store.claim(worker: "a") != nil)
            clock.advance(JobStore.leaseMilliseconds)
        }
        #expect(try store.claim(worker: "a") == nil)
        let job = try #require(try store.job(id: id))
        #expect(job.state == .failed)
        #expect(job.error?.contains("5 times") == true)
    }

    @Test func whatIsGivenBackInAnOrderlyWayIsNoStrike() throws {
        let store = try store()
        try store.submit(request())
        for attempt in 1...20 {
            let claimed = try #require(try store.claim(worker: "a"))
            #expect(claimed.attempt == attempt)
            #expect(try store.giveBack(claimed, reason: nil))
        }
    }

    @Test func aPostponedJobWaitsAndLetsOthersGoFirst() throws {
        let store = try store()
        let first = try store.submit(request(1)).id
        let second = try store.submit(request(2)).id
        let claimed = try #require(try store.claim(worker: "a"))
        #expect(try store.giveBack(claimed, reason: "the store is away", delayMilliseconds: 100))
        #expect(try store.job(id: first)?.error == "the store is away")
        #expect(try store.claim(worker: "a")?.job.id == second)
        #expect(try store.claim(worker: "a") == nil)
        clock.advance(100)
        #expect(try store.claim(worker: "a")?.job.id == first)
    }

    // MARK: Cancelling

    @Test func aCancelledJobIsNotTheWorkersAnyMore() throws {
        let store = try store()
        let id = try store.submit(request()).id
        let claimed = try #require(try store.claim(worker: "a"))
        try store.cancel(id: id)
        #expect(try !store.renew(claimed, stage: .fit, progress: 0))
        #expect(try !store.finish(claimed, .success(outcome)))
        #expect(try store.job(id: id)?.state == .cancelled)
        #expect(try store.claim(worker: "a") == nil)
    }

    @Test func whatHasEndedCannotBeCancelled() throws {
        let store = try store()
        let id = try store.submit(request()).id
        try store.finish(try #require(try store.claim(worker: "a")), .success(outcome))
        try store.cancel(id: id)
        #expect(try store.job(id: id)?.state == .succeeded)
        try store.cancel(id: "nothing")
    }

    // MARK: Parts

    @Test func finishedPartsAreKeptUntilTheJobEnds() throws {
        let store = try store()
        try store.submit(request())
        let first = JobJournal(jobs: store, claimed: try #require(try store.claim(worker: "a")))
        #expect(!first.isResumed)
        var part = UsersPart()
        part.users = 3
        part.models = [.init(userID: "ü", version: 2, isEarned: true)]
        try first.finish(7, part)
        clock.advance(JobStore.leaseMilliseconds)
        let claimed = try #require(try store.claim(worker: "b"))
        let second = JobJournal(jobs: store, claimed: claimed)
        #expect(second.isResumed)
        #expect(try second.finishedParts() == [7: part])
        #expect(throws: TrainingError.cancelled) { try first.finish(8, part) }
        #expect(try second.finishedParts() == [7: part])
        try store.finish(claimed, .success(outcome))
        #expect(try second.finishedParts().isEmpty)
    }

    private let outcome = TrainingOutcome(
        models: [.init(tenant: "global", version: 1, isPromoted: true)], metrics: ["auroc": 0.9])
}

/// Time that stands still until it is told.
final class TestClock: Sendable {
    private let milliseconds = Mutex<Int64>(1_000)
    var now: Int64 { milliseconds.withLock { $0 } }
    func advance(_ by: Int64) { milliseconds.withLock { $0 += by } }
}
