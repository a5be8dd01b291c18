import Foundation
import Lake
import Logging
import Testing

@testable import Training

/// Training at set times, once, and only where there is something new.
@Suite struct ScheduleTests {
    /// Milliseconds of a moment UTC.
    private func moment(_ text: String) throws -> Int64 {
        let formatter = ISO8601DateFormatter()
        return Int64(try #require(formatter.date(from: text)).timeIntervalSince1970 * 1_000)
    }

    private func times(_ words: String, after start: String, _ count: Int) throws -> [String] {
        let cron = try CronWords(words)
        var time = try moment(start)
        return try (0..<count).map { _ in
            time = try #require(cron.next(after: time))
            return ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: Double(time) / 1_000))
        }
    }

    @Test func wordsAreTheMomentsThatCronMeans() throws {
        #expect(
            try times("0 3 * * *", after: "2026-01-31T03:00:00Z", 2) == [
                "2026-02-01T03:00:00Z", "2026-02-02T03:00:00Z",
            ])
        #expect(
            try times("*/20 9-10 * * *", after: "2026-01-31T09:30:30Z", 4) == [
                "2026-01-31T09:40:00Z", "2026-01-31T10:00:00Z", "2026-01-31T10:20:00Z",
                "2026-01-31T10:40:00Z",
            ])
        // Sunday, however it is written.
        for sunday in ["0", "7"] {
            #expect(
                try times("30 4 * * \(sunday)", after: "2026-11-26T00:00:00Z", 1) == ["2026-11-29T04:30:00Z"])
        }
        #expect(try times("0 0 29 2 *", after: "2026-01-01T00:00:00Z", 1) == ["2028-02-29T00:00:00Z"])
        // Either day will do where both are given.
        #expect(
            try times("0 0 13 * 5", after: "2026-02-01T00:00:00Z", 3) == [
                "2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z",
            ])
        #expect(try times("@monthly", after: "2026-12-05T00:00:00Z", 1) == ["2027-01-01T00:00:00Z"])
        #expect(
            try times("5,7 0 1 1,6 *", after: "2026-01-01T00:05:00Z", 2) == [
                "2026-01-01T00:07:00Z", "2026-06-01T00:05:00Z",
            ])
    }

    @Test(arguments: [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "a * * * *", "5-1 * * * *", "*/0 * * * *", "1, * * * *", "-1 * * * *", "0 0 31 2 *", "@never",
    ])
    func whatIsNoTimeIsRefused(words: String) {
        #expect(throws: TrainingError.self) { try CronWords(words) }
    }

    private func schedule(_ workshop: Workshop, _ jobs: any JobStore) throws -> TrainingSchedule {
        TrainingSchedule(
            try CronWords("@daily"), days: 10, jobs: jobs, lake: workshop.lake,
            objects: workshop.models.objects, logger: Logger(label: "schedule tests"))
    }

    @Test func oneOfManyDoesItAndOnlyWhenTheLakeHasChanged() throws {
        let workshop = try Workshop()
        let jobs = try SQLiteJobStore(path: nil)
        let (one, other) = (try schedule(workshop, jobs), try schedule(workshop, jobs))
        #expect(try one.seeTo(1_000) == .empty)
        try workshop.generate(users: 3, days: 12)
        guard case .submitted(let ids) = try one.seeTo(1_000) else {
            Issue.record("nothing was submitted")
            return
        }
        #expect(try other.seeTo(1_000) == .taken)
        let requests = try ids.map { try #require(try jobs.job(id: $0)).request }
        let last = Workshop.start.adding(days: 11)
        #expect(requests.map(\.allUsers) == [false, true])
        for request in requests {
            #expect(request.from == last.adding(days: -9))
            #expect(request.to == last)
            #expect(request.promotion == .gated)
            #expect(request.changedSince == nil)
        }
        #expect(try other.seeTo(2_000) == .unchanged)
        #expect(try one.seeTo(2_000) == .taken)

        try workshop.generate(users: 3, days: 13)
        guard case .submitted(let more) = try other.seeTo(3_000) else {
            Issue.record("nothing was submitted")
            return
        }
        #expect(try more.last.flatMap { try jobs.job(id: $0) }?.request.changedSince == last.adding(days: 1))
    }

    @Test func aRecordThatCannotBeReadIsNoReasonNotToTrain() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 3, days: 12)
        try workshop.models.objects.put("models/schedule.json", [1, 2, 3], if: .always)
        guard case .submitted = try schedule(workshop, SQLiteJobStore(path: nil)).seeTo(1_000) else {
            Issue.record("nothing was submitted")
            return
        }
    }

    @Test func onlyUsersWithEnoughNewTransactionsAreTrained() throws {
        var workshop = try Workshop()
        workshop.settings.minimumUserRows = 40
        let days = 40
        // One of them stops.
        for index in 0..<days {
            let day = Workshop.start.adding(days: index)
            let transactions = TransactionGenerator(users: 6, seed: 3).day(day).filter {
                index < 30 || $0.transaction.userID != "user-000002"
            }
            try workshop.put(transactions, day, name: "part-0")
        }
        _ = try workshop.run(Workshop.request(days: days, detector: "amount", promote: true), jobID: "global")
        var request = Workshop.request(allUsers: true, days: days, detector: "amount")
        let all = try workshop.run(request, jobID: "all").models.map(\.tenant)
        request.changedSince = Workshop.start.adding(days: 30)
        let changed = try workshop.run(request, jobID: "changed").models.map(\.tenant)
        #expect(all.contains("user-000002"))
        #expect(Set(changed) == Set(all).subtracting(["user-000002"]))
    }
}
