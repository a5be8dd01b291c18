import DetectorAPI
import Models
import TailSurprise
import Testing
import Transactions
import ZScoreBaseline

@testable import Training

/// `detector: auto` keeps the best of what the data allow, and says what it chose from.
@Suite struct AutomaticTests {
    private func workshop(days: Int, isLabelled: Bool = true) throws -> Workshop {
        let workshop = try Workshop()
        workshop.registry.register(TailSurprise())
        workshop.registry.register(ZScoreBaseline())
        for index in 0..<days {
            let day = Workshop.start.adding(days: index)
            let transactions = TransactionGenerator(users: 60, seed: 3).day(day)
            if isLabelled {
                try workshop.put(transactions, day, name: "part-0")
            } else {
                try workshop.put(unlabelled: transactions.map(\.transaction), day)
            }
        }
        return workshop
    }

    private func request(days: Int) -> TrainingRequest {
        Workshop.request(days: days, detector: "auto", promote: true)
    }

    @Test(arguments: [true, false]) func theBestOfTheHoldoutIsKept(isLabelled: Bool) throws {
        let workshop = try workshop(days: 40, isLabelled: isLabelled)
        let outcome = try workshop.run(request(days: 40))
        let table = try #require(outcome.candidates)
        #expect(
            table.map { "\($0.name) \($0.features)" } == [
                "amount transaction", "isolation-forest transaction", "isolation-forest all",
                "tail-surprise transaction", "zscore-baseline transaction", "amount alone amount",
            ])
        let chosen = try #require(table.first { $0.isChosen })
        #expect(table.count { $0.isChosen } == 1)
        #expect(outcome.detector == chosen.name)
        // What is known decides, and where nothing is known what was injected.
        let measure = isLabelled ? "average_precision" : "injected_precision"
        let best = try #require(table.compactMap { $0.measures[measure] }.max())
        #expect(try #require(chosen.measures[measure]) > 0.8 * best)
        #expect(table.allSatisfy { $0.measures["injected_precision"] != nil })
        #expect(table.allSatisfy { ($0.measures["average_precision"] != nil) == isLabelled })

        let header = try #require(try workshop.models.header(of: .global, version: 1))
        #expect(header.candidates == table)
        #expect(header.gate == outcome.gate)
        #expect(header.detectorID == outcome.detector)
        #expect(outcome.models.map(\.isPromoted) == [true])
        // The same once more: the same bytes.
        #expect(try workshop.run(request(days: 40), jobID: "again").candidates == table)
        let payloads = try (1...2).map { try workshop.models.header(of: .global, version: $0)?.payloadSHA256 }
        #expect(payloads[0] == payloads[1])
    }

    @Test func aCandidateThatCannotBeFittedIsSaidAndPassedOver() throws {
        let workshop = try workshop(days: 20)
        workshop.registry.register(Refusing())
        let table = try #require(try workshop.run(request(days: 20)).candidates)
        let refused = try #require(table.first { $0.name == "refusing" })
        #expect(refused.note?.contains("never") == true)
        #expect(!refused.isChosen)
        #expect(table.contains { $0.isChosen })
    }

    @Test func itHasNoParameters() throws {
        let workshop = try workshop(days: 1)
        var request = request(days: 1)
        request.parameters = ["n_estimators": "5"]
        #expect(throws: TrainingError.self) { try request.check(workshop.registry) }
    }

    @Test func fewLabelsDoNotOverruleWhatWasInjected() {
        func choice(frauds: Int) -> Int? {
            CandidateChoice(
                entries: [
                    .init(averagePrecision: 0.5, injectedPrecision: 0.1, agreement: 0.5),
                    .init(averagePrecision: 0.4, injectedPrecision: 0.4, agreement: 0.5),
                ], knownFrauds: frauds
            ).best
        }
        #expect(choice(frauds: 2) == 1)
        #expect(choice(frauds: 1_000) == 0)
        #expect(choice(frauds: 0) == 1)
    }

    /// Trees that learned the reported kinds of fraud find little of the injected ones, and are the better by far.
    @Test func whatManyLabelsSayIsNotOutweighedByWhatWasInjected() {
        func choice(learned: Double, given: Double) -> Int? {
            CandidateChoice(
                entries: [
                    .init(averagePrecision: learned, injectedPrecision: 0.28, agreement: 0.3),
                    .init(averagePrecision: given, injectedPrecision: 0.6, agreement: 0.5),
                ], knownFrauds: 37
            ).best
        }
        #expect(choice(learned: 0.97, given: 0.81) == 0)
        #expect(choice(learned: 0.94, given: 0.92) == 1, "the difference is chance")
    }

    /// Figures of a mixture of frauds in several currencies: of what came after, the learner found 0.90, the preferred
    /// detector 0.67, which had been chosen.
    @Test func whatLearnsFromLabelsIsTakenWhereItIsAsGood() {
        func choice(learned: Double, injected: Double, frauds: Int) -> Int? {
            CandidateChoice(
                entries: [
                    .init(
                        averagePrecision: learned, injectedPrecision: injected, agreement: 0.42,
                        isLearner: true),
                    .init(
                        averagePrecision: 0.81, injectedPrecision: 0.77, agreement: 0.47, isPreferred: true),
                ], knownFrauds: frauds
            ).best
        }
        #expect(choice(learned: 0.85, injected: 0.63, frauds: 75) == 0)
        #expect(choice(learned: 0.78, injected: 0.63, frauds: 75) == 0, "the difference is chance")
        #expect(choice(learned: 0.60, injected: 0.63, frauds: 75) == 1, "labels never make it worse")
        #expect(choice(learned: 0.85, injected: 0.2, frauds: 75) == 1, "blind for what nobody has reported")
        #expect(choice(learned: 0.85, injected: 0.63, frauds: 3) == 1, "three frauds say nothing")
    }

    /// Thirty frauds of seven users: the learner, at 0.60, found 0.97 of what came after.
    @Test func fraudsOfOneUserAreOne() {
        func choice(users: Int?) -> Int? {
            CandidateChoice(
                entries: [
                    .init(averagePrecision: 0.6, injectedPrecision: 0.66, agreement: 0.3, isLearner: true),
                    .init(averagePrecision: 0.82, injectedPrecision: 0.83, agreement: 0.4),
                ], knownFrauds: 30, defraudedUsers: users
            ).best
        }
        #expect(choice(users: 7) == 0)
        #expect(choice(users: 30) == 1)
        #expect(choice(users: nil) == 1)
        let scores = HoldoutScores(
            scores: [0, 0, 0, 0], injected: [], labels: [1, 1, 1, 0], users: [3, 3, 4, 5])
        #expect(scores.defraudedUsers == 2)
        #expect(HoldoutScores(scores: [0], injected: [], labels: [1]).defraudedUsers == nil)
    }

    @Test func ofEqualsTheOneThatFindsMoreKnownFraudsIsTaken() {
        func choice(frauds: Int) -> Int? {
            CandidateChoice(
                entries: [
                    .init(averagePrecision: 0.82, injectedPrecision: 0.83, agreement: 0.4),
                    .init(
                        averagePrecision: 0.79, injectedPrecision: 0.84, agreement: 0.5, isPreferred: true),
                ], knownFrauds: frauds
            ).best
        }
        #expect(choice(frauds: 75) == 0)
        #expect(choice(frauds: 3) == 1)
    }

    @Test func ofEqualsThePreferredOneIsTakenElseTheOneThatOthersAgreeWith() {
        let entries = [0.2, 0.6, 0.4].map {
            CandidateChoice.Entry(averagePrecision: nil, injectedPrecision: 0.3, agreement: $0)
        }
        #expect(CandidateChoice(entries: entries, knownFrauds: 0).best == 1)
        var preferred = entries
        preferred[0].isPreferred = true
        #expect(CandidateChoice(entries: preferred, knownFrauds: 0).best == 0)
        preferred[0].injectedPrecision = 0.25
        #expect(CandidateChoice(entries: preferred, knownFrauds: 0).best == 1, "not as good as equal")
        #expect(CandidateChoice(entries: [], knownFrauds: 0).best == nil)
        #expect(Agreement.shares([[1, 2, 3, 4], [1, 2, 4, 3], [4, 3, 2, 1]], count: 2) == [0.5, 0.5, 0])
    }

    @Test func aKindThatIsNotFoundCostsMoreThanOneThatIsFoundWell() throws {
        let usual = (0..<1_000).map { Double($0) / 1_000 }
        let kinds: [Int8] = Array(repeating: 1, count: 50) + Array(repeating: 2, count: 50)
        let blind = Array(repeating: -1.0, count: 50) + Array(repeating: 0.9, count: 50)
        let even = Array(repeating: 0.01, count: 100)
        let one = try #require(InjectedPrecision.value(usual: usual, injected: blind, kinds: kinds))
        let other = try #require(InjectedPrecision.value(usual: usual, injected: even, kinds: kinds))
        #expect(one < other)
        #expect(InjectedPrecision.value(usual: [], injected: blind, kinds: kinds) == nil)
    }

    // MARK: Features

    @Test func whatTellsUsersApartIsLeftOutAndWhatTellsTransactionsIsKept() throws {
        let workshop = try workshop(days: 40)
        _ = try workshop.run(Workshop.request(days: 40, detector: "tail-surprise"))
        let header = try #require(try workshop.models.header(of: .global, version: 1))
        let kept = Set(
            header.preprocessing.numeric.map(\.feature) + header.preprocessing.categorical.map(\.feature))
        #expect(
            kept.isSuperset(of: [
                "amount", "log_amount", "amount_ratio_30d", "count_1h", "hour_sin", "channel",
            ]))
        #expect(kept.isDisjoint(with: ["sum_30d", "mean_30d", "currency", "country"]))
        #expect(header.profile?.features.keys.contains("amount") == true)
    }

    // MARK: Gate

    @Test func theGateRefusesAFloodAShiftAndAWorseModel() {
        let good = [
            "holdout_rows": 10_000, "usual_alert_rate": 0.012, "score_shift": 0.1, "average_precision": 0.3,
            "holdout_anomalies": 100, "injected_precision": 0.3,
        ]
        func failed(_ changed: [String: Double], active: [String: Double]? = nil) -> [String] {
            Gate.checks(good.merging(changed) { $1 }, active: active, contamination: 0.01)
                .filter { !$0.isPassed }.map(\.name)
        }
        #expect(failed([:]).isEmpty)
        #expect(failed(["usual_alert_rate": 0.17]) == ["alert_rate"])
        #expect(failed(["score_shift": 0.9]) == ["score_shift"])
        // Of few rows chance explains more alerts, and no share tells how scores are spread.
        #expect(failed(["holdout_rows": 80, "usual_alert_rate": 1, "score_shift": 0.9]) == ["alert_rate"])
        #expect(failed(["holdout_rows": 80, "usual_alert_rate": 0.05]).isEmpty)
        #expect(failed(["holdout_rows": 0]) == ["holdout_rows"])
        #expect(failed([:], active: ["average_precision": 0.31]).isEmpty)
        #expect(failed([:], active: ["average_precision": 0.5]) == ["average_precision"])
        let few = ["holdout_anomalies": 4.0]
        #expect(failed(few, active: ["average_precision": 0.5, "injected_precision": 0.2]).isEmpty)
        #expect(failed(few, active: ["injected_precision": 0.5]) == ["injected_precision"])
        // Without labels by what was injected; without either nobody is worse.
        let unlabelled = ["holdout_rows": 10_000, "injected_precision": 0.2]
        let checks = Gate.checks(unlabelled, active: ["injected_precision": 0.4], contamination: 0.01)
        #expect(checks.map(\.name) == ["injected_precision"])
        #expect(checks.allSatisfy { !$0.isPassed })
    }

    @Test func aModelThatTheGateRefusesIsACandidateWithTheTable() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 30, days: 40)
        _ = try workshop.run(Workshop.request(days: 40, promote: true), jobID: "good")
        #expect(try workshop.catalogue.active(.global) == 1)
        workshop.registry.register(Blind())
        let outcome = try workshop.run(
            Workshop.request(days: 40, detector: "blind", promote: true), jobID: "bad")
        #expect(outcome.models == [.init(tenant: "global", version: 2, isPromoted: false)])
        #expect(outcome.gate?.contains { !$0.isPassed } == true)
        #expect(try workshop.catalogue.active(.global) == 1)
        let header = try #require(try workshop.models.header(of: .global, version: 2))
        #expect(header.gate == outcome.gate)
        // Whoever insists has it.
        var request = Workshop.request(days: 40, detector: "blind")
        request = TrainingRequest(
            from: request.from, to: request.to, detectorID: request.detectorID, promotion: .auto)
        #expect(try workshop.run(request, jobID: "insist").models.map(\.isPromoted) == [true])
    }

    /// With nothing to compare it with nobody knows whether a candidate is worse than what serves.
    @Test func whereTheActiveVersionCannotBeLoadedACandidateIsKeptBack() throws {
        let workshop = try Workshop()
        try workshop.generate(users: 30, days: 40)
        let request = Workshop.request(days: 40, promote: true)
        _ = try workshop.run(request, jobID: "good")
        let key = "models/global/v1.model"
        let good = try #require(try workshop.models.objects.get(key)).bytes
        try workshop.models.objects.put(key, Array(good.prefix(100)), if: .always)
        let outcome = try workshop.restarted("damaged").run(
            request, jobID: "second", isCancelled: { false }, report: { _, _ in })
        #expect(outcome.models == [.init(tenant: "global", version: 2, isPromoted: false)])
        #expect(outcome.gate?.filter { !$0.isPassed }.map(\.name) == ["active_version_loads"])
        let note = try #require(outcome.notes?.last)
        #expect(
            note.hasPrefix("v1 of the global model is active and cannot be loaded: it is damaged"), "\(note)")
        #expect(note.contains("ml-service models promote v2"), "\(note)")
        #expect(try workshop.catalogue.active(.global) == 1)
        // When it is back there is something to compare with.
        try workshop.models.objects.put(key, good, if: .always)
        let third = try workshop.restarted("mended").run(
            request, jobID: "third", isCancelled: { false }, report: { _, _ in })
        #expect(third.models == [.init(tenant: "global", version: 3, isPromoted: true)])
    }
}

/// Takes nothing.
private struct Refusing: Detector {
    let info = DetectorInfo(id: "refusing", version: "1.0.0", summary: "Refuses.", parameters: [])

    func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel { throw DetectorError.invalidInput("these rows never do") }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        throw DetectorError.invalidArtifact("there is none")
    }
}

/// Sees nothing: its scores are a hash of the row.
private struct Blind: Detector {
    let info = DetectorInfo(id: "blind", version: "1.0.0", summary: "Guesses.", parameters: [])

    func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel { BlindModel(columns: rows.columns) }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        BlindModel(columns: artifact.bytes.loadUnaligned(as: Int.self))
    }
}

private final class BlindModel: DetectorModel {
    let columns: Int

    init(columns: Int) { self.columns = columns }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count {
            let bits = rows[row].reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1.bitPattern) }
            var random = SeededGenerator(seed: bits)
            scores[row] = random.unit()
        }
    }

    func encode() -> [UInt8] { withUnsafeBytes(of: columns) { Array($0) } }
}
