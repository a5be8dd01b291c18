import Foundation
import Lake
import Synchronization
import Testing

@testable import Training

/// What holds of jobs wherever they are kept. The integration tests hold the store in Redis to the same rules.
struct JobRules: Sendable {
    let clock: TestClock
    /// An empty store that goes by the clock.
    let make: @Sendable (JobLimits) throws -> any JobStore

    private func store(_ limits: JobLimits = JobLimits()) throws -> any JobStore { try make(limits) }

    static let all: [(name: String, check: @Sendable (JobRules) throws -> Void)] = [
        (
            "theSameKeyGivesTheSameJobAndOnlyForTheSameRequest",
            { try $0.theSameKeyGivesTheSameJobAndOnlyForTheSameRequest() }
        ),
        ("aJobTellsItsTimesStageAndOutcome", { try $0.aJobTellsItsTimesStageAndOutcome() }),
        ("twoWorkersNeverRunOneJob", { try $0.twoWorkersNeverRunOneJob() }),
        (
            "aDeadWorkersJobIsTakenOverAndTheDeadOneCannotWriteAnyMore",
            { try $0.aDeadWorkersJobIsTakenOverAndTheDeadOneCannotWriteAnyMore() }
        ),
        ("renewingKeepsTheLease", { try $0.renewingKeepsTheLease() }),
        ("aRestartedWorkerTakesItsJobsBackAtOnce", { try $0.aRestartedWorkerTakesItsJobsBackAtOnce() }),
        ("aJobThatTakesItsWorkersDownFailsInTheEnd", { try $0.aJobThatTakesItsWorkersDownFailsInTheEnd() }),
        ("whatIsGivenBackInAnOrderlyWayIsNoStrike", { try $0.whatIsGivenBackInAnOrderlyWayIsNoStrike() }),
        ("aPostponedJobWaitsAndLetsOthersGoFirst", { try $0.aPostponedJobWaitsAndLetsOthersGoFirst() }),
        ("aCancelledJobIsNotTheWorkersAnyMore", { try $0.aCancelledJobIsNotTheWorkersAnyMore() }),
        ("whatHasEndedCannotBeCancelled", { try $0.whatHasEndedCannotBeCancelled() }),
        ("finishedPartsAreKeptUntilTheJobEnds", { try $0.finishedPartsAreKeptUntilTheJobEnds() }),
        (
            "alikeRequestsAreTakenTogetherAndOthersKeepTheirPlace",
            { try $0.alikeRequestsAreTakenTogetherAndOthersKeepTheirPlace() }
        ),
        ("whatNamesAUserIsErased", { try $0.whatNamesAUserIsErased() }),
        ("theNewestAreListedFirst", { try $0.theNewestAreListedFirst() }),
        ("thoseWhoSubmitTakeTurns", { try $0.thoseWhoSubmitTakeTurns() }),
        ("aNewcomerIsNext", { try $0.aNewcomerIsNext() }),
        ("whatWasGivenBackKeepsItsPlaceAndTurn", { try $0.whatWasGivenBackKeepsItsPlaceAndTurn() }),
        ("whoHasTooManyWaitingIsToldToComeAgain", { try $0.whoHasTooManyWaitingIsToldToComeAgain() }),
        (
            "whoHasHadTooManyWithinAnHourIsToldWhenToComeAgain",
            { try $0.whoHasHadTooManyWithinAnHourIsToldWhenToComeAgain() }
        ),
        ("whatHasEndedIsKeptForItsTime", { try $0.whatHasEndedIsKeptForItsTime() }),
        ("aWorkerThatWakesUpLateFinishesNothing", { try $0.aWorkerThatWakesUpLateFinishesNothing() }),
    ]

    private func request(_ seed: UInt64 = 0) -> TrainingRequest {
        let start = LakeDay(dayNumber: 20_454)
        return TrainingRequest(
            from: start, to: start.adding(days: 30), detectorID: "isolation-forest", seed: seed)
    }

    private func journal(_ store: any JobStore, _ claimed: ClaimedJob) -> JobJournal {
        JobJournal(jobs: store, claimed: claimed, leases: Leases(jobs: store, claimed: [claimed]))
    }

    private func theSameKeyGivesTheSameJobAndOnlyForTheSameRequest() throws {
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

    private func aJobTellsItsTimesStageAndOutcome() throws {
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

    private func twoWorkersNeverRunOneJob() throws {
        let store = try store()
        let ids = try (0..<3).map { try store.submit(request(UInt64($0))).id }
        let claimed = try ["a", "b", "a", "b"].compactMap { try store.claim(worker: $0)?.job.id }
        #expect(claimed == ids)
    }

    private func aDeadWorkersJobIsTakenOverAndTheDeadOneCannotWriteAnyMore() throws {
        let store = try store()
        try store.submit(request())
        let first = try #require(try store.claim(worker: "a"))
        clock.advance(JobBounds.leaseMilliseconds - 1)
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
        clock.advance(JobBounds.leaseMilliseconds)
        let third = try #require(try store.claim(worker: "b"))
        #expect(try !store.renew(second, stage: nil, progress: 0))
        #expect(try store.renew(third, stage: nil, progress: 0))
    }

    private func renewingKeepsTheLease() throws {
        let store = try store()
        try store.submit(request())
        let claimed = try #require(try store.claim(worker: "a"))
        for _ in 0..<5 {
            clock.advance(JobBounds.leaseMilliseconds - 1)
            #expect(try store.renew(claimed, stage: nil, progress: 0))
            #expect(try store.claim(worker: "b") == nil)
        }
    }

    private func aRestartedWorkerTakesItsJobsBackAtOnce() throws {
        let store = try store()
        try store.submit(request())
        _ = try store.claim(worker: "a")
        try store.release(worker: "b")
        #expect(try store.claim(worker: "a") == nil)
        try store.release(worker: "a")
        #expect(try store.claim(worker: "a")?.attempt == 2)
    }

    private func aJobThatTakesItsWorkersDownFailsInTheEnd() throws {
        let store = try store()
        let id = try store.submit(request()).id
        for _ in 0..<JobBounds.maximumStrikes {
            #expect(try store.claim(worker: "a") != nil)
            clock.advance(JobBounds.leaseMilliseconds)
        }
        #expect(try store.claim(worker: "a") == nil)
        let job = try #require(try store.job(id: id))
        #expect(job.state == .failed)
        #expect(job.error?.contains("5 times") == true)
    }

    private func whatIsGivenBackInAnOrderlyWayIsNoStrike() throws {
        let store = try store()
        try store.submit(request())
        for attempt in 1...20 {
            let claimed = try #require(try store.claim(worker: "a"))
            #expect(claimed.attempt == attempt)
            #expect(try store.giveBack(claimed, reason: nil))
        }
    }

    private func aPostponedJobWaitsAndLetsOthersGoFirst() throws {
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

    private func aCancelledJobIsNotTheWorkersAnyMore() throws {
        let store = try store()
        let id = try store.submit(request()).id
        let claimed = try #require(try store.claim(worker: "a"))
        try store.cancel(id: id)
        #expect(try !store.renew(claimed, stage: .fit, progress: 0))
        #expect(try !store.finish(claimed, .success(outcome)))
        #expect(try store.job(id: id)?.state == .cancelled)
        #expect(try store.claim(worker: "a") == nil)
    }

    private func whatHasEndedCannotBeCancelled() throws {
        let store = try store()
        let id = try store.submit(request()).id
        try store.finish(try #require(try store.claim(worker: "a")), .success(outcome))
        try store.cancel(id: id)
        #expect(try store.job(id: id)?.state == .succeeded)
        try store.cancel(id: "nothing")
    }

    private func finishedPartsAreKeptUntilTheJobEnds() throws {
        let store = try store()
        try store.submit(request())
        let first = journal(store, try #require(try store.claim(worker: "a")))
        #expect(!first.isResumed)
        var part = UsersPart()
        part.users = 3
        part.models = [.init(userID: "ü", version: 2, isEarned: true)]
        try first.finish(7, part)
        clock.advance(JobBounds.leaseMilliseconds)
        let claimed = try #require(try store.claim(worker: "b"))
        let second = journal(store, claimed)
        #expect(second.isResumed)
        #expect(try second.finishedParts() == [7: part])
        #expect(throws: TrainingError.cancelled) { try first.finish(8, part) }
        #expect(try second.finishedParts() == [7: part])
        try store.finish(claimed, .success(outcome))
        #expect(try second.finishedParts().isEmpty)
    }

    private func alikeRequestsAreTakenTogetherAndOthersKeepTheirPlace() throws {
        let store = try store()
        func user(_ name: String, seed: UInt64 = 0) -> TrainingRequest {
            var request = request(seed)
            request.userID = name
            return request
        }
        let first = try store.submit(user("a")).id
        let other = try store.submit(user("b", seed: 1)).id
        let global = try store.submit(request()).id
        let alike = try ["c", "d"].map { try store.submit(user($0)).id }
        var promoting = user("e")
        promoting.promote = true
        let promoted = try store.submit(promoting).id
        let claimed = try #require(try store.claim(worker: "a"))
        #expect(claimed.job.id == first)
        let taken = try store.claimAlike(claimed)
        #expect(taken.map(\.job.id) == alike + [promoted])
        #expect(taken.allSatisfy { $0.worker == "a" && $0.attempt == 1 && $0.job.state == .running })
        #expect(try store.claim(worker: "b")?.job.id == other)
        let last = try #require(try store.claim(worker: "b"))
        #expect(last.job.id == global)
        #expect(try store.claimAlike(last).isEmpty)
        // Each keeps its own end.
        let results = try store.finish(
            taken.map { ($0, Result<TrainingOutcome, any Error>.success(outcome)) })
        #expect(results == [true, true, true])
        #expect(try store.finish([(taken[0], .success(outcome))]) == [false])
        #expect(try store.renew(claimed, stage: .fit, progress: 0.5))
    }

    private func whatNamesAUserIsErased() throws {
        let store = try store()
        var own = request()
        own.userID = "ü\"1"
        let mine = try store.submit(own, key: "mine").id
        var users = request(1)
        users.allUsers = true
        let all = try store.submit(users).id
        _ = try #require(try store.claim(worker: "a"))
        let claimed = try #require(try store.claim(worker: "a"))
        var part = UsersPart()
        part.models = [
            .init(userID: "ü\"1", version: 1, isEarned: true),
            .init(userID: "other", version: 1, isEarned: true),
        ]
        #expect(try store.finishPart(claimed, 3, part))
        #expect(try store.erase(userID: "ü\"1") == 1)
        #expect(try store.job(id: mine) == nil)
        #expect(try store.parts(claimed)[3]?.models.map(\.userID) == ["other"])
        try store.finish(
            claimed,
            .success(
                TrainingOutcome(
                    models: ["ü\"1", "other"].map { .init(tenant: $0, version: 1, isPromoted: true) },
                    metrics: [:])))
        #expect(try store.erase(userID: "ü\"1") == 1)
        #expect(try store.job(id: all)?.outcome?.models.map(\.tenant) == ["other"])
        #expect(try store.erase(userID: "ü\"1") == 0)
        // A user may be called as the global model is.
        let global = try store.submit(request(2)).id
        try store.finish(try #require(try store.claim(worker: "a")), .success(outcome))
        #expect(try store.erase(userID: "global") == 0)
        #expect(try store.job(id: global)?.outcome?.models == outcome.models)
        // The key is free again.
        #expect(try store.submit(request(5), key: "mine").id != mine)
    }

    private func theNewestAreListedFirst() throws {
        let store = try store()
        let ids = try (0..<5).map { try store.submit(request(UInt64($0))).id }
        #expect(try store.jobs(limit: 3).map(\.id) == Array(ids.reversed().prefix(3)))
        #expect(try store.jobs(limit: 3, before: ids[2]).map(\.id) == [ids[1], ids[0]])
        #expect(try store.jobs(limit: 1, before: ids[4]).map(\.id) == [ids[3]])
        #expect(try store.jobs(limit: 3, before: ids[0]).isEmpty)
        #expect(try store.jobs(limit: 3, before: "nobody").isEmpty)
        try store.cancel(id: ids[4])
        let claimed = try #require(try store.claim(worker: "a"))
        try store.finish(claimed, .failure(TrainingError.noData("none")))
        #expect(try store.jobs().map(\.state) == [.cancelled, .queued, .queued, .queued, .failed])
        #expect(try store.jobs().last?.error == "none")
    }

    private func user(_ name: String) -> TrainingRequest {
        var request = request()
        request.userID = name
        return request
    }

    private func thoseWhoSubmitTakeTurns() throws {
        let jobs = try store()
        var submitted: [String: String] = [:]
        for number in 0..<50 {
            let job = try jobs.submit(user("u\(number)"), submitter: "loud")
            submitted[job.id] = "loud \(number)"
        }
        for number in 0..<2 {
            let job = try jobs.submit(user("q\(number)"), submitter: "quiet")
            submitted[job.id] = "quiet \(number)"
        }
        submitted[try jobs.submit(user("s")).id] = "schedule"
        let order = try (0..<6).compactMap { _ -> String? in
            clock.advance(1_000)
            return try jobs.claim(worker: "w").flatMap { submitted[$0.job.id] }
        }
        #expect(order == ["loud 0", "quiet 0", "schedule", "loud 1", "quiet 1", "loud 2"])
    }

    /// Somebody who comes later does not wait for those who have been served all the time.
    private func aNewcomerIsNext() throws {
        let jobs = try store()
        for number in 0..<20 { try jobs.submit(user("u\(number)"), submitter: "loud") }
        for _ in 0..<5 {
            clock.advance(1_000)
            _ = try jobs.claim(worker: "w")
        }
        let late = try jobs.submit(user("q"), submitter: "late")
        clock.advance(1_000)
        #expect(try jobs.claim(worker: "w")?.job.id == late.id)
    }

    private func whatWasGivenBackKeepsItsPlaceAndTurn() throws {
        let jobs = try store()
        let first = try jobs.submit(user("a"), submitter: "x").id
        let second = try jobs.submit(user("b"), submitter: "x").id
        let other = try jobs.submit(user("c"), submitter: "y").id
        clock.advance(1_000)
        let claimed = try #require(try jobs.claim(worker: "w"))
        #expect(claimed.job.id == first)
        clock.advance(1_000)
        #expect(try jobs.giveBack(claimed, reason: nil))
        // It was its submitter's turn; theirs comes after the other's, and then with their oldest.
        #expect(try jobs.claim(worker: "w")?.job.id == other)
        clock.advance(1_000)
        #expect(try jobs.claim(worker: "w")?.job.id == first)
        #expect(try jobs.claim(worker: "w")?.job.id == second)
    }

    private func whoHasTooManyWaitingIsToldToComeAgain() throws {
        let jobs = try store(JobLimits(waiting: 2, anHour: 100))
        for number in 0..<2 { try jobs.submit(user("u\(number)"), key: "\(number)", submitter: "a") }
        let error = #expect(throws: TrainingError.self) { try jobs.submit(user("u2"), submitter: "a") }
        #expect(error?.isRetryable == true)
        #expect("\(try #require(error))" == "2 training jobs of a wait already; try again in 30 s")
        // What was accepted before answers as before, others are not concerned, and with one begun there is room.
        try jobs.submit(user("u1"), key: "1", submitter: "a")
        try jobs.submit(user("u2"), submitter: "b")
        for _ in 0..<3 { try jobs.submit(user("u2")) }
        clock.advance(1_000)
        let claimed = try #require(try jobs.claim(worker: "w"))
        try jobs.submit(user("u2"), submitter: "a")
        // One that is put off waits as well.
        try jobs.giveBack(claimed, reason: "the store is away", delayMilliseconds: 1_000)
        #expect(throws: TrainingError.self) { try jobs.submit(user("u3"), submitter: "a") }
    }

    private func whoHasHadTooManyWithinAnHourIsToldWhenToComeAgain() throws {
        let jobs = try store(JobLimits(waiting: 100, anHour: 3))
        for number in 0..<3 {
            let job = try jobs.submit(user("u\(number)"), submitter: "a")
            try jobs.cancel(id: job.id)
            clock.advance(600_000)
        }
        // The first was half an hour ago.
        #expect(
            throws: TrainingError.tooManyJobs(
                "a has submitted 3 training jobs within an hour", retrySeconds: 1_801)
        ) { try jobs.submit(user("u3"), submitter: "a") }
        try jobs.submit(user("u3"), submitter: "b")
        clock.advance(1_801_000)
        try jobs.submit(user("u3"), submitter: "a")
        #expect(throws: TrainingError.self) { try jobs.submit(user("u4"), submitter: "a") }
    }

    private func whatHasEndedIsKeptForItsTime() throws {
        let jobs = try store(JobLimits(keptDays: 2))
        let day: Int64 = 86_400_000
        let first = try jobs.submit(request(1), key: "k").id
        try jobs.finish(try #require(try jobs.claim(worker: "a")), .success(outcome))
        clock.advance(day)
        let second = try jobs.submit(request(2)).id
        try jobs.cancel(id: second)
        let waiting = try jobs.submit(request(3)).id
        clock.advance(day - 1)
        let third = try jobs.submit(request(4)).id
        try jobs.cancel(id: third)
        #expect(try jobs.job(id: first) != nil)
        clock.advance(2)
        try jobs.finish(try #require(try jobs.claim(worker: "a")), .success(outcome))
        #expect(try jobs.job(id: first) == nil)
        #expect(try jobs.jobs().map(\.id) == [third, waiting, second])
        // With its key, which begins anew.
        #expect(try jobs.submit(request(9), key: "k").id != first)
    }

    /// Whoever holds the job ends it once, whatever the one before does then.
    private func aWorkerThatWakesUpLateFinishesNothing() throws {
        let jobs = try store()
        let id = try jobs.submit(request()).id
        let paused = try #require(try jobs.claim(worker: "a"))
        let before = journal(jobs, paused)
        clock.advance(JobBounds.leaseMilliseconds)
        let other = try #require(try jobs.claim(worker: "b"))
        #expect(try jobs.finish(other, .success(outcome)))
        #expect(try !jobs.finish(paused, .failure(TrainingError.noData("late"))))
        #expect(try !jobs.giveBack(paused, reason: "late"))
        #expect(throws: TrainingError.cancelled) { try before.finish(3, UsersPart()) }
        let job = try #require(try jobs.job(id: id))
        #expect(job.state == .succeeded && job.error == nil && job.attempts == 2)
        #expect(try jobs.claim(worker: "a") == nil)
    }

    private let outcome = TrainingOutcome(
        models: [.init(tenant: "global", version: 1, isPromoted: true)], metrics: ["auroc": 0.9])

    init(clock: TestClock, make: @escaping @Sendable (JobLimits) throws -> any JobStore) {
        self.clock = clock
        self.make = make
    }

    static func check(_ name: String, _ rules: JobRules) throws {
        let rule = try #require(all.first { $0.name == name })
        try rule.check(rules)
    }
}

/// Time that stands still until it is told.
final class TestClock: Sendable {
    private let milliseconds = Mutex<Int64>(1_000)
    var now: Int64 { milliseconds.withLock { $0 } }
    func advance(_ by: Int64) { milliseconds.withLock { $0 += by } }
}

extension JobStore {
    func renew(_ claimed: ClaimedJob, stage: TrainingStage?, progress: Double) throws -> Bool {
        try renew([JobProgress(claimed: claimed, stage: stage, progress: progress)]) == [true]
    }
}
