import Foundation
import Logging
import Testing

@testable import Training

/// A backtest that waits its turn among the training jobs.
@Suite struct BacktestJobTests {
    private let workshop: Workshop
    private let jobs: any JobStore

    init() throws {
        workshop = try Workshop()
        try workshop.generate(users: 30, days: 20)
        jobs = try SQLiteJobStore(path: nil)
        _ = try workshop.run(Workshop.request(days: 14, promote: true), jobID: "first")
        var second = Workshop.request(days: 14)
        second.contamination = 0.03
        _ = try workshop.run(second, jobID: "second")
    }

    private var request: TrainingRequest {
        TrainingRequest(
            BacktestRequest(version: 2, alertCost: 3), from: Workshop.start.adding(days: 14),
            to: Workshop.start.adding(days: 19))
    }

    private func runNext() throws {
        var logger = Logger(label: "backtest job tests")
        logger.logLevel = .critical
        let worker = TrainingWorker(jobs: jobs, pipeline: workshop.pipeline, name: "a", logger: logger)
        #expect(try worker.runNext())
    }

    @Test func itFindsWhatTheComparisonFindsAndChangesNothing() throws {
        let id = try jobs.submit(request).id
        try runNext()
        let job = try #require(try jobs.job(id: id))
        #expect(job.state == .succeeded, "\(job.error ?? "")")
        let found = try #require(job.outcome?.backtest)
        #expect(
            found
                == (try workshop.pipeline.compare(
                    candidate: 2, from: request.from, to: request.to, asOf: nil, alertCost: 3)))
        #expect(found.newAlerts > 0)
        #expect(job.outcome?.models.isEmpty == true)
        #expect(try workshop.models.versions(of: .global) == [1, 2])
        #expect(try workshop.catalogue.active(.global) == 1)
    }

    @Test func aVersionThatIsGoneFailsTheJobWithTheReason() throws {
        var request = request
        request.backtest?.version = 9
        let id = try jobs.submit(request).id
        try runNext()
        let job = try #require(try jobs.job(id: id))
        #expect(job.state == .failed)
        #expect(job.error?.contains("version 9") == true, "\(job.error ?? "")")
    }

    @Test func erasingAUserTakesTheirTransactionsOut() throws {
        let id = try jobs.submit(request).id
        try runNext()
        let before = try #require(try jobs.job(id: id)?.outcome?.backtest)
        let user = try #require(before.new.first?.userID)
        #expect(try jobs.erase(userID: user) == 1)
        let after = try #require(try jobs.job(id: id)?.outcome?.backtest)
        #expect(after.new == before.new.filter { $0.userID != user })
        #expect(after.dropped == before.dropped.filter { $0.userID != user })
        #expect(after.newAlerts == before.newAlerts)
        #expect(try jobs.erase(userID: user) == 0)
    }
}
