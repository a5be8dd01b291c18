import DetectorAPI
import Features
import Foundation
import Logging
import Metrics
import Models
import ObjectStore
import Plugins
import Retrying
import Rules
import Synchronization
import Transactions

@testable import Serving

/// A driver over a stream and a store that do what a test says, with models of one score each.
final class DriverScene {
    struct Failure: Retryable { let isRetryable: Bool }

    let stream = ScriptedStream()
    let store: ScriptedStore
    let status: ServingStatus
    let stopping = StopSignal()
    private let promotion: Promotion
    private let models: ModelStore
    private let router: ModelRouter
    private var driver: BatchDriver
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// - Parameters:
    ///   - rules: nil: there are none.
    ///   - waits: See `BatchDriver`.
    ///   - other: A stream in place of the scripted one.
    ///   - metrics: Told of verdicts' delays.
    init(
        rules: CurrentRules? = nil, waits: Bool = true, over other: (any TransactionStream)? = nil,
        metrics: (any MetricsFactory)? = nil
    ) throws {
        status = ServingStatus(metrics: metrics)
        let stream: any TransactionStream = other ?? self.stream
        let folder = FileManager.default.temporaryDirectory.appending(path: "driver-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let registry = DetectorRegistry(logger: Self.logger)
        registry.register(ConstantDetector())
        let objects = DirectoryObjectStore(root: folder)
        models = ModelStore(objects: objects)
        let cache = try ModelCache(path: "\(folder)/cache", maximumSize: 1 << 24, logger: Self.logger)
        router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: 1 << 24, logger: Self.logger)
        promotion = Promotion(
            store: models, catalogue: Catalogue(objects: objects), cache: cache, router: router,
            events: InProcessModelEvents())
        store = ScriptedStore(self.stream.log)
        driver = BatchDriver(
            BatchStages(
                window: WindowStage(store: store, writer: 1),
                route: RouteStage(router: router, references: nil, referenceAgeHours: 48),
                score: ScoreStage(router: router), rule: RuleStage(rules),
                publish: PublishStage(publish: .all),
                deliver: DeliverStage(stream: stream, windows: store)),
            stream: stream, windows: "", backoffMilliseconds: 1...1, waits: waits, stopping: stopping,
            status: status, worker: status.join(), logger: Self.logger)
        try promote(score: -0.5)
    }

    var log: [String] { stream.log.words }

    func run(_ batch: ConsumedBatch) throws -> BatchDriver.Outcome { try driver.run(batch) }

    /// Another global model, which gives every transaction this score.
    func promote(score: Double) throws {
        let header = ArtifactHeader(
            userID: nil, detectorID: "constant", detectorVersion: "1.0.0", parameters: [:], seed: 7,
            preprocessing: .identity, threshold: -0.6, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 100, metrics: [:],
            parent: nil, createdMilliseconds: 1, jobID: nil)
        let columns = try PreprocessingPlan(.identity).columnCount
        let published = try models.publish(
            header, payload: ConstantModel(score: score, columns: columns).encode())
        try promotion.promote([.global: published.version], by: "test", reason: nil)
    }

    /// One transaction of one user.
    static func batch(start: Int64 = 0, partition: Int32 = 0) -> ConsumedBatch {
        WindowFixtures.batch(
            [WindowFixtures.record(user: 0, minute: Int(start))], start: start, partition: partition)
    }

    /// As another worker would: the windows that are read next are its own.
    func writeWindows(_ batch: ConsumedBatch, writer: UInt64) throws {
        let windowed = try WindowStage(store: store.memory, writer: writer).run(batch)
        _ = try store.memory.write(windowed.writes)
    }
}

/// What was called, in order.
final class CallLog: Sendable {
    private let state = Mutex<[String]>([])
    var words: [String] { state.withLock { $0 } }
    func note(_ word: String) { state.withLock { $0.append(word) } }
}

/// A stream of which each call does what was said before; what nothing was said of succeeds.
///
/// `@unchecked Sendable`: a test has one thread.
final class ScriptedStream: TransactionStream, @unchecked Sendable {
    let log = CallLog()
    /// By the call; one for each time it is called.
    var failures: [String: [any Error]] = [:]
    var offsets: [Int32: Int64] = [:]
    var assignment: UInt64 = 0
    /// Called by `prepare` and by a question for offsets.
    var meanwhile: () throws -> Void = {}
    private(set) var deliveries: [Delivery] = []

    let location = "test"
    let isFinished = false
    let trouble: String? = nil

    private func call(_ name: String) throws {
        log.note(name)
        guard let failure = failures[name]?.first else { return }
        failures[name]?.removeFirst()
        throw failure
    }

    func next(_ limits: BatchLimits) throws -> RawRecords? { nil }
    func heartbeat() throws {}
    func isCurrent(_ assignment: UInt64) -> Bool { assignment == self.assignment }

    func committedOffsets(of partitions: [Int32]) throws -> [Int32: Int64] {
        try meanwhile()
        try call("ask \(partitions)")
        return offsets
    }

    func prepare(_ delivery: Delivery) throws {
        deliveries.append(delivery)
        try meanwhile()
        try call("prepare")
    }

    func commit() throws { try call("commit") }
    func abort() throws { try call("abort") }
    func abandon() { log.note("abandon") }
    func close() {}

    /// The verdicts of each delivery that was prepared.
    var verdicts: [[String]] {
        deliveries.map { delivery in
            var texts: [String] = []
            delivery.verdicts.visit { texts.append(String(decoding: $2, as: UTF8.self)) }
            return texts
        }
    }
}

/// Windows in memory, of which some writings fail.
///
/// `@unchecked Sendable`: a test has one thread.
final class ScriptedStore: WindowStore, @unchecked Sendable {
    let memory = MemoryWindowStore()
    var writeFailures: [any Error] = []
    private let log: CallLog

    init(_ log: CallLog) { self.log = log }

    var location: String { memory.location }

    func read(
        _ users: UserKeys, partitions: [Int32], partition: (Int, UnsafeRawBufferPointer?) throws -> Void,
        user: (Int, StoredWindow) throws -> Void
    ) throws {
        log.note("read")
        try memory.read(users, partitions: partitions, partition: partition, user: user)
    }

    func write(_ writes: WindowWrites) throws -> Bool {
        log.note("write")
        if !writeFailures.isEmpty { throw writeFailures.removeFirst() }
        return try memory.write(writes)
    }

    func damagedKey(of userID: String) -> String { memory.damagedKey(of: userID) }
    func remove(userID: String) throws -> Int { try memory.remove(userID: userID) }
    func partitions() throws -> [Int32] { try memory.partitions() }
    func condition() throws -> WindowStoreCondition { try memory.condition() }
}

/// A detector whose models give every row the same score.
private struct ConstantDetector: Detector {
    let info = DetectorInfo(id: "constant", version: "1.0.0", summary: "One score for all.", parameters: [])

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext)
        -> any DetectorModel
    {
        ConstantModel(score: -0.5, columns: rows.columns)
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        guard artifact.bytes.count >= 16 else { throw DetectorError.invalidArtifact("not 16 bytes") }
        return ConstantModel(
            score: artifact.bytes.loadUnaligned(as: Double.self),
            columns: artifact.bytes.loadUnaligned(fromByteOffset: 8, as: Int.self))
    }
}

private final class ConstantModel: DetectorModel {
    let score: Double
    let columns: Int

    init(score: Double, columns: Int) {
        self.score = score
        self.columns = columns
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count { scores[row] = score }
    }

    func encode() -> [UInt8] { withUnsafeBytes(of: (score, columns)) { Array($0) } }
}
