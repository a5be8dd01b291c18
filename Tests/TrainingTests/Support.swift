import DetectorAPI
import Foundation
import IsolationForest
import Lake
import Logging
import Models
import ObjectStore
import Plugins
import Synchronization
import Transactions

@testable import Training

/// Random numbers of a test: the seed is in the test.
typealias TestRandom = SeededGenerator

func logarithm(_ x: Double) -> Double { log(x) }

/// A folder of its own, removed with this object.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "training-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func store(_ name: String) -> DirectoryObjectStore { DirectoryObjectStore(root: path + "/" + name) }
}

/// What training needs, in a temporary folder, with the real isolation forest and a small detector of our own.
struct Workshop {
    let folder: TemporaryFolder
    let lake: DirectoryObjectStore
    let models: ModelStore
    let catalogue: Catalogue
    let registry: DetectorRegistry
    let router: ModelRouter
    let promotion: Promotion
    var settings = TrainingPipeline.Settings()

    init(lake: DirectoryObjectStore? = nil) throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("models")
        var logger = Logger(label: "training tests")
        logger.logLevel = .critical
        self.folder = folder
        self.lake = lake ?? folder.store("lake")
        models = ModelStore(objects: objects)
        catalogue = Catalogue(objects: objects)
        registry = DetectorRegistry(logger: logger)
        registry.register(IsolationForest())
        registry.register(AmountDetector())
        let cache = try ModelCache(path: folder.path + "/cache.sqlite", maximumSize: 1 << 30, logger: logger)
        router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: 1 << 30, logger: logger)
        promotion = Promotion(
            store: models, catalogue: catalogue, cache: cache, router: router, events: InProcessModelEvents())
        settings.scratchFolder = folder.path
    }

    var pipeline: TrainingPipeline {
        TrainingPipeline(
            lake: lake, store: models, promotion: promotion, router: router, registry: registry,
            settings: settings, now: { 1_000 })
    }

    /// The pipeline of another process, which has nothing in memory and in a cache of its own.
    func restarted(_ name: String) throws -> TrainingPipeline {
        let logger = self.router.logger
        let cache = try ModelCache(
            path: folder.path + "/\(name).sqlite", maximumSize: 1 << 30, logger: logger)
        let router = ModelRouter(
            store: models, cache: cache, registry: registry, maximumSize: 1 << 30, logger: logger)
        let promotion = Promotion(
            store: models, catalogue: catalogue, cache: cache, router: router, events: InProcessModelEvents())
        _ = try promotion.start(logger: logger)
        return TrainingPipeline(
            lake: lake, store: models, promotion: promotion, router: router, registry: registry,
            settings: settings, now: { 1_000 })
    }

    func run(
        _ request: TrainingRequest, jobID: String = "job", journal: any TrainingJournal = MemoryJournal()
    ) throws -> TrainingOutcome {
        try pipeline.run(
            request, jobID: jobID, journal: journal, isCancelled: { false }, report: { _, _ in })
    }

    /// Writes generated days into the lake.
    @discardableResult
    func generate(users: Int, days: Int, seed: UInt64 = 1) throws -> [LabelledTransaction] {
        let generator = TransactionGenerator(users: users, seed: seed)
        var all: [LabelledTransaction] = []
        for index in 0..<days {
            let day = Self.start.adding(days: index)
            let transactions = generator.day(day)
            try put(transactions, day, name: "part-0")
            all += transactions
        }
        return all
    }

    func put(_ transactions: [LabelledTransaction], _ day: LakeDay, name: String) throws {
        var batch = TransactionBatch()
        for labelled in transactions { batch.append(labelled.transaction) }
        try lake.put(
            "processed/\(day.path)/\(name).parquet",
            try TransactionColumns.parquetFile(batch, labels: transactions.map { $0.isFraud ? 1 : 0 }),
            if: .always)
    }

    static let start = LakeDay(dayNumber: 20_454)  // 2026-01-01

    static func request(
        user: String? = nil, allUsers: Bool = false, days: Int, detector: String = "isolation-forest",
        promote: Bool = false
    ) -> TrainingRequest {
        TrainingRequest(
            userID: user, allUsers: allUsers, from: start, to: start.adding(days: days - 1),
            detectorID: detector, promote: promote)
    }
}

/// The smallest detector there is: scores minus the distance of the first column from its mean.
struct AmountDetector: Detector {
    let info: DetectorInfo

    /// - Parameter uses: What it says that it learns from.
    init(id: String = "amount", uses: Set<FitInput> = []) {
        info = DetectorInfo(
            id: id, version: "1.0.0", summary: "Amounts far from the mean.", parameters: [], uses: uses)
    }

    func fit(
        _ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext
    ) throws -> any DetectorModel {
        if context.isCancelled() { throw DetectorError.cancelled }
        let sum = (0..<rows.count).reduce(0.0) { $0 + Double(rows[$1][0]) }
        return AmountModel(columns: rows.columns, mean: sum / Double(rows.count))
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        guard artifact.bytes.count == 16 else { throw DetectorError.invalidArtifact("not 16 bytes") }
        return AmountModel(
            columns: artifact.bytes.loadUnaligned(as: Int.self),
            mean: artifact.bytes.loadUnaligned(fromByteOffset: 8, as: Double.self))
    }
}

final class AmountModel: DetectorModel {
    let columns: Int
    let mean: Double

    init(columns: Int, mean: Double) {
        self.columns = columns
        self.mean = mean
    }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) {
        for row in 0..<rows.count {
            let amount = Double(rows[row][0])
            scores[row] = amount.isNaN ? 0 : -abs(amount - mean)
        }
    }

    func encode() -> [UInt8] {
        withUnsafeBytes(of: columns) { Array($0) } + withUnsafeBytes(of: mean) { Array($0) }
    }
}

extension Workshop {
    /// A file as others write it: no labels, and without most of the optional columns.
    func put(unlabelled transactions: [Transaction], _ day: LakeDay) throws {
        let writer = try ParquetWriter(columns: [
            ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text),
            ParquetColumn("amount", .real), ParquetColumn("timestamp", .timestampMilliseconds),
            ParquetColumn("merchant_id", .text, isNullable: true),
        ])
        try writer.append([
            .text(TextColumn(transactions.map(\.transactionID))),
            .text(TextColumn(transactions.map(\.userID))),
            .real(transactions.map(\.amount)),
            .timestampMilliseconds(transactions.map(\.timestampMilliseconds)),
            .text(TextColumn(transactions.map(\.merchantID))),
        ])
        try lake.put("processed/\(day.path)/part-0.parquet", try writer.finish(), if: .always)
    }
}

/// What closures of a test have seen. Thread-safe.
final class Log<Element>: Sendable {
    private let state = Mutex<Box>(Box())

    private struct Box: @unchecked Sendable {  // only touched inside the lock
        var elements: [Element] = []
    }

    var all: [Element] { state.withLock { $0 }.elements }
    func append(_ element: Element) {
        let box = Boxed(element)
        state.withLock { $0.elements.append(box.element) }
    }

    private struct Boxed: @unchecked Sendable {  // handed over once
        let element: Element
        init(_ element: Element) { self.element = element }
    }
}
