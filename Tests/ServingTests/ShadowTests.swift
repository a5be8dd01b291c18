import DetectorAPI
import Features
import Foundation
import Logging
import Models
import ObjectStore
import Plugins
import Synchronization
import Testing
import Transactions

@testable import Serving

/// A candidate beside the version that serves: what is counted, and when it ends.
@Suite struct ShadowTests {
    private let scene: ShadowScene

    init() throws { scene = try ShadowScene() }

    @Test func itCountsWhatDiffers() throws {
        // The active version alerts from amount 90 on, the candidate from 50 on.
        let candidate = try scene.publish(threshold: -50)
        try scene.start(candidate)
        let amounts = (0..<200).map { Double($0 % 100) }
        scene.shadow.score(try scene.scored(amounts))
        let report = try #require(scene.shadow.report(version: candidate))
        #expect(report.transactions == 200)
        #expect(report.activeVersion == 1)
        #expect(report.activeAlerts == amounts.count { $0 > 90 })
        #expect(report.candidateAlerts == amounts.count { $0 > 50 })
        #expect(report.newAlerts == amounts.count { $0 > 50 && $0 <= 90 })
        #expect(report.droppedAlerts == 0 && report.dropped.isEmpty)
        #expect(report.ending == nil)
        #expect(report.rankCorrelation == 1)
        // The latest ones are shown, by name.
        #expect(report.new.count == ShadowCounts.maximumShown)
        #expect(
            report.new.last
                == .init(
                    transactionID: "t190", userID: "u0",
                    timeMilliseconds: WindowFixtures.epoch + 190 * 60_000,
                    severity: nil))
        scene.shadow.erase(userID: "u0")
        #expect(scene.shadow.report(version: candidate)?.new.isEmpty == true)
        #expect(scene.shadow.report(version: candidate)?.newAlerts == report.newAlerts)
        #expect(scene.shadow.report(version: 1) == nil)
    }

    @Test func whatIsNoLongerAnAlertIsCountedToo() throws {
        let candidate = try scene.publish(threshold: -95)
        try scene.start(candidate)
        scene.shadow.score(try scene.scored([10, 92, 93, 99]))
        let report = try #require(scene.shadow.report(version: candidate))
        #expect(report.droppedAlerts == 2 && report.newAlerts == 0)
        #expect(report.dropped.map(\.transactionID) == ["t1", "t2"])
        #expect(report.rankCorrelation == nil)
    }

    @Test func itEndsByItselfAfterSoManyTransactionsOrAfterItsTime() throws {
        let candidate = try scene.publish(threshold: -50)
        try scene.start(candidate, transactions: 5)
        for _ in 0..<3 { scene.shadow.score(try scene.scored([1, 60, 99])) }
        var report = try #require(scene.shadow.report(version: candidate))
        #expect(report.transactions == 5)
        #expect(report.ending == "it has scored 5 transactions")
        // It does not begin again while its plan stands.
        scene.shadow.refresh()
        #expect(scene.shadow.report(version: candidate) == report)

        #expect(try scene.plans.stop(version: candidate, now: scene.now))
        try scene.start(candidate, milliseconds: 1_000)
        scene.advance(1_000)
        scene.shadow.score(try scene.scored([1]))
        report = try #require(scene.shadow.report(version: candidate))
        #expect(report.transactions == 0 && report.ending == "its time is over")
    }

    @Test func aCandidateThatFailsEndsItsShadow() throws {
        for (detector, reason) in [("throwing", "threw"), ("endless", "not finite")] {
            let candidate = try scene.publish(threshold: -50, detector: detector)
            try scene.start(candidate)
            scene.shadow.score(try scene.scored([1, 2, 3]))
            let report = try #require(scene.shadow.report(version: candidate))
            #expect(report.ending?.contains(reason) == true, "\(report.ending ?? "")")
            #expect(report.transactions == 0)
            #expect(try scene.plans.stop(version: candidate, now: scene.now))
        }
        // One that cannot even be loaded says so.
        try scene.start(77)
        #expect(scene.shadow.report(version: 77)?.ending?.contains("cannot be loaded") == true)
        // The version that serves is untouched by all of that.
        #expect(try scene.router.globalModel()?.version == 1)
    }

    @Test func stoppedOrPromotedItScoresNoMore() throws {
        let candidate = try scene.publish(threshold: -50)
        try scene.start(candidate)
        #expect(try !scene.plans.stop(version: 1, now: scene.now))
        #expect(try scene.plans.stop(version: candidate, now: scene.now))
        scene.shadow.refresh()
        scene.shadow.score(try scene.scored([99]))
        #expect(scene.shadow.report(version: candidate)?.ending == "it was stopped")
        #expect(scene.shadow.report(version: candidate)?.transactions == 0)

        scene.advance(1)
        try scene.start(candidate)
        try scene.promote(candidate)
        scene.shadow.score(try scene.scored([99]))
        #expect(scene.shadow.report(version: candidate)?.ending == "it serves now")
    }

    @Test func anotherActiveVersionIsComparedAnew() throws {
        let candidate = try scene.publish(threshold: -50)
        let other = try scene.publish(threshold: -60)
        try scene.start(candidate)
        scene.shadow.score(try scene.scored([99, 1]))
        try scene.promote(other)
        scene.shadow.score(try scene.scored([55]))
        let report = try #require(scene.shadow.report(version: candidate))
        #expect(report.activeVersion == other && report.transactions == 1 && report.newAlerts == 1)
    }

    @Test func aCandidateThatDoesNotKeepUpMissesBatches() throws {
        let candidate = try scene.publish(threshold: -50)
        try scene.start(candidate)
        let batch = try scene.scored([1, 2, 3])
        // Nobody takes them: a few wait, the others are left out, and nothing blocks.
        for _ in 0..<10 { scene.shadow.note(batch) }
        #expect(scene.shadow.report(version: candidate)?.skipped == 18)
        scene.shadow.stop()
        scene.shadow.run()
    }

    @Test func oneAtATimeAndTheSameAgainIsTheSame() throws {
        let plans = scene.plans
        let first = try scene.start(2)
        #expect(try plans.start(scene.plan(2, by: "another"), now: scene.now) == first)
        #expect(throws: ShadowError.taken(version: 2, untilMilliseconds: first.endsMilliseconds)) {
            try plans.start(scene.plan(3), now: scene.now)
        }
        scene.advance(first.endsMilliseconds)
        #expect(try plans.current(now: scene.now) == nil)
        #expect(try plans.start(scene.plan(3), now: scene.now).version == 3)
        // What is no plan stands in nobody's way.
        try scene.objects.put("models/shadow.json", Array("{".utf8), if: .always)
        #expect(throws: ShadowError.damaged(key: "models/shadow.json")) {
            try plans.current(now: scene.now)
        }
        scene.shadow.refresh()
        #expect(try plans.start(scene.plan(4), now: scene.now).version == 4)
    }

    @Test func ranksAgreeAsFarAsTheOrderDoes() throws {
        let values = (0..<50).map { Double(($0 * 37) % 50) }
        #expect(RankCorrelation.spearman(values, values.map { $0 * $0 }) == 1)
        #expect(RankCorrelation.spearman(values, values.map { -$0 }) == -1)
        #expect(RankCorrelation.spearman(values, values.map { _ in 1 }) == nil)
        #expect(RankCorrelation.spearman([1], [1]) == nil)
        // With ties: 1, 2.5, 2.5, 4 against 1, 3, 2, 4.
        let tied = try #require(RankCorrelation.spearman([1, 2, 2, 3], [1, 3, 2, 4]))
        #expect(abs(tied - 4.5 / (4.5 * 5).squareRoot()) < 1e-12)
    }
}

/// A global model that serves, candidates, and a shadow. Used by one thread.
private final class ShadowScene {
    let objects: DirectoryObjectStore
    let router: ModelRouter
    let plans: ShadowStore
    let shadow: ShadowScoring
    private let clock = Clock()
    private let models: ModelStore
    private let promotion: Promotion
    private let folder: URL

    init() throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        folder = FileManager.default.temporaryDirectory.appending(path: "shadow-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let registry = DetectorRegistry(logger: logger)
        for behaviour in AmountDetector.Behaviour.allCases { registry.register(AmountDetector(behaviour)) }
        objects = DirectoryObjectStore(root: folder.path)
        models = ModelStore(objects: objects)
        let cache = try ModelCache(
            path: folder.appending(path: "cache").path, maximumSize: 1 << 24, logger: logger)
        router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: 1 << 24, logger: logger)
        promotion = Promotion(
            store: models, catalogue: Catalogue(objects: objects), cache: cache, router: router,
            events: InProcessModelEvents())
        plans = ShadowStore(objects: objects)
        shadow = ShadowScoring(
            store: plans, router: router, references: nil, logger: logger, now: { [clock] in clock.now })
        try promote(try publish(threshold: -90))
    }

    final class Clock: Sendable {
        private let time = Mutex<Int64>(1_000)
        var now: Int64 { time.withLock { $0 } }
        func advance(_ milliseconds: Int64) { time.withLock { $0 += milliseconds } }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var now: Int64 { clock.now }
    func advance(_ milliseconds: Int64) { clock.advance(milliseconds) }

    func publish(threshold: Double, detector: String = "amount") throws -> Int {
        let header = ArtifactHeader(
            userID: nil, detectorID: detector, detectorVersion: "1.0.0", parameters: [:], seed: 7,
            preprocessing: .identity, threshold: threshold, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 100, metrics: [:],
            parent: nil, createdMilliseconds: 1, jobID: nil)
        return try models.publish(header, payload: [0]).version
    }

    func promote(_ version: Int) throws {
        try promotion.promote([.global: version], by: "test", reason: nil)
    }

    func plan(
        _ version: Int, milliseconds: Int64 = 60_000, transactions: Int = 1_000, by: String = "test"
    ) -> ShadowPlan {
        ShadowPlan(
            version: version, by: by, startedMilliseconds: now, endsMilliseconds: now + milliseconds,
            maximumTransactions: transactions)
    }

    @discardableResult
    func start(_ version: Int, milliseconds: Int64 = 60_000, transactions: Int = 1_000) throws -> ShadowPlan {
        let plan = try plans.start(
            plan(version, milliseconds: milliseconds, transactions: transactions), now: now)
        shadow.refresh()
        return plan
    }

    /// One user's transactions of these amounts, as they were delivered.
    func scored(_ amounts: [Double]) throws -> ScoredBatch {
        let records = amounts.enumerated().map {
            WindowFixtures.record(user: 0, minute: $0.offset, amount: $0.element)
        }
        let windowed = try WindowStage(store: MemoryWindowStore(), writer: 1).run(
            WindowFixtures.batch(records, start: 0))
        let routed = try RouteStage(router: router, references: nil, referenceAgeHours: 48).run(windowed)
        return try ScoreStage(router: router).run(routed)
    }
}

/// Scores minus the amount; one kind throws, one gives no numbers, once a row holds a real amount.
private struct AmountDetector: Detector {
    enum Behaviour: String, CaseIterable { case amount, throwing, endless }

    let info: DetectorInfo
    private let behaviour: Behaviour

    init(_ behaviour: Behaviour) {
        self.behaviour = behaviour
        info = DetectorInfo(
            id: behaviour.rawValue, version: "1.0.0", summary: "Large amounts.", parameters: [])
    }

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws
        -> any DetectorModel
    {
        AmountModel(behaviour: behaviour, columns: rows.columns)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        AmountModel(behaviour: behaviour, columns: try PreprocessingPlan(.identity).columnCount)
    }
}

private final class AmountModel: DetectorModel {
    private let behaviour: AmountDetector.Behaviour
    let columns: Int

    init(behaviour: AmountDetector.Behaviour, columns: Int) {
        self.behaviour = behaviour
        self.columns = columns
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        for row in 0..<rows.count {
            let amount = Double(rows[row][0])
            switch behaviour {
            case .throwing where amount > 0: throw DetectorError.invalidArtifact("a test")
            case .endless where amount > 0: scores[row] = .infinity
            default: scores[row] = amount.isNaN ? 0 : -amount
            }
        }
    }

    func encode() -> [UInt8] { [0] }
}
