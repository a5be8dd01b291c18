import Foundation
import Testing

@testable import Training

/// Databases of every version of the format stay readable. `Fixtures/jobs-v1.sqlite` was written by the first version,
/// once, and is never written again; a new format gets a file of its own.
@Suite struct JobFormatTests {
    @Test func readsTheFirstFormat() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/jobs.sqlite"
        let fixture = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Fixtures/jobs-v1.sqlite")
        try FileManager.default.copyItem(at: fixture, to: URL(filePath: path))
        let store = try SQLiteJobStore(path: path, now: { 100_000 })
        let jobs = try store.jobs()
        #expect(jobs.map(\.state) == [.queued, .running, .failed, .succeeded])

        let succeeded = jobs[3]
        #expect(succeeded.request.parameters == ["n_estimators": "50"])
        #expect(succeeded.request.promote)
        #expect(succeeded.outcome?.models == [.init(tenant: "global", version: 3, isPromoted: true)])
        #expect(succeeded.outcome?.metrics == ["auroc": 0.75])
        #expect(succeeded.createdMilliseconds == 1_000)
        #expect(succeeded.startedMilliseconds == 1_010)
        #expect(succeeded.finishedMilliseconds == 1_020)
        #expect(jobs[2].request.userID == "user/1")
        #expect(jobs[2].error == "nothing there")
        #expect(jobs[1].stage == .fit)
        #expect(jobs[1].progress == 0.25)

        // The key still names its job, and the dead worker's is taken over where it stopped.
        #expect(try store.submit(succeeded.request, key: "first").id == succeeded.id)
        let claimed = try #require(try store.claim(worker: "c"))
        #expect(claimed.job.id == jobs[1].id)
        let parts = try JobJournal(
            jobs: store, claimed: claimed, leases: Leases(jobs: store, claimed: [claimed])
        ).finishedParts()
        #expect(parts[7]?.models == [.init(userID: "user/1", version: 1, isEarned: true)])
    }
}
