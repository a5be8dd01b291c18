import DetectorAPI
import Foundation
import Lake
import Models
import Testing

@testable import Training

@Suite struct PipelineTests {
    @Test func trainsJudgesStoresAndPromotesTheGlobalModel() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 60, days: 40)
        let outcome = try workshop.run(Workshop.request(days: 40, promote: true))
        #expect(outcome.models == [.init(tenant: "global", version: 1, isPromoted: true)])
        #expect(try workshop.catalogue.active(.global) == 1)

        let header = try #require(try workshop.models.header(of: .global, version: 1))
        #expect(header.metrics == outcome.metrics)
        #expect(header.detectorID == "isolation-forest")
        #expect(header.trainingRange == .init(from: "2026-01-01", to: "2026-02-09"))
        #expect(header.jobID == "job")
        for name in [
            "accuracy", "auroc", "average_precision", "precision_at_budget", "alert_rate", "injected_auroc",
            "injected_recall", "score_stability", "score_shift", "holdout_rows", "holdout_anomalies",
        ] {
            #expect(header.metrics[name] != nil, "\(name)")
        }
        #expect(try #require(header.metrics["auroc"]) > 0.8)
        #expect(try #require(header.metrics["accuracy"]) > 0.95)
        #expect(try #require(header.metrics["injected_auroc"]) > 0.8)
        #expect(try #require(header.metrics["score_stability"]) > 0.8)
        #expect(try #require(header.metrics["alert_rate"]) < 0.05)
        #expect(try workshop.router.globalModel()?.version == 1)
    }

    @Test func categoriesThatTheDetectorSplitsItselfAreServedAsTheyWereTrained() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 60, days: 40)
        var request = Workshop.request(days: 40, promote: true)
        request.encoding = .native
        _ = try workshop.run(request)
        let header = try #require(try workshop.models.header(of: .global, version: 1))
        #expect(header.preprocessing.encoding == .native)
        #expect(try #require(header.metrics["auroc"]) > 0.8)
        #expect(try #require(header.metrics["score_stability"]) > 0.8)
        let served = try #require(try workshop.router.globalModel())
        #expect(served.plan.columns.count { $0.cardinality != nil } == header.preprocessing.categorical.count)
        #expect(
            served.model.columns == header.preprocessing.numeric.count
                + header.preprocessing.categorical.count)
        #expect(served.model is any Explaining)
    }

    @Test func withoutPromoteItIsACandidate() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 5, days: 20)
        let outcome = try workshop.run(Workshop.request(days: 20, detector: "amount"))
        #expect(outcome.models == [.init(tenant: "global", version: 1, isPromoted: false)])
        #expect(try workshop.catalogue.active(.global) == nil)
    }

    @Test func withoutLabelsThereIsNoAccuracyButInjectedFraudsAreFound() throws {
        let workshop = try Workshop()
        for index in 0..<30 {
            let day = Workshop.start.adding(days: index)
            let transactions = TransactionGenerator(users: 10, seed: 4).day(day).map(\.transaction)
            try workshop.put(unlabelled: transactions, day)
        }
        let metrics = try workshop.run(Workshop.request(days: 30)).metrics
        #expect(metrics["accuracy"] == nil)
        #expect(metrics["auroc"] == nil)
        #expect(try #require(metrics["injected_auroc"]) > 0.75)
        #expect(metrics["alert_rate"] != nil)
    }

    @Test func theSameRowsGiveTheSameModelHoweverTheyLie() throws {
        let one = try Workshop()
        let transactions = try one.generate(users: 8, days: 20)
        var two = try Workshop()
        two.settings.memoryBytes = 5_000
        for index in 0..<20 {
            let day = Workshop.start.adding(days: index)
            let rows = transactions.filter {
                LakeDay(epochMilliseconds: $0.transaction.timestampMilliseconds) == day
            }
            try two.put(Array(rows.dropFirst(rows.count / 2)), day, name: "a")
            try two.put(Array(rows.prefix(rows.count / 2)), day, name: "b")
        }
        let request = Workshop.request(days: 20)
        var (first, second) = (try one.run(request), try two.run(request))
        #expect(first.reading?.files == 20 && second.reading?.files == 40)
        (first.reading, second.reading) = (nil, nil)
        #expect(first == second)
        let bytes = try [one, two].map { try #require(try $0.models.bytes(of: .global, version: 1)) }
        #expect(bytes[0].bytes.elementsEqual(bytes[1].bytes))
    }

    @Test func theHoldoutIsNotFittedOn() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 5, days: 30)
        _ = try workshop.run(Workshop.request(days: 30, detector: "amount"))
        let header = try #require(try workshop.models.header(of: .global, version: 1))
        let holdout = try #require(header.metrics["holdout_rows"])
        #expect(holdout > 0.1 * Double(header.rowCount) && holdout < 0.3 * Double(header.rowCount))
        // What comes in the last fifth changes neither model nor threshold.
        let other = try Workshop()
        for index in 0..<30 {
            let day = Workshop.start.adding(days: index)
            var transactions = TransactionGenerator(users: 5, seed: 1).day(day)
            if index >= 25 { for row in transactions.indices { transactions[row].transaction.amount *= 3 } }
            try other.put(transactions, day, name: "part-0")
        }
        _ = try other.run(Workshop.request(days: 30, detector: "amount"))
        let changed = try #require(try other.models.header(of: .global, version: 1))
        #expect(changed.payloadSHA256 == header.payloadSHA256)
        #expect(changed.threshold == header.threshold)
        #expect(changed.metrics["alert_rate"] != header.metrics["alert_rate"])
    }

    @Test func anEmptyLakeAndAnUnknownUserAreSaid() throws {
        let workshop = try Workshop()
        #expect(throws: TrainingError.self) { try workshop.run(Workshop.request(days: 3)) }
        try workshop.generate(users: 3, days: 5)
        do {
            _ = try workshop.run(Workshop.request(user: "nobody", days: 5))
            Issue.record("a user without transactions was trained")
        } catch TrainingError.insufficientHistory(let rows, let reason) {
            #expect(rows == 0)
            #expect(reason.contains("no transactions of user nobody"))
        }
        do {
            _ = try workshop.run(Workshop.request(user: "user-000001", days: 1))
            Issue.record("a user with a day's transactions was trained")
        } catch TrainingError.insufficientHistory(let rows, let reason) {
            #expect(rows > 0)
            #expect(reason.contains("user-000001 has \(rows) transactions"))
        }
        #expect(try workshop.models.versions(of: .user("nobody")).isEmpty)
    }

    @Test func aCancelledRunStoresNothing() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 3, days: 10)
        for stage in [TrainingStage.lake, .prepare, .fit, .evaluate] {
            let reached = Flag()
            #expect(throws: TrainingError.cancelled) {
                try workshop.pipeline.run(
                    Workshop.request(days: 10), jobID: "job", isCancelled: { reached.isSet },
                    report: { now, _ in if now == stage { reached.set() } })
            }
        }
        #expect(try workshop.models.versions(of: .global).isEmpty)
    }

    @Test func progressGoesThroughTheStagesInOrder() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 5, days: 10)
        let log = Log<TrainingStage>()
        _ = try workshop.pipeline.run(
            Workshop.request(days: 10, promote: true), jobID: "job", isCancelled: { false },
            report: { stage, part in
                #expect((0...1).contains(part))
                log.append(stage)
            })
        var stages: [TrainingStage] = []
        for stage in log.all where stages.last != stage { stages.append(stage) }
        #expect(stages == TrainingStage.allCases)
    }

    // MARK: Again after a crash

    @Test func whatWasStoredIsNotFittedAgain() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 5, days: 20)
        _ = try workshop.run(Workshop.request(days: 20), jobID: "a")
        // The worker died before it promoted: the next one promotes what is stored.
        let outcome = try workshop.run(Workshop.request(days: 20, promote: true), jobID: "a")
        #expect(outcome.models == [.init(tenant: "global", version: 1, isPromoted: true)])
        #expect(try workshop.models.versions(of: .global) == [1])
        // And once more, after it promoted: nothing changes.
        #expect(try workshop.run(Workshop.request(days: 20, promote: true), jobID: "a") == outcome)
        #expect(try workshop.catalogue.changes(of: .global).count == 1)
        // Another job is another model.
        _ = try workshop.run(Workshop.request(days: 20), jobID: "b")
        #expect(try workshop.models.versions(of: .global) == [1, 2])
    }
}

/// A flag that closures share.
final class Flag: Sendable {
    private let log = Log<Void>()
    var isSet: Bool { !log.all.isEmpty }
    func set() { log.append(()) }
}
