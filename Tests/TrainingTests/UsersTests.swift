import Foundation
import Lake
import Models
import Testing
import Transactions

@testable import Training

/// Users' models have to earn their place.
@Suite struct UsersTests {
    /// Two parts of the users that live apart: for the dear, a usual amount is what is an anomaly for the cheap.
    private func twoKinds(days: Int) throws -> Workshop {
        let workshop = try Workshop()
        var random = TestRandom(seed: 9)
        for index in 0..<days {
            let day = Workshop.start.adding(days: index)
            var transactions: [LabelledTransaction] = []
            for user in 0..<10 {
                for number in 0..<5 {
                    let isDear = user == 0
                    let isFraud = number == 0 && index % 7 == 3
                    // The dear one's frauds are tiny; in the crowd they look like everybody's.
                    let amount = isDear ? (isFraud ? 20 : 5_000) : (isFraud ? 5_000 : 20)
                    transactions.append(
                        LabelledTransaction(
                            transaction: Transaction(
                                transactionID: "t\(index)-\(user)-\(number)", userID: "u\(user)",
                                amount: Double(amount) * (0.9 + 0.2 * random.unit()),
                                timestampMilliseconds: day.startMilliseconds + Int64(number) * 10_000_000
                                    + Int64(user)),
                            fraud: isFraud ? .amountBurst : nil))
                }
            }
            try workshop.put(transactions, day, name: "part-0")
        }
        _ = try workshop.run(Workshop.request(days: days, detector: "amount", promote: true), jobID: "global")
        return workshop
    }

    @Test func aModelThatBeatsTheGlobalOneIsActivatedAndAnotherIsKept() throws {
        let workshop = try twoKinds(days: 40)
        let dear = try workshop.run(
            Workshop.request(user: "u0", days: 40, detector: "amount", promote: true), jobID: "a")
        #expect(dear.models == [.init(tenant: "u0", version: 1, isPromoted: true)])
        #expect(dear.metrics["earned"] == 1)
        let own = try #require(dear.metrics["earned_own_average_precision"])
        let global = try #require(dear.metrics["earned_global_average_precision"])
        #expect(own > global)
        #expect(try workshop.catalogue.active(.user("u0")) == 1)

        // For the others the global model is as good: a candidate, with the comparison.
        let cheap = try workshop.run(
            Workshop.request(user: "u1", days: 40, detector: "amount", promote: true), jobID: "b")
        #expect(cheap.models == [.init(tenant: "u1", version: 1, isPromoted: false)])
        #expect(cheap.metrics["earned"] == 0)
        #expect(cheap.metrics["earned_global_average_precision"] != nil)
        #expect(try workshop.catalogue.active(.user("u1")) == nil)
        #expect(try workshop.models.header(of: .user("u1"), version: 1)?.metrics["earned"] == 0)
    }

    @Test func allUsersAreTrainedInOnePassAndTheEarnedPromoted() throws {
        let workshop = try twoKinds(days: 40)
        let outcome = try workshop.run(
            Workshop.request(allUsers: true, days: 40, detector: "amount", promote: true), jobID: "all")
        #expect(outcome.metrics["users"] == 10)
        #expect(outcome.metrics["users_trained"] == 10)
        #expect(outcome.metrics["users_earned"] == 1)
        #expect(outcome.metrics["users_promoted"] == 1)
        #expect(outcome.models.first == .init(tenant: "u0", version: 1, isPromoted: true))
        #expect(outcome.models.count { $0.isPromoted } == 1)
        #expect(Set(try workshop.catalogue.all().keys) == [.global, .user("u0")])
        // Trained in the crowd is trained alone: the same rows, the same model.
        let alone = try workshop.run(
            Workshop.request(user: "u3", days: 40, detector: "amount"), jobID: "alone")
        let headers = try (1...2).map { try workshop.models.header(of: .user("u3"), version: $0) }
        #expect(alone.models[0].version == 2)
        #expect(headers[0]?.payloadSHA256 == headers[1]?.payloadSHA256)
        #expect(headers[0]?.threshold == headers[1]?.threshold)
    }

    private static func noteErasing(_ userID: String, in workshop: Workshop) throws {
        try ErasureNotices(objects: workshop.models.objects).post(
            userID: userID, now: Int64(Date().timeIntervalSince1970 * 1_000))
    }

    /// Whoever is erased while a job runs, which has read their rows before, has no model of it: not one that is stored
    /// afterwards, nor one that was stored already.
    @Test(arguments: [TrainingStage.fit, .promote], [nil, "u0"])
    func whoIsErasedMeanwhileIsNotInTheStoreAgain(at stage: TrainingStage, user: String?) throws {
        let workshop = try twoKinds(days: 40)
        let erased = Log<Void>()
        let request = Workshop.request(
            user: user, allUsers: user == nil, days: 40, detector: "amount", promote: true)
        let outcome = Result {
            try workshop.pipeline.run(request, jobID: "all", isCancelled: { false }) { now, _ in
                guard now == stage, erased.all.isEmpty else { return }
                erased.append(())
                _ = try? workshop.promotion.erase(.user("u0"))
                try? Self.noteErasing("u0", in: workshop)
            }
        }
        #expect(erased.all.count == 1)
        #expect(try workshop.models.versions(of: .user("u0")).isEmpty)
        #expect(try workshop.catalogue.changes(of: .user("u0")).isEmpty)
        #expect(workshop.router.snapshot().version(of: .user("u0")) == nil)
        guard user == nil else {
            #expect(throws: TrainingError.self) { try outcome.get() }
            return
        }
        let models = try outcome.get().models
        #expect(models.map(\.tenant) == (1..<10).map { "u\($0)" })
        // The next job may: whoever comes back is a user like others.
        let next = try workshop.run(request, jobID: "next")
        #expect(next.models.first == .init(tenant: "u0", version: 1, isPromoted: true))
    }

    @Test func aJobThatIsResumedLeavesOutWhoWasErasedBeforeItWas() throws {
        let workshop = try twoKinds(days: 40)
        let request = Workshop.request(allUsers: true, days: 40, detector: "amount", promote: true)
        try Self.noteErasing("u0", in: workshop)
        let outcome = try workshop.run(request, jobID: "all", journal: RecordingJournal(isResumed: true))
        #expect(outcome.metrics["users_trained"] == 9)
        #expect(try workshop.models.versions(of: .user("u0")).isEmpty)
    }

    @Test func usersWithTooLittleHistoryHaveNoModel() throws {
        var workshop = try twoKinds(days: 40)
        workshop.settings.minimumUserRows = 201
        let outcome = try workshop.run(
            Workshop.request(allUsers: true, days: 40, detector: "amount"), jobID: "all")
        #expect(outcome.metrics["users"] == 10)
        #expect(outcome.metrics["users_trained"] == 0)
        #expect(try workshop.models.versions(of: .user("u0")).isEmpty)
    }

    @Test func usersNeedAGlobalModelToBeJudgedAgainst() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 3, days: 10)
        #expect(throws: TrainingError.self) { try workshop.run(Workshop.request(allUsers: true, days: 10)) }
        // Asked for by name, the model is stored as a candidate.
        let outcome = try workshop.run(
            Workshop.request(user: "user-000001", days: 10, detector: "amount", promote: true))
        #expect(outcome.models.map(\.isPromoted) == [false])
    }

    @Test func withForestsTheGeneratedUsersEarnTheirModelsByInjectedFrauds() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 12, days: 60)
        _ = try workshop.run(Workshop.request(days: 60, promote: true), jobID: "global")
        let outcome = try workshop.run(
            Workshop.request(allUsers: true, days: 60, promote: true), jobID: "all")
        #expect(outcome.metrics["users_trained"] == 12)
        for model in outcome.models {
            let header = try #require(
                try workshop.models.header(of: .user(model.tenant), version: model.version))
            let pairs = [
                ("earned_own_injected_auroc", "earned_global_injected_auroc"),
                ("earned_own_average_precision", "earned_global_average_precision"),
            ]
            let (own, global) = try #require(
                pairs.lazy.compactMap { pair in
                    header.metrics[pair.0].flatMap { own in header.metrics[pair.1].map { (own, $0) } }
                }.first)
            let keepsBudget = try #require(header.metrics["earned_keeps_budget"]) == 1
            #expect((own >= global + 0.01 && keepsBudget) == (header.metrics["earned"] == 1))
            #expect(model.isPromoted == (header.metrics["earned"] == 1))
            #expect(try workshop.catalogue.active(.user(model.tenant)) == (model.isPromoted ? 1 : nil))
        }
    }

    @Test func whoAlertsTooOftenHasNotEarnedItsPlace() throws {
        func scores(_ usual: [Double], _ injected: [Double]) -> HoldoutScores {
            HoldoutScores(
                scores: usual, injected: injected, labels: Array(repeating: -1, count: usual.count))
        }
        let own = scores((0..<100).map(Double.init), Array(repeating: -1, count: 100))
        let global = scores((0..<100).map(Double.init), Array(repeating: 50, count: 100))
        // Of 100 rows and a budget of 1 %: 1 + 3 x 1 + 1 alerts.
        for (threshold, isEarned) in [(0.0, true), (5, true), (6, false)] {
            let comparison = try #require(
                EarnedComparison(
                    own: own, global: global, threshold: threshold, contamination: 0.01, margin: 0.01))
            #expect(comparison.measure == .injectedAUROC)
            #expect(comparison.own == 1)
            #expect(comparison.keepsBudget == isEarned)
            #expect(comparison.isEarned == isEarned)
        }
        func isEarned(_ own: HoldoutScores, _ global: HoldoutScores) -> Bool? {
            EarnedComparison(own: own, global: global, threshold: -9, contamination: 0.01, margin: 0.01)?
                .isEarned
        }
        #expect(isEarned(own, own) == false)
        #expect(isEarned(global, own) == false)
        #expect(isEarned(scores([1, 2], [0]), scores([1, 2], [3])) == nil)
    }

    // MARK: Again after a crash

    @Test func aJobForAllUsersGoesOnWhereItStopped() throws {
        let workshop = try twoKinds(days: 40)
        let request = Workshop.request(allUsers: true, days: 40, detector: "amount", promote: true)
        let journal = RecordingJournal(failAfter: 3)
        #expect(throws: RecordingJournal.Crash.self) {
            try workshop.run(request, jobID: "all", journal: journal)
        }
        // Nothing is active before everything is trained.
        #expect(Array(try workshop.catalogue.all().keys) == [.global])
        let again = RecordingJournal(parts: journal.finishedParts(), isResumed: true)
        let outcome = try workshop.run(request, jobID: "all", journal: again)
        #expect(outcome.metrics["users_trained"] == 10)
        #expect(outcome.metrics["users_promoted"] == 1)
        // Nobody's model was stored twice, not even that of the part whose end was not written down.
        for user in 0..<10 { #expect(try workshop.models.versions(of: .user("u\(user)")) == [1]) }
    }
}

/// A journal that fails like a machine that dies: after some parts, before the next is written down.
final class RecordingJournal: TrainingJournal {
    struct Crash: Error {}

    let isResumed: Bool
    private let log: Log<(Int, UsersPart)>
    private let failAfter: Int

    init(parts: [Int: UsersPart] = [:], isResumed: Bool = false, failAfter: Int = .max) {
        self.isResumed = isResumed
        self.failAfter = failAfter
        log = Log()
        for part in parts { log.append((part.key, part.value)) }
    }

    func finishedParts() -> [Int: UsersPart] { Dictionary(log.all.map { ($0.0, $0.1) }) { $1 } }

    func finish(_ part: Int, _ result: UsersPart) throws {
        let done = log.all.count { !$0.1.models.isEmpty }
        if !result.models.isEmpty, done >= failAfter { throw Crash() }
        log.append((part, result))
    }
}
