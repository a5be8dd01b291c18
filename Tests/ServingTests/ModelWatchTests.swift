import CoreMetrics
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

/// When a model's alerts are called a flood, and what is told of the one that serves.
@Suite struct ModelWatchTests {
    private let scene: WatchScene

    init() throws { scene = try WatchScene() }

    /// A day is what windows take for possible; half a year is marked as of the future.
    @Test(arguments: [7_200_000, 180 * 86_400_000, 365 * 86_400_000])
    func anEventDatedAheadHidesNoFlood(lead: Int64) throws {
        let model = try scene.model()
        try scene.observe(count: 300, by: model)
        try scene.observe(count: 1, lead: lead, by: model)
        try scene.observe(count: 1_000, by: model) { $0 % 5 == 0 ? -0.9 : -0.5 }
        let flood = try #require(scene.floods(active: 1).first)
        // The hour begins anew with one that is believed.
        #expect(flood.transactions == (lead < 86_400_000 ? 1_001 : 1_301) && flood.alerts == 200)
        #expect(scene.watch.report(of: .global, version: 1)?.isFlood == true)
    }

    @Test func theVeryFirstEventMayBeDatedAhead() throws {
        let model = try scene.model()
        try scene.observe(count: 1, lead: 7_200_000, by: model)
        try scene.observe(count: 1_000, by: model) { _ in -0.9 }
        #expect(scene.floods(active: 1).first?.alerts == 1_000)
    }

    /// A producer whose clock is two hours ahead.
    @Test func aFewEventsAheadAllTheTimeHideNoFlood() throws {
        let model = try scene.model()
        for _ in 0..<20 {
            try scene.observe(count: 49, by: model) { $0 % 5 == 0 ? -0.9 : -0.5 }
            try scene.observe(count: 1, lead: 7_200_000, by: model)
        }
        // All but those before the first that is ahead.
        #expect(scene.floods(active: 1).first?.transactions == 951)
        // The hour passes nevertheless.
        scene.pass(milliseconds: 7_200_000)
        for _ in 0..<20 {
            try scene.observe(count: 49, by: model)
            try scene.observe(count: 1, lead: 7_200_000, by: model)
        }
        let report = try #require(scene.watch.report(of: .global, version: 1))
        #expect(report.transactions <= 1_000 && report.alerts < 20 && !report.isFlood)
    }

    @Test func fewTransactionsAreNoFloodWhateverTheyAre() throws {
        let model = try scene.model()
        try scene.observe(count: 499, by: model) { _ in -0.9 }
        #expect(scene.floods(active: 1) == [])
        try scene.observe(count: 1, by: model) { _ in -0.9 }
        #expect(scene.floods(active: 1).count == 1)
    }

    @Test func aVersionThatServesNoMoreFloodsNoMore() throws {
        let (first, second) = (try scene.model(), try scene.model())
        try scene.observe(count: 1_000, by: first) { _ in -0.9 }
        #expect(scene.figures(active: 1)["ml_models_flooding"] == 1)
        #expect(scene.figures(active: 2)["ml_models_flooding"] == 0)
        #expect(scene.floods(active: 2) == [] && scene.floods(active: nil) == [])
        // An hour later the one that comes back has nothing to answer for.
        scene.pass(milliseconds: 3_600_000)
        try scene.observe(count: 1, by: second)
        #expect(scene.floods(active: 1) == [])
        #expect(scene.watch.report(of: .global, version: 1)?.transactions == 0)
    }

    /// However calm the stream was before.
    @Test func theFittingThresholdIsThatOfTheFlood() throws {
        let model = try scene.model()
        for _ in 0..<12 { try scene.observe(count: 1_000, by: model, everyMilliseconds: 3_000) }
        func score(_ row: Int) -> Double { -0.7 - Double((row * 7_919) % 1_000) / 1_000 }
        try scene.observe(count: 1_000, by: model, score: score)
        let flood = try #require(scene.floods(active: 1).first)
        let threshold = try #require(flood.fittingThreshold)
        let alerts = (0..<1_000).count { score($0) < threshold }
        #expect(alerts > 0 && alerts <= 20)
    }

    @Test func indicesOfTheVersionBeforeAreToldNoMore() throws {
        let (first, second) = (try scene.model(isProfiled: true), try scene.model(isProfiled: true))
        try scene.observe(count: 1_000, by: first)
        let drift: Set = ["ml_score_psi", "ml_feature_psi channel"]
        #expect(drift.isSubset(of: scene.figures(active: 1).keys))
        let none = scene.figures(active: 2)
        #expect(drift.isDisjoint(with: none.keys) && none["ml_model_alert_rate"] == nil)
        try scene.observe(count: 999, by: second)
        let few = scene.figures(active: 2)
        #expect(drift.isDisjoint(with: few.keys) && few["ml_model_alert_rate"] == 0)
        try scene.observe(count: 1, by: second)
        #expect(drift.isSubset(of: scene.figures(active: 2).keys))
    }

    /// One row in ten of training had a category too rare for a column of its own.
    @Test func whatWasRareInTrainingIsNotUnseen() throws {
        let model = try scene.model(isProfiled: true)
        try scene.observe(count: 1_000, by: model, channel: { $0 % 10 == 0 ? "kiosk" : "web" })
        func share() -> Double? { scene.watch.report(of: .global, version: 1)?.unseenShares["channel"] }
        #expect(try #require(share()) < 1e-9)
        try scene.observe(count: 1_000, by: model, channel: { _ in "new" })
        #expect(abs(try #require(share()) - 0.45) < 1e-9)
        #expect(abs(try #require(scene.figures(active: 1)["ml_unseen_category_share channel"]) - 0.45) < 1e-9)
    }
}

/// A watch, models, and a stream of one partition whose batches they score as a test says. Used by one thread.
private final class WatchScene {
    let watch: ModelWatch
    private let gauges = Gauges()
    private let folder: URL
    private let models: ModelStore
    private let router: ModelRouter
    private let windows = MemoryWindowStore()
    private let stage: WindowStage
    private var offset: Int64 = 0
    private var time = WindowFixtures.epoch

    init() throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        folder = FileManager.default.temporaryDirectory.appending(path: "watch-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let registry = DetectorRegistry(logger: logger)
        registry.register(SilentDetector())
        models = ModelStore(objects: DirectoryObjectStore(root: folder.path))
        let cache = try ModelCache(
            path: folder.appending(path: "cache").path, maximumSize: 1 << 24, logger: logger)
        router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: 1 << 24, logger: logger)
        stage = WindowStage(store: windows, writer: 1)
        var settings = ModelWatch.Settings()
        settings.driftStep = 1
        watch = ModelWatch(settings, metrics: gauges)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// The next version of the global model: alerts below -0.6, one in a hundred is its budget, and it looks at the channel.
    func model(isProfiled: Bool = false) throws -> ReadyModel {
        var header = ArtifactHeader(
            userID: nil, detectorID: "silent", detectorVersion: "1.0.0", parameters: [:], seed: 7,
            preprocessing: SilentDetector.preprocessing, threshold: -0.6, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 100, metrics: [:],
            parent: nil, createdMilliseconds: 1, jobID: nil)
        if isProfiled {
            let codes = (0..<100).map { $0 % 10 == 0 ? 1.0 : 0 }
            header.profile = TrainingProfile(
                scores: try #require(Histogram(of: [-0.5])),
                features: ["channel": try #require(Histogram(codes: codes, count: 2))])
        }
        let version = try models.publish(header, payload: [0]).version
        return try router.model(of: .global, version: version)
    }

    /// So many transactions, one after the other, in one batch.
    ///
    /// - Parameter lead: How far ahead they are dated.
    func observe(
        count: Int, lead: Int64 = 0, by model: ReadyModel, everyMilliseconds: Int64 = 900,
        score: (Int) -> Double = { _ in -0.5 }, channel: (Int) -> String = { _ in "web" }
    ) throws {
        let records = (0..<count).map { row in
            time += everyMilliseconds
            return Transaction(
                transactionID: "t\(offset + Int64(row))", userID: "u\(row % 10)", amount: 10,
                timestampMilliseconds: time + lead, currency: "EUR", channel: channel(row))
        }
        let windowed = try WindowFixtures.deliver(
            WindowFixtures.batch(records, start: offset), stage, windows)
        offset += Int64(count)
        watch.observe(
            ScoredBatch(
                windowed: windowed,
                groups: [RouteGroup(model: model, fallback: nil, rows: (0..<count).map(Int32.init))],
                groupIndex: Array(repeating: 0, count: count), scores: (0..<count).map(score),
                reasons: [:], rules: nil))
    }

    func pass(milliseconds: Int64) { time += milliseconds }

    func floods(active: Int?) -> [ModelWatch.Flood] { watch.floods { _ in active } }

    /// What is exported, by name and feature.
    func figures(active: Int) -> [String: Double] {
        watch.exportMetrics { _ in active }
        return gauges.figures
    }
}

/// Keeps what gauges show.
private final class Gauges: SilentMetrics {
    private final class Gauge: MeterHandler {
        let name: String
        let value = Mutex(0.0)

        init(_ name: String) { self.name = name }

        func set(_ value: Int64) { set(Double(value)) }
        func set(_ value: Double) { self.value.withLock { $0 = value } }
        func increment(by amount: Double) { value.withLock { $0 += amount } }
        func decrement(by amount: Double) { value.withLock { $0 -= amount } }
    }

    private let gauges = Mutex<[String: Gauge]>([:])

    var figures: [String: Double] { gauges.withLock { $0.mapValues { $0.value.withLock { $0 } } } }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        let gauge = Gauge(([label] + dimensions.map(\.1)).joined(separator: " "))
        gauges.withLock { $0[gauge.name] = gauge }
        return gauge
    }
    func destroyMeter(_ handler: any MeterHandler) {
        guard let gauge = handler as? Gauge else { return }
        gauges.withLock { $0[gauge.name] = nil }
    }
}

/// A detector whose models give every row the same score; the scores of a test are its own.
private struct SilentDetector: Detector {
    static let preprocessing = Preprocessing(
        scaling: .none, numeric: [],
        categorical: [.init(feature: "channel", categories: ["web"], usual: "web")])

    let info = DetectorInfo(id: "silent", version: "1.0.0", summary: "One score for all.", parameters: [])

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext)
        -> any DetectorModel
    {
        SilentModel(columns: rows.columns)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        SilentModel(columns: try PreprocessingPlan(Self.preprocessing).columnCount)
    }
}

private final class SilentModel: DetectorModel {
    let columns: Int

    init(columns: Int) { self.columns = columns }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count { scores[row] = -0.5 }
    }

    func encode() -> [UInt8] { [0] }
}
