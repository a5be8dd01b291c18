import Foundation
import Testing

@testable import Training

/// A job is run once, whoever asks twice and whoever dies.
@Suite struct JobTests {
    private let clock = TestClock()

    private func store(_ path: String? = nil) throws -> any JobStore {
        try SQLiteJobStore(path: path, now: { [clock] in clock.now })
    }

    private func request(_ seed: UInt64 = 0) -> TrainingRequest {
        var request = Workshop.request(days: 31)
        request.seed = seed
        return request
    }

    @Test(arguments: JobRules.all.map(\.name))
    func keeps(rule: String) throws {
        try JobRules.check(
            rule,
            JobRules(clock: clock) { [clock] limits in
                try SQLiteJobStore(path: nil, limits: limits, now: { clock.now })
            })
    }

    @Test func jobsSurviveTheirProcess() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/jobs.sqlite"
        let first = try store(path).submit(request(7), key: "k")
        let again = try store(path)
        #expect(try again.job(id: first.id) == first)
        #expect(try again.submit(request(7), key: "k").id == first.id)
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
}
