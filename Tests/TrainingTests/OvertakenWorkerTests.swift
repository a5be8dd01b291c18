import Foundation
import Lake
import Models
import Testing

@testable import Training

/// A worker that was taken for dead and wakes up stores, promotes and ends nothing a second time.
@Suite struct OvertakenWorkerTests {
    /// Of a job that is somebody else's from some point on.
    private struct LostJournal: TrainingJournal {
        let isResumed = false
        func finishedParts() -> [Int: UsersPart] { [:] }
        func finish(_ part: Int, _ result: UsersPart) throws { throw TrainingError.cancelled }
        func confirm() throws { throw TrainingError.cancelled }
    }

    @Test func whatIsSomebodyElsesIsNeitherStoredNorPromoted() throws {
        let workshop = try Workshop()
        let user = try #require(try workshop.generate(users: 5, days: 20).first).transaction.userID
        let requests = [
            Workshop.request(days: 20, detector: "amount", promote: true),
            Workshop.request(user: user, days: 20, detector: "amount", promote: true),
        ]
        for request in requests {
            #expect(throws: TrainingError.cancelled) {
                try workshop.run(request, journal: LostJournal())
            }
        }
        #expect(try workshop.models.versions(of: .global).isEmpty)
        #expect(try workshop.models.versions(of: .user(user)).isEmpty)
        #expect(try workshop.catalogue.active(.global) == nil)
    }

    /// Stored, but not yet promoted, when it was overtaken.
    @Test func aStoredModelIsNotPromotedByTheOneThatWakesUp() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 5, days: 20)
        let request = Workshop.request(days: 20, detector: "amount")
        _ = try workshop.run(request)
        var promoting = request
        promoting.promote = true
        #expect(throws: TrainingError.cancelled) { try workshop.run(promoting, journal: LostJournal()) }
        #expect(try workshop.catalogue.active(.global) == nil)
        #expect(try workshop.run(promoting).models == [.init(tenant: "global", version: 1, isPromoted: true)])
    }

    /// It pauses between asking for the number and writing; meanwhile another attempt of the job has stored its model.
    @Test func theNumberThatTheSameJobHasTakenIsNotPassedBy() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 5, days: 20)
        _ = try workshop.run(Workshop.request(days: 20, detector: "amount"), jobID: "first")
        let number = try workshop.models.nextVersion(of: .global)
        #expect(number == 2)
        _ = try workshop.run(Workshop.request(days: 20, detector: "amount"), jobID: "second")
        let stored = try #require(try workshop.models.header(of: .global, version: 2))
        let payload = AmountModel(columns: 1, mean: 0).encode()
        let again = try workshop.models.publish(stored, payload: payload, from: number)
        #expect(again.version == 2 && again.createdMilliseconds == stored.createdMilliseconds)
        #expect(try workshop.models.versions(of: .global) == [1, 2])
        // Of another job it is another model.
        var other = stored
        other.jobID = "third"
        #expect(try workshop.models.publish(other, payload: payload, from: number).version == 3)
    }

    @Test func aLeaseThatIsNotFreshIsRenewedBeforeAnythingIsWritten() throws {
        let clock = TestClock()
        let jobs = try SQLiteJobStore(path: nil, now: { clock.now })
        try jobs.submit(Workshop.request(days: 20))
        let claimed = try #require(try jobs.claim(worker: "a"))
        let paused = ContinuousClock.now - .seconds(60)
        // Nobody has taken the job over: it goes on.
        clock.advance(JobBounds.leaseMilliseconds)
        try Leases(jobs: jobs, claimed: [claimed], since: paused).confirm(claimed)
        #expect(try jobs.claim(worker: "b") == nil)
        clock.advance(JobBounds.leaseMilliseconds)
        let leases = Leases(jobs: jobs, claimed: [claimed], since: paused)
        #expect(try jobs.claim(worker: "b") != nil)
        #expect(throws: TrainingError.cancelled) { try leases.confirm(claimed) }
        #expect(leases.isLost(0))
    }
}
