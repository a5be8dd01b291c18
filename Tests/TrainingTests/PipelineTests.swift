import DetectorAPI
import Features
import Foundation
import IsolationForest
import Lake
import Logging
import Models
import ObjectStore
import Plugins
import Testing
import Transactions

@testable import Training

/// From a lake to a model that serves, on a folder.
@Suite struct PipelineTests {
    private let folder = FileManager.default.temporaryDirectory.appending(
        path: "ml-training-\(UUID().uuidString)")
    private let start = LakeDay(dayNumber: 20_454)  // 2026-01-01

    private struct World {
        let pipeline: TrainingPipeline
        let store: ModelStore
        let catalogue: Catalogue
    }

    private func world(users: Int = 12, days: Int = 40, settings: TrainingPipeline.Settings = .init()) throws
        -> World
    {
        var data = GenerateDataSet(users: users, days: days, seed: 3, start: start, streamDays: 0)
        data.lateShare = 0
        _ = try data.write(to: folder.path) { _ in }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let registry = DetectorRegistry(logger: logger)
        registry.register(IsolationForest())
        let store = ModelStore(objects: DirectoryObjectStore(root: folder.path + "/store"))
        let cache = try ModelCache(path: folder.path + "/cache.sqlite", maximumSize: 1 << 30, logger: logger)
        let router = ModelRouter(
            store: store, cache: cache, registry: registry, maximumSize: 1 << 30, logger: logger)
        let catalogue = Catalogue(objects: store.objects)
        let promotion = Promotion(
            store: store, catalogue: catalogue, cache: cache, router: router, events: InProcessModelEvents())
        return World(
            pipeline: TrainingPipeline(
                lake: DirectoryObjectStore(root: folder.path + "/lake"), store: store, promotion: promotion,
                router: router, registry: registry, settings: settings, now: { 1 }), store: store,
            catalogue: catalogue)
    }

    private func run(_ world: World, _ request: TrainingRequest, job: String = "job") throws
        -> TrainingOutcome
    {
        try world.pipeline.run(request, jobID: job, isCancelled: { false }, report: { _, _ in })
    }

    private func request(user: String? = nil, all: Bool = false, promote: Bool = true) -> TrainingRequest {
        TrainingRequest(
            userID: user, allUsers: all, from: start, to: start.adding(days: 39), promote: promote)
    }

    @Test func trainsEvaluatesStoresAndPromotes() throws {
        let world = try world(users: 40)
        let outcome = try run(world, request())
        #expect(outcome.models == [.init(tenant: "global", version: 1, isPromoted: true)])
        #expect(try world.catalogue.active(.global) == 1)
        let header = try #require(try world.store.header(of: .global, version: 1))
        #expect(header.rowCount > 500)
        // The generator plants labelled frauds: all measures are there, and better than chance.
        for name in [
            "auroc", "average_precision", "precision_at_budget", "accuracy", "alert_rate", "score_stability",
        ] {
            #expect(header.metrics[name] != nil, "\(name)")
        }
        #expect(header.metrics["injected_auroc"] ?? 0 > 0.8)
    }

    @Test func theSameRequestGivesTheSameModel() throws {
        let world = try world()
        _ = try run(world, request(promote: false), job: "one")
        _ = try run(world, request(promote: false), job: "two")
        let payloads = try [1, 2].map {
            try #require(try world.store.header(of: .global, version: $0)).payloadSHA256
        }
        #expect(payloads[0] == payloads[1])
    }

    @Test func aJobThatIsRunAgainDoesNotStoreTwice() throws {
        let world = try world()
        _ = try run(world, request(promote: false))
        let again = try run(world, request())
        #expect(again.models == [.init(tenant: "global", version: 1, isPromoted: true)])
        #expect(try world.store.versions(of: .global) == [1])
    }

    @Test func usersModelsMustEarnTheirPlace() throws {
        var settings = TrainingPipeline.Settings()
        settings.minimumUserRows = 40
        let world = try world(settings: settings)
        #expect(throws: TrainingError.self) { try run(world, request(all: true)) }
        _ = try run(world, request())
        let outcome = try run(world, request(all: true), job: "users")
        #expect(!outcome.models.isEmpty)
        for model in outcome.models {
            let header = try #require(try world.store.header(of: .user(model.tenant), version: 1))
            let measures = ["average_precision", "injected_auroc"].filter {
                header.metrics["earned_own_\($0)"] != nil
            }
            let isBetter = measures.contains {
                header.metrics["earned_own_\($0)"] ?? 0 > header.metrics["earned_global_\($0)"] ?? 1
            }
            #expect(model.isPromoted == isBetter)
            #expect(try world.catalogue.active(.user(model.tenant)) == (isBetter ? 1 : nil))
        }
    }

    @Test func noTransactionsIsAnErrorThatSaysSo() throws {
        let world = try world(users: 2, days: 3)
        #expect(throws: TrainingError.self) { try run(world, request(user: "nobody")) }
    }

    /// What rules out skew: preparing history gives the very features that serving computes on the stream.
    @Test func preparedFeaturesAreThoseOfTheStream() throws {
        _ = try world(users: 5, days: 20)
        let reader = LakeReader(store: DirectoryObjectStore(root: folder.path + "/lake"))
        var prepared: [String: [UInt32]] = [:]
        let count = try prepare(
            reader, days: start.adding(days: 5)...start.adding(days: 19), warmUpDays: 5, userID: nil,
            isCancelled: { false }, progress: { _ in },
            body: { row in
                prepared[row.transactions.text(.transactionID, row.row) ?? ""] = row.features.map(
                    \.bitPattern)
            })
        #expect(count == prepared.count)

        let generator = TransactionGenerator(users: 5, seed: 3)
        var windows: [String: UserWindow] = [:]
        var compared = 0
        for day in 0..<20 {
            let lines = generator.day(start.adding(days: day)).map { $0.transaction.json() }
            var batch = TransactionBatch()
            let parser = TransactionParser()
            for line in lines {
                #expect(Array(line.utf8).withUnsafeBytes { parser.parse([$0], into: &batch) }.isEmpty)
            }
            for row in 0..<batch.count {
                let user = batch.text(.userID, row) ?? ""
                let event = WindowEvent(batch, row: row)
                var features = [Float](repeating: 0, count: UserWindow.featureCount)
                features.withUnsafeMutableBufferPointer {
                    windows[user, default: UserWindow()].writeFeatures(for: event, into: $0)
                }
                windows[user, default: UserWindow()].fold(event)
                guard day >= 5 else { continue }
                #expect(prepared[batch.text(.transactionID, row) ?? ""] == features.map(\.bitPattern))
                compared += 1
            }
        }
        #expect(compared == count)
    }
}
