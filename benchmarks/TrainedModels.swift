import DetectorAPI
import Foundation
import Lake
import Logging
import Models
import ObjectStore
import Plugins
import Training
import Transactions

/// Users' models: how many are trained, and how long one takes to load.
func benchmarkModels() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ml-benchmark-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
    print("\nusers' models: 2,000 users, 60 days")
    let models = try TrainedModels(folder: folder.path, users: 2_000, logger: logger)
    try models.giveEveryUserAModel()
    try models.printColdLoad()
}

/// A global model trained on generated history, and the same for every user when asked.
struct TrainedModels {
    let router: ModelRouter
    private let store: ModelStore
    private let cache: ModelCache
    private let registry: DetectorRegistry
    private let logger: Logger
    private let promotion: Promotion
    private let pipeline: TrainingPipeline
    private let users: Int
    private let days = 60
    /// The same whatever `auto` would choose.
    private let detector: String
    private let firstDay = LakeDay(parsing: "2026-01-01") ?? LakeDay(dayNumber: 20_454)

    /// - Parameter detector: The tables of docs/performance.md are of forests.
    init(folder: String, users: Int, detector: String = "isolation-forest", logger: Logger) throws {
        self.detector = detector
        let data = GenerateDataSet(users: users, days: days, seed: 5, start: firstDay, streamDays: 0)
        _ = try data.write(to: folder) { _ in }
        self.logger = logger
        registry = DetectorRegistry(
            ownFolder: (try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
                as NSString)
                .deletingLastPathComponent, logger: logger)
        registry.rescan()
        store = ModelStore(objects: DirectoryObjectStore(root: folder + "/store"))
        cache = try ModelCache(path: folder + "/cache.sqlite", maximumSize: 4 << 30, logger: logger)
        router = ModelRouter(
            store: store, cache: cache, registry: registry, maximumSize: 2 << 30, logger: logger)
        promotion = Promotion(
            store: store, catalogue: Catalogue(objects: store.objects), cache: cache, router: router,
            events: InProcessModelEvents())
        self.users = users
        pipeline = TrainingPipeline(
            lake: DirectoryObjectStore(root: folder + "/lake"), store: store, promotion: promotion,
            router: router, registry: registry)
        let request = TrainingRequest(
            from: firstDay, to: firstDay.adding(days: days - 1), detectorID: detector, promote: true)
        _ = try pipeline.run(request, jobID: "benchmark", isCancelled: { false }, report: { _, _ in })
    }

    /// A model for every user, trained on that user's own history, whether it has earned its place or not.
    func giveEveryUserAModel() throws {
        let request = TrainingRequest(
            allUsers: true, from: firstDay, to: firstDay.adding(days: days - 1), detectorID: detector)
        let start = ContinuousClock.now
        let outcome = try pipeline.run(
            request, jobID: "benchmark-users", isCancelled: { false }, report: { _, _ in })
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        var versions: [Tenant: Int] = [:]
        var size = 0
        for user in tenants {
            guard let version = try store.versions(of: user).last else { continue }
            versions[user] = version
            size += try store.bytes(of: user, version: version)?.bytes.count ?? 0
        }
        try promotion.promote(versions, by: "benchmark", reason: "")
        let trained = outcome.metrics["users_trained"] ?? 0
        print(
            "  (\(versions.count) users' models of \(size / max(versions.count, 1) / 1_000) kB, "
                + String(format: "%.0f a second: read, trained, judged and stored)", trained / seconds))
    }

    /// What a transaction waits for when its user's model is not in memory: read from SQLite, checked, made ready.
    func printColdLoad() throws {
        let router = ModelRouter(
            store: store, cache: cache, registry: registry, maximumSize: 0, logger: logger)
        try router.replace(try cache.active())
        let table = router.snapshot()
        var times: [Double] = []
        for _ in 0..<5 {
            times = []
            for user in tenants {
                guard var id = user.userID else { continue }
                try id.withUTF8 { id in
                    let hash = TextHash.hash(UnsafeRawBufferPointer(id))
                    let start = ContinuousClock.now
                    let route = try router.model(for: id, hash: hash, in: table)
                    if case .user = route { times.append((ContinuousClock.now - start) / .microseconds(1)) }
                }
            }
        }
        guard !times.isEmpty else { return print("  no user has a model to load") }
        times.sort()
        print(
            String(
                format:
                    "  cold load of a user's model from SQLite: %.0f us, median of %d; 99 %% under %.0f us",
                times[times.count / 2], times.count, times[times.count * 99 / 100]))
    }

    private var tenants: [Tenant] {
        (1...users).map { Tenant.user("user-" + String(repeating: "0", count: 6 - "\($0)".count) + "\($0)") }
    }
}
