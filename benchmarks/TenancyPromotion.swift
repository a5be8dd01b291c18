import Foundation
import Models
import Synchronization

/// Promotions while a thread scores batches without a pause: the global model's, and those of up to 100,000 users, of whom
/// some are being scored and have their models in memory.
extension Tenancy {
    /// Users that are scored meanwhile.
    private static let hotUsers = 20_000
    private static let promotedUsers = 100_000
    private static let quietSeconds = 5.0

    private struct Batch {
        /// When it began, and how long it took, seconds.
        let start: ContinuousClock.Instant
        let seconds: Double
        let oldestVersion: Int
    }

    func promoteUnderLoad() throws {
        let (promotion, router, _) = try process("promoting.sqlite")
        _ = try promotion.start(logger: logger)
        let hot = min(users, Self.hotUsers)
        let count = min(users, Self.promotedUsers)
        var versions: [Tenant: Int] = [:]
        var places: [Tenant: PackPlace] = [:]
        _ = try publish(1...count, version: 2, name: "promoted") { packed in
            for (model, _) in packed {
                versions[.user(model.userID)] = model.version
                places[.user(model.userID)] = model.place
            }
        }
        let global = try router.globalModel()
        for start in stride(from: 1, to: hot, by: Self.batch) {
            try load(Array(start...min(start + Self.batch - 1, hot)), router)
        }
        let batches = Mutex<(done: [Batch], failure: (any Error)?)>(([], nil))
        let isOver = Atomic<Bool>(false)
        let ended = DispatchSemaphore(value: 0)
        Thread {
            defer { ended.signal() }
            var first = 1
            while !isOver.load(ordering: .relaxed) {
                let start = ContinuousClock.now
                do {
                    let oldest = try load(Array(first..<min(first + Self.batch, hot + 1)), router)
                    let seconds = (ContinuousClock.now - start) / .seconds(1)
                    batches.withLock {
                        $0.done.append(Batch(start: start, seconds: seconds, oldestVersion: oldest))
                    }
                } catch { return batches.withLock { $0.failure = error } }
                first = first + Self.batch > hot ? 1 : first + Self.batch
            }
        }.start()
        Thread.sleep(forTimeInterval: Self.quietSeconds)
        let begun = ContinuousClock.now
        var globalSeconds = 0.0
        if let global, let bytes = try store.bytes(of: .global, version: global.version) {
            let artifact = try Artifact(decoding: bytes, key: nil)
            let published = try store.publish(artifact.header, payload: Array(artifact.payload.bytes))
            let start = ContinuousClock.now
            try promotion.promote([.global: published.version], by: "benchmark", reason: "")
            globalSeconds = (ContinuousClock.now - start) / .seconds(1)
        }
        // As a bulk job does: shard by shard.
        for (_, tenants) in Dictionary(grouping: versions.keys, by: { places[$0]?.pack }) {
            let chosen = Dictionary(
                uniqueKeysWithValues: tenants.compactMap { user in versions[user].map { (user, $0) } })
            try promotion.promote(
                chosen,
                places: Dictionary(
                    uniqueKeysWithValues: tenants.compactMap { user in places[user].map { (user, $0) } }),
                by: "benchmark", reason: "")
        }
        let promoted = ContinuousClock.now
        Thread.sleep(forTimeInterval: 2)
        isOver.store(true, ordering: .relaxed)
        ended.wait()
        let (done, failure) = batches.withLock { $0 }
        if let failure { throw failure }
        let seconds = (promoted - begun) / .seconds(1)
        Self.tell(
            "promoted under load", "the global model in %.3f s, then %ld users in %.1f s", globalSeconds,
            count,
            seconds - globalSeconds)
        let late = done.filter { $0.start > promoted && $0.oldestVersion < 2 }.count
        Self.tell(
            "batches that began after the answer", "%ld, %ld of them with an old version",
            done.filter { $0.start > promoted }.count, late)
        for (name, chosen) in [
            ("before", done.filter { $0.start < begun }),
            ("meanwhile", done.filter { $0.start >= begun && $0.start <= promoted }),
            ("after", done.filter { $0.start > promoted }),
        ] {
            let times = chosen.map(\.seconds).sorted()
            guard !times.isEmpty else { continue }
            func quantile(_ share: Double) -> Double {
                1e3 * times[min(times.count - 1, Int(share * Double(times.count)))]
            }
            Self.tell(
                "a batch of 500 users, \(name)", "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, of %ld",
                quantile(0.5),
                quantile(0.99), quantile(0.999), times.count)
        }
    }
}
