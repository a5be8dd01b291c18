import DetectorAPI
import Features
import Foundation
import Logging
import Models
import ObjectStore
import Plugins
import Transactions

/// How long a user's model takes to load from this machine's disk, and what routing a million users costs.
func benchmarkModelLoading() throws {
    print("\nmodels")
    let folder = FileManager.default.temporaryDirectory.appending(path: "ml-benchmark-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
    let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let registry = DetectorRegistry(
        ownFolder: (executable as NSString).deletingLastPathComponent, logger: logger)
    registry.rescan()
    for trees in [25, 60, 100] {
        try benchmarkColdLoading(folder.path + "/\(trees)", trees: trees, registry: registry, logger: logger)
    }
    try benchmarkRouting(folder.path + "/routing", registry: registry, logger: logger)
}

/// Models of 500 rows for 400 users, each loaded in turn where memory holds one.
private func benchmarkColdLoading(
    _ folder: String, trees: Int, registry: DetectorRegistry, logger: Logger
) throws {
    guard let detector = registry.detector(id: "isolation-forest") else {
        return print("  the isolation forest is not beside the executable: swift build first")
    }
    let users = (0..<400).map { "user-\($0)" }
    let store = ModelStore(objects: DirectoryObjectStore(root: folder + "/store"))
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let cache = try ModelCache(path: folder + "/cache.sqlite", maximumSize: 1 << 30, logger: logger)
    func router() -> ModelRouter {
        ModelRouter(store: store, cache: cache, registry: registry, maximumSize: 1, logger: logger)
    }
    let payload = try fittedForest(detector, trees: trees)
    var active: [Tenant: ActiveModel] = [:]
    for user in users {
        let header = ArtifactHeader(
            userID: user, detectorID: detector.info.id, detectorVersion: detector.info.version,
            parameters: [:], seed: 1, preprocessing: .identity, threshold: -0.6, contamination: 0.01,
            trainingRange: .init(from: "2026-01-01", to: "2026-01-31"), rowCount: 500, metrics: [:],
            parent: nil, createdMilliseconds: 0, jobID: nil)
        _ = try store.publish(header, payload: payload)
        active[.user(user)] = ActiveModel(version: 1)
    }
    let warm = router()
    try warm.replace(active)
    try load(users, warm)
    // Memory holds one model at a time, so each is loaded from the disk's cache, which the operating system has in memory.
    let seconds = try bestSecondsPerRound(rounds: 20) { try load(users, warm) }
    let size = try cache.sizeBytes() / users.count
    report("cold load from SQLite, \(trees) trees, \(size) bytes", seconds / Double(users.count))
}

private func load(_ users: [String], _ router: ModelRouter) throws {
    let table = router.snapshot()
    for var user in users {
        try user.withUTF8 { bytes in
            let hash = TextHash.hash(UnsafeRawBufferPointer(bytes))
            guard case .user = try router.model(for: bytes, hash: hash, in: table) else {
                preconditionFailure("the user's own model did not serve")
            }
        }
    }
}

private func fittedForest(_ detector: LoadedDetector, trees: Int) throws -> [UInt8] {
    let columns = try PreprocessingPlan(.identity).columnCount
    var generator = SeededGenerator(seed: 1)
    let values = (0..<500 * columns).map { _ in Float(generator.unit()) }
    let parameters = try detector.info.checked([
        "n_estimators": .integer(trees), "storage": .text("packed"),
    ])
    return try values.withUnsafeBufferPointer { values in
        try detector.detector.fit(
            FeatureRows(values, columns: columns), labels: nil,
            context: FitContext(
                seed: 1, parameters: parameters, columns: (0..<columns).map { FeatureColumn(name: "\($0)") })
        ).encode()
    }
}

/// A million users with models of their own: memory, building, look-ups of users in random order, and one change.
private func benchmarkRouting(_ folder: String, registry: DetectorRegistry, logger: Logger) throws {
    let count = 1_000_000
    var active: [Tenant: ActiveModel] = [:]
    active.reserveCapacity(count)
    for index in 0..<count { active[.user("user-\(100_000_000 + index)")] = ActiveModel(version: 1) }
    var table = RoutingTable(active)
    // The first one has grown the heap by what making a table takes on the way; these take what they keep.
    let before = residentBytes()
    var tables: [RoutingTable] = []
    let building = ContinuousClock().measure { tables = (0..<4).map { _ in RoutingTable(active) } }
    let size = (residentBytes() - before) / tables.count / count
    print("  \(table.userCount) users with 14-byte ids in the table: \(size) bytes a user")
    report("build the table", building / .seconds(tables.count))
    table = tables[0]
    var generator = SeededGenerator(seed: 3)
    // As the parser gives them: bytes and hashes.
    let wanted = (0..<100_000).map { _ in Array("user-\(100_000_000 + generator.below(count))".utf8) }
    for (name, ids) in [("their own", wanted), ("none", wanted.map { $0 + [UInt8(ascii: "x")] })] {
        let hashes = ids.map { $0.withUnsafeBytes { TextHash.hash($0) } }
        let seconds = bestSecondsPerRound(rounds: 20) {
            var found = 0
            for (id, hash) in zip(ids, hashes) {
                found += id.withUnsafeBufferPointer { table.version(of: $0, hash: hash) } ?? 0
            }
            precondition(found == 0 || found == ids.count)
        }
        report("look up a user whose model is \(name)", seconds / Double(ids.count))
    }
}

/// Of this process's memory, what is in RAM.
private func residentBytes() -> Int {
    let fields =
        (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}

private func report(_ what: String, _ seconds: Double) {
    let padded = what.padding(toLength: 52, withPad: " ", startingAt: 0)
    print("  \(padded)" + String(format: "%12.3f us, %12.0f /s", seconds * 1e6, 1 / seconds))
}

/// Of the best round, which is the least disturbed one.
private func bestSecondsPerRound(rounds: Int, _ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<rounds {
        let duration = try ContinuousClock().measure(body)
        best = min(best, duration / .seconds(1))
    }
    return best
}
