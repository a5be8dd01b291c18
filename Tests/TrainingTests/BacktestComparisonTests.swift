import Foundation
import Lake
import Models
import Testing
import Transactions
import ZScoreBaseline

@testable import Training

/// What would change if another version served: the same figures as of each alone, and the transactions by name.
@Suite struct BacktestComparisonTests {
    @Test func twoVersionsAreComparedOnTheSameRows() throws {
        let workshop = try Workshop()
        workshop.registry.register(ZScoreBaseline())
        let days = 24
        var known: [String: LabelledTransaction] = [:]
        for index in 0..<days {
            let day = Workshop.start.adding(days: index)
            let transactions = TransactionGenerator(users: 40, seed: 7).day(day)
            for labelled in transactions { known[labelled.transaction.transactionID] = labelled }
            try workshop.put(transactions, day, name: "part-0")
        }
        for (detector, contamination) in [("isolation-forest", 0.01), ("zscore-baseline", 0.02)] {
            var request = Workshop.request(
                days: 14, detector: detector, promote: detector == "isolation-forest")
            request.contamination = contamination
            _ = try workshop.run(request, jobID: detector)
        }
        let (first, last) = (Workshop.start.adding(days: 14), Workshop.start.adding(days: days - 1))
        #expect(try workshop.pipeline.lastDay() == last)
        let comparison = try workshop.pipeline.compare(
            candidate: 2, from: first, to: last, asOf: nil, alertCost: 3)
        func alone(_ version: Int) throws -> BacktestReport {
            try workshop.pipeline.backtest(version: version, from: first, to: last, asOf: nil)
        }
        #expect(comparison.active == (try alone(1)))
        #expect(comparison.candidate == (try alone(2)))

        // Whom they fall on adds up, and what differs is what differs.
        for groups in [comparison.byActivity, comparison.byCategory] {
            #expect(groups.reduce(0) { $0 + $1.transactions } == comparison.active.transactions)
            #expect(groups.reduce(0) { $0 + $1.frauds } == comparison.active.frauds)
            #expect(groups.reduce(0) { $0 + $1.activeAlerts } == comparison.active.alerts)
            #expect(groups.reduce(0) { $0 + $1.candidateAlerts } == comparison.candidate.alerts)
        }
        #expect(comparison.byActivity.map(\.name) == (1...10).map(String.init))
        #expect(
            comparison.active.alerts + comparison.newAlerts - comparison.droppedAlerts
                == comparison.candidate.alerts)
        #expect(comparison.newAlerts > 0 && comparison.droppedAlerts > 0)
        for (changes, count) in [
            (comparison.new, comparison.newAlerts), (comparison.dropped, comparison.droppedAlerts),
        ] {
            #expect(changes.count == min(count, 25))
            #expect(changes.map { $0.severity ?? -1 } == changes.map { $0.severity ?? -1 }.sorted(by: >))
            for change in changes {
                let labelled = try #require(known[change.transactionID ?? ""])
                #expect(labelled.transaction.userID == change.userID)
                #expect(labelled.transaction.amount == change.amount)
                #expect(labelled.transaction.timestampMilliseconds == change.timeMilliseconds)
                #expect(change.isFraud == labelled.isFraud)
                #expect((1...3).contains(change.because.count))
            }
        }
        #expect(!comparison.active.isTrainedOnThem && !comparison.candidate.isTrainedOnThem)
        let seen = try workshop.pipeline.backtest(
            version: 1, from: Workshop.start.adding(days: 13), to: last, asOf: nil)
        #expect(seen.isTrainedOnThem)
        // Money: the frauds that were alerts, less the work.
        let saved = comparison.saved(comparison.candidate)
        #expect(
            saved == comparison.candidate.alertedFraudAmount - 3 * Double(comparison.candidate.alerts))
        #expect(comparison.candidate.alertedFraudAmount <= comparison.candidate.fraudAmount)
        // A version against itself changes nothing.
        let same = try workshop.pipeline.compare(candidate: 2, active: 2, from: first, to: last, asOf: nil)
        #expect(same.newAlerts == 0 && same.droppedAlerts == 0 && same.active == same.candidate)
    }

    @Test func withoutAnActiveVersionThereIsNothingToCompareWith() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 40, days: 14)
        _ = try workshop.run(Workshop.request(days: 14))
        let error = #expect(throws: TrainingError.self) {
            try workshop.pipeline.compare(
                candidate: 1, from: Workshop.start, to: Workshop.start.adding(days: 13), asOf: nil)
        }
        #expect("\(try #require(error))".contains("serves"))
    }
}
