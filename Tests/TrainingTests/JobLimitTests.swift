import Foundation
import Lake
import Synchronization
import Testing

@testable import Training

/// One who submits many jobs keeps nobody else waiting.
@Suite struct JobLimitTests {
    private final class Clock: Sendable {
        private let time = Mutex<Int64>(1_770_000_000_000)
        var now: Int64 { time.withLock { $0 } }
        func advance(_ milliseconds: Int64) { time.withLock { $0 += milliseconds } }
    }

    private let clock = Clock()

    private func store(_ limits: JobLimits = JobLimits()) throws -> JobStore {
        try JobStore(path: nil, limits: limits, now: { [clock] in clock.now })
    }

    private func request(_ user: String) throws -> TrainingRequest {
        let day = try #require(LakeDay(parsing: "2026-01-01"))
        return TrainingRequest(userID: user, from: day, to: day.adding(days: 10))
    }

    @Test func thoseWhoSubmitTakeTurns() throws {
        let jobs = try store()
        var submitted: [String: String] = [:]
        for number in 0..<50 {
            let job = try jobs.submit(request("u\(number)"), submitter: "loud")
            submitted[job.id] = "loud \(number)"
        }
        for number in 0..<2 {
            let job = try jobs.submit(request("q\(number)"), submitter: "quiet")
            submitted[job.id] = "quiet \(number)"
        }
        submitted[try jobs.submit(request("s")).id] = "schedule"
        let order = try (0..<6).compactMap { _ -> String? in
            clock.advance(1_000)
            return try jobs.claim(worker: "w").flatMap { submitted[$0.job.id] }
        }
        #expect(order == ["loud 0", "quiet 0", "schedule", "loud 1", "quiet 1", "loud 2"])
    }

    /// Somebody who comes later does not wait for those who have been served all the time.
    @Test func aNewcomerIsNext() throws {
        let jobs = try store()
        for number in 0..<20 { try jobs.submit(request("u\(number)"), submitter: "loud") }
        for _ in 0..<5 {
            clock.advance(1_000)
            _ = try jobs.claim(worker: "w")
        }
        let late = try jobs.submit(request("q"), submitter: "late")
        clock.advance(1_000)
        #expect(try jobs.claim(worker: "w")?.job.id == late.id)
    }

    @Test func whoHasTooManyWaitingIsToldToComeAgain() throws {
        let jobs = try store(JobLimits(waiting: 2, anHour: 100))
        for number in 0..<2 { try jobs.submit(request("u\(number)"), key: "\(number)", submitter: "a") }
        let error = #expect(throws: TrainingError.self) { try jobs.submit(request("u2"), submitter: "a") }
        #expect(error?.isRetryable == true)
        #expect("\(try #require(error))" == "2 training jobs of a wait already; try again in 30 s")
        // What was accepted before answers as before, others are not concerned, and with one begun there is room.
        try jobs.submit(request("u1"), key: "1", submitter: "a")
        try jobs.submit(request("u2"), submitter: "b")
        for _ in 0..<3 { try jobs.submit(request("u2")) }
        clock.advance(1_000)
        _ = try jobs.claim(worker: "w")
        try jobs.submit(request("u2"), submitter: "a")
    }

    @Test func whoHasHadTooManyWithinAnHourIsToldWhenToComeAgain() throws {
        let jobs = try store(JobLimits(waiting: 100, anHour: 3))
        for number in 0..<3 {
            let job = try jobs.submit(request("u\(number)"), submitter: "a")
            try jobs.cancel(id: job.id)
            clock.advance(600_000)
        }
        // The first was half an hour ago.
        #expect(
            throws: TrainingError.tooManyJobs(
                "a has submitted 3 training jobs within an hour", retrySeconds: 1_801)
        ) { try jobs.submit(request("u3"), submitter: "a") }
        try jobs.submit(request("u3"), submitter: "b")
        clock.advance(1_801_000)
        try jobs.submit(request("u3"), submitter: "a")
        #expect(throws: TrainingError.self) { try jobs.submit(request("u4"), submitter: "a") }
    }
}
