import DetectorAPI
import Foundation
import Logging
import Models
import ObjectStore
import Plugins
import Synchronization
import Transactions

/// A great many users with models of their own, in one process: start-up, memory, disk, cold loads, and how many of them
/// can be scored in a minute. Broker and Redis are left out: `end-to-end` measures those.
func benchmarkTenancy(users: Int) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ml-tenancy-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
    print("\ntenancy: \(users) users with a model of their own, one process")
    var tenancy = try Tenancy(folder: folder.path, users: users, logger: logger)
    try tenancy.fill()
    try tenancy.start()
    try tenancy.serve()
    try tenancy.promoteUnderLoad()
}

struct Tenancy {
    private let folder: String
    let users: Int
    let logger: Logger
    let store: ModelStore
    private let catalogue: Catalogue
    private let registry: DetectorRegistry
    /// Trained models, of which each is stored for many users.
    private var samples: [Artifact] = []

    /// Ready models in memory, as a worker would be given.
    private static let memoryBytes = 2 << 30

    init(folder: String, users: Int, logger: Logger) throws {
        self.folder = folder
        self.users = users
        self.logger = logger
        store = ModelStore(objects: DirectoryObjectStore(root: folder + "/store"))
        catalogue = Catalogue(objects: store.objects)
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        registry = DetectorRegistry(
            ownFolder: (executable as NSString).deletingLastPathComponent, logger: logger)
        registry.rescan()
    }

    func process(_ cache: String, memory: Int = Tenancy.memoryBytes) throws -> (
        promotion: Promotion, router: ModelRouter, cache: ModelCache
    ) {
        let cache = try ModelCache(path: folder + "/" + cache, maximumSize: 64 << 30, logger: logger)
        let router = ModelRouter(
            store: store, cache: cache, registry: registry, maximumSize: memory, logger: logger)
        let promotion = Promotion(
            store: store, catalogue: catalogue, cache: cache, router: router, events: InProcessModelEvents())
        return (promotion, router, cache)
    }

    func id(_ user: Int) -> String { "user-\(user)" }

    /// Some hundred models that were trained, each stored for many users.
    mutating func fill() throws {
        let trained = folder + "/trained"
        try FileManager.default.createDirectory(atPath: trained, withIntermediateDirectories: true)
        // What a user gets where nobody names a detector.
        let models = try TrainedModels(
            folder: trained, users: 300, detector: "tail-surprise", logger: logger)
        try models.giveEveryUserAModel()
        let originals = ModelStore(objects: DirectoryObjectStore(root: trained + "/store"))
        let global = try Self.artifact(.global, in: originals)
        samples = (1...300).compactMap { user -> Artifact? in
            let digits = "\(user)"
            let name = "user-" + String(repeating: "0", count: 6 - digits.count) + digits
            return try? Self.artifact(.user(name), in: originals)
        }
        guard !samples.isEmpty else { throw ModelLoadError.notFound(tenant: "any user", version: 1) }
        let start = ContinuousClock.now
        _ = try store.publish(global.header, payload: Array(global.payload.bytes))
        let size = try publish(1...users, version: 1, name: "benchmark") { packed in
            try catalogue.activate(
                packed.map { model, hash in
                    Activation(
                        .user(model.userID), version: model.version, sha256: hash, place: model.place,
                        reason: "benchmark")
                }, by: "benchmark", reason: "", timeMilliseconds: 0)
        }
        try catalogue.activate(
            [Activation(.global, version: 1)], by: "benchmark", reason: "", timeMilliseconds: 0)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        Self.tell(
            "stored in packs", "%.0f models a second, %.1f kB each", Double(users) / seconds,
            Double(size) / Double(users) / 1_000)
    }

    /// Stores a version for users, a pack a shard.
    ///
    /// - Parameter body: Told what was stored.
    /// - Returns: Bytes.
    func publish(
        _ users: ClosedRange<Int>, version: Int, name: String,
        _ body: ([(ModelStore.PackedVersion, ArtifactHash?)]) throws -> Void
    ) throws -> Int {
        var size = 0
        let byShard = Dictionary(grouping: users) { Tenant.shard(id($0)) }
        for shard in Tenant.shards {
            var writer = store.packWriter(createdMilliseconds: 0)
            var hashes: [String: ArtifactHash] = [:]
            for user in byShard[shard] ?? [] {
                let sample = samples[(user + version - 1) % samples.count]
                var header = sample.header
                header.userID = id(user)
                header.version = version
                let payload = Array(sample.payload.bytes)
                try writer.add(header, payload: payload)
                hashes[id(user)] = try Artifact.encode(header, payload: payload, key: nil).withUnsafeBytes {
                    ArtifactHash(of: $0)
                }
            }
            size += writer.sizeBytes
            guard !writer.isEmpty else { continue }
            try body(try store.publish(writer, shard: shard, name: name).map { ($0, hashes[$0.userID]) })
        }
        return size
    }

    private static func artifact(_ tenant: Tenant, in store: ModelStore) throws -> Artifact {
        guard let version = try store.versions(of: tenant).last,
            let bytes = try store.bytes(of: tenant, version: version)
        else { throw ModelLoadError.notFound(tenant: tenant.description, version: 1) }
        return try Artifact(decoding: bytes, key: nil)
    }

    func start() throws {
        let before = Self.residentBytes()
        var start = ContinuousClock.now
        let process = try process("cache.sqlite")
        _ = try process.promotion.start(logger: logger)
        let cold = (ContinuousClock.now - start) / .seconds(1)
        let table = process.router.snapshot()
        Self.tell("start from the store", "%.1f s, %ld users", cold, table.userCount)
        start = .now
        let again = try self.process("cache.sqlite")
        _ = try again.promotion.start(logger: logger)
        Self.tell("start again, from SQLite", "%.1f s", (ContinuousClock.now - start) / .seconds(1))
        let size =
            try FileManager.default.attributesOfItem(atPath: folder + "/cache.sqlite")[.size] as? Int ?? 0
        Self.tell(
            "bytes a user", "%.0f in the table, %.0f in SQLite, %.0f resident (two tables)",
            Double(table.sizeBytes) / Double(users), Double(size) / Double(users),
            Double(Self.residentBytes() - before) / Double(users))
    }

    func serve() throws {
        let (promotion, router, cache) = try process("cache.sqlite")
        _ = try promotion.start(logger: logger)
        var random = SeededGenerator(seed: 7)
        // What nobody has asked for yet comes from its pack, the same again from SQLite.
        let some = (0..<min(users, 20_000)).map { _ in 1 + Int(random.next() % UInt64(users)) }
        let cold = try process("cache.sqlite", memory: 0)
        _ = try cold.promotion.start(logger: logger)
        Self.tellTimes("cold load from a pack", try some.map { try load($0, cold.router) })
        cold.cache.writeUnwritten()
        Self.tellTimes("cold load from SQLite", try some.map { try load($0, cold.router) })
        let begun = Self.processorMicroseconds()
        let wall = ContinuousClock.now
        for start in stride(from: 0, to: some.count, by: Self.batch) {
            try load(Array(some[start..<min(start + Self.batch, some.count)]), cold.router)
        }
        Self.tell(
            "the same in batches of 500 users", "%.0f us a user, %.0f us of processor time",
            (ContinuousClock.now - wall) / .microseconds(1) / Double(some.count),
            (Self.processorMicroseconds() - begun) / Double(some.count))

        // Everybody once: as on the first day, and after a restart.
        try everybodyOnce("packs", router)
        cache.writeUnwritten()
        Self.tell(
            "artifacts in SQLite", "%.1f kB a user", Double(try cache.sizeBytes()) / Double(users) / 1e3)
        let restarted = try process("cache.sqlite")
        _ = try restarted.promotion.start(logger: logger)
        try everybodyOnce("SQLite", restarted.router)
        Self.tell(
            "models in memory", "%.0f MB of %.0f, by count", Double(router.sizeBytes) / 1e6,
            Double(Self.memoryBytes) / 1e6)
        Self.tell("resident", "%.0f MB", Double(Self.residentBytes()) / 1e6)

        // Zipf's law: the r-th most active user has 1 / r of the first one's traffic.
        var hits = 0
        let draws = 1_000_000
        let traffic = ContinuousClock.now
        for _ in 0..<draws {
            let user = Int(exp(random.unit() * log(Double(users) + 1)))
            if try load(max(1, min(user, users)), router).wall < Self.hitMicroseconds { hits += 1 }
        }
        let rate = Double(draws) / ((ContinuousClock.now - traffic) / .seconds(1))
        Self.tell(
            "Zipf traffic, one thread", "%.0f scores a second, %.1f %% from memory", rate,
            Double(hits) / Double(draws) * 100)
        Self.tell("resident", "%.0f MB", Double(Self.residentBytes()) / 1e6)
    }

    /// Different users of a worker's batch.
    static let batch = 500

    /// A row of every user, by two threads, each with batches as a worker has them.
    private func everybodyOnce(_ place: String, _ router: ModelRouter) throws {
        let start = ContinuousClock.now
        let processor = Self.processMicroseconds()
        let group = DispatchGroup()
        let failure = Mutex<(any Error)?>(nil)
        for half in 0..<2 {
            group.enter()
            Thread {
                defer { group.leave() }
                for first in stride(from: 1 + half * Self.batch, through: users, by: 2 * Self.batch) {
                    do {
                        try load(Array(first..<min(first + Self.batch, users + 1)), router)
                    } catch { return failure.withLock { $0 = error } }
                }
            }.start()
        }
        group.wait()
        if let error = failure.withLock({ $0 }) { throw error }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        Self.tell(
            "distinct users, their models from \(place)", "%.0f a minute, %.0f us of processor time each",
            Double(users) / seconds * 60, (Self.processMicroseconds() - processor) / Double(users))
    }

    /// A load takes longer.
    private static let hitMicroseconds = 20.0

    private struct Took {
        /// Microseconds.
        let wall: Double
        let processor: Double
    }

    /// Routes and scores a row of a user.
    private func load(_ user: Int, _ router: ModelRouter) throws -> Took {
        var id = id(user)
        let processor = Self.processorMicroseconds()
        let start = ContinuousClock.now
        let route = try id.withUTF8 {
            try router.model(
                for: $0, hash: TextHash.hash(UnsafeRawBufferPointer($0)), in: router.snapshot())
        }
        try Self.score(route, id)
        return Took(
            wall: (ContinuousClock.now - start) / .microseconds(1),
            processor: Self.processorMicroseconds() - processor)
    }

    /// Routes and scores a row of each of some users.
    ///
    /// - Returns: The oldest version that scored one.
    @discardableResult
    func load(_ users: [Int], _ router: ModelRouter) throws -> Int {
        let ids = users.map { Array(id($0).utf8) }
        let bytes = ids.flatMap { $0 }
        return try bytes.withUnsafeBufferPointer { bytes in
            var end = 0
            let keys = ids.map { id -> (id: UnsafeBufferPointer<UInt8>, hash: UInt64) in
                let key = UnsafeBufferPointer(rebasing: bytes[end..<end + id.count])
                end += id.count
                return (key, TextHash.hash(UnsafeRawBufferPointer(key)))
            }
            return try router.models(for: keys, in: router.snapshot()).reduce(Int.max) {
                min($0, try Self.score($1, "").version)
            }
        }
    }

    @discardableResult
    private static func score(_ route: Route, _ id: String) throws -> ReadyModel {
        guard case .user(let ready) = route else { throw ModelLoadError.notFound(tenant: id, version: 1) }
        let row = [Float](repeating: 0, count: ready.model.columns)
        var score = 0.0
        try row.withUnsafeBufferPointer { row in
            try withUnsafeMutablePointer(to: &score) {
                try ready.model.score(
                    FeatureRows(row, columns: ready.model.columns),
                    into: UnsafeMutableBufferPointer(start: $0, count: 1))
            }
        }
        return ready
    }

    /// Of this thread.
    private static func processorMicroseconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
    }

    /// Of all threads.
    private static func processMicroseconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
    }

    static func tell(_ name: String, _ format: String, _ values: any CVarArg...) {
        print("  \(name): " + String(format: format, arguments: values))
    }

    private static func tellTimes(_ name: String, _ times: [Took]) {
        func quantiles(_ times: [Double]) -> String {
            let times = times.sorted()
            return [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map { name, share in
                let time = times[min(times.count - 1, Int(Double(times.count) * share))]
                return String(format: "\(name) %.0f us", time)
            }.joined(separator: ", ")
        }
        print("  \(name): \(quantiles(times.map(\.wall))), of \(times.count)")
        print("      of processor time: \(quantiles(times.map(\.processor)))")
    }

    private static func residentBytes() -> Int {
        let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")
        return (fields.flatMap { $0.count > 1 ? Int($0[1]) : nil } ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
