import DetectorAPI
import Features
import Foundation
import Kafka
import Logging
import Models
import ObjectStore
import Plugins
import Rules
import Transactions

@testable import Serving

/// Batches that a global model has scored: minus the amount, and below -90 it is an anomaly.
final class ScoredScene {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let start: Int64 = 1_700_000_000_000
    private let folder: URL
    private let router: ModelRouter

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "scored-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let registry = DetectorRegistry(logger: Self.logger)
        registry.register(AmountDetector())
        let objects = DirectoryObjectStore(root: folder.path)
        let models = ModelStore(objects: objects)
        let cache = try ModelCache(
            path: folder.appending(path: "cache").path, maximumSize: 1 << 24, logger: Self.logger)
        router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: 1 << 24, logger: Self.logger)
        let promotion = Promotion(
            store: models, catalogue: Catalogue(objects: objects), cache: cache, router: router,
            events: InProcessModelEvents())
        let header = ArtifactHeader(
            userID: nil, detectorID: "amount", detectorVersion: "1.0.0", parameters: [:], seed: 7,
            preprocessing: .identity, threshold: -90, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 100, metrics: [:],
            parent: nil, createdMilliseconds: 1, jobID: nil)
        let version = try models.publish(header, payload: [0]).version
        try promotion.promote([.global: version], by: "test", reason: nil)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    static func rule(_ id: String, _ action: Rule.Action, _ conditions: Rule.Conditions) -> Rule {
        Rule(
            id: id, action: action, conditions: conditions, reason: "a test", author: "test",
            createdMilliseconds: start)
    }

    /// The transactions t0, t1, ... of one user, of these amounts.
    func scored(_ amounts: [Double], rules: [Rule] = []) throws -> ScoredBatch {
        var transactions = TransactionBatch()
        for (index, amount) in amounts.enumerated() {
            transactions.append(
                Transaction(
                    transactionID: "t\(index)", userID: "u", amount: amount,
                    timestampMilliseconds: Self.start + Int64(index) * 60_000))
        }
        let slice = PartitionSlice(
            source: TopicPartition(topic: "transactions", partition: 0), start: 0, end: Int64(amounts.count),
            isAtBeginning: true)
        let consumed = ConsumedBatch(
            transactions: transactions, offsets: amounts.indices.map { Int64($0) },
            sliceIndex: amounts.map { _ in 0 }, slices: [slice], deadLetters: [], assignment: 0,
            wronglyKeyed: 0, recordTimes: nil)
        let windowed = try WindowStage(store: MemoryWindowStore(), writer: 1).run(consumed)
        let routed = try RouteStage(router: router, references: nil, referenceAgeHours: 48).run(windowed)
        let scored = try ScoreStage(router: router).run(routed)
        guard !rules.isEmpty else { return scored }
        let store = RuleStore(
            objects: DirectoryObjectStore(root: folder.appending(path: "rules-\(UUID())").path))
        for rule in rules { _ = try store.add(rule, by: "test", now: Self.start) }
        let current = CurrentRules(store: store, logger: Self.logger)
        current.refresh()
        return RuleStage(current).run(scored)
    }
}

private struct AmountDetector: Detector {
    let info = DetectorInfo(id: "amount", version: "1.0.0", summary: "Large amounts.", parameters: [])

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext)
        -> any DetectorModel
    {
        AmountModel(columns: rows.columns)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        AmountModel(columns: try PreprocessingPlan(.identity).columnCount)
    }
}

private final class AmountModel: DetectorModel {
    let columns: Int

    init(columns: Int) { self.columns = columns }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count { scores[row] = rows[row][0].isNaN ? 0 : -Double(rows[row][0]) }
    }

    func encode() -> [UInt8] { [0] }
}
