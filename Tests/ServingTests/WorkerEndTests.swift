import Foundation
import Logging
import Models
import ObjectStore
import Plugins
import Retrying
import Synchronization
import Testing

@testable import Serving

/// What ends a worker, and what it only waits for.
@Suite struct WorkerEndTests {
    private struct Failure: Retryable { let isRetryable: Bool }
    private struct Unexplained: Error {}

    private let folder = FileManager.default.temporaryDirectory.appending(path: "worker-\(UUID())").path
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func worker(
        isInformed: (@Sendable () -> Bool)? = nil, opening: @escaping @Sendable () throws -> Never
    ) throws -> ScoringWorker {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let models = ModelStore(objects: DirectoryObjectStore(root: folder), hmacKey: nil)
        let router = ModelRouter(
            store: models,
            cache: try ModelCache(path: "\(folder)/cache", maximumSize: 1 << 24, logger: Self.logger),
            registry: DetectorRegistry(logger: Self.logger), maximumSize: 1 << 24, logger: Self.logger)
        var settings = ScoringWorker.Settings()
        settings.backoffMilliseconds = 1...1
        settings.isInformed = isInformed
        return ScoringWorker(
            makeStream: { try opening() }, windows: MemoryWindowStore(), router: router, settings: settings,
            status: ServingStatus(), logger: Self.logger)
    }

    /// How often a stream was opened before the worker gave up, and with what.
    private func sessions(
        stopAfter limit: Int = 100, isInformed: (@Sendable () -> Bool)? = nil,
        failing error: @escaping @Sendable () -> any Error
    ) throws -> (count: Int, error: (any Error)?) {
        let opened = Mutex(0)
        let stop = Mutex<(@Sendable () -> Void)?>(nil)
        let worker = try worker(isInformed: isInformed) {
            let count = opened.withLock { count in
                count += 1
                return count
            }
            if count == limit { stop.withLock { $0 }?() }
            throw error()
        }
        stop.withLock { $0 = { worker.stop() } }
        do {
            try worker.run()
            return (opened.withLock { $0 }, nil)
        } catch {
            return (opened.withLock { $0 }, error)
        }
    }

    @Test func aLastingErrorEndsItAtOnce() throws {
        let (count, error) = try sessions { SessionEnded(Failure(isRetryable: false), isRetryable: false) }
        #expect(count == 1)
        #expect(error is Failure)
    }

    @Test func aPassingErrorIsFollowedByANewSession() throws {
        let (count, error) = try sessions(stopAfter: 20) { Failure(isRetryable: true) }
        #expect(count == 20)
        #expect(error == nil)
    }

    /// The group would give it partitions that others can read.
    @Test func noStreamIsOpenedBeforeItIsKnownWhatServes() throws {
        let asked = Mutex(0)
        let isInformed: @Sendable () -> Bool = {
            asked.withLock { asked in
                asked += 1
                return asked > 3
            }
        }
        let (count, error) = try sessions(stopAfter: 1, isInformed: isInformed) {
            Failure(isRetryable: asked.withLock { $0 } > 3)
        }
        #expect(count == 1)
        #expect(error == nil)
    }

    @Test func anErrorThatSaysNothingIsNotTriedForEver() throws {
        let (count, error) = try sessions { Unexplained() }
        #expect(count == 5)
        #expect(error is Unexplained)
    }

    /// One that goes on alone would read its partitions and leave those of the other to nobody.
    @Test func aWorkerThatFailsEndsTheOthers() throws {
        for place in 0..<2 {
            var workers = [try worker { throw Failure(isRetryable: true) }]
            workers.insert(
                try worker { throw SessionEnded(Failure(isRetryable: false), isRetryable: false) }, at: place)
            #expect(throws: Failure.self) { try ScoringWorkers(workers).run() }
        }
    }

    @Test func allWorkersAreStoppedTogether() throws {
        let stop = Mutex<(@Sendable () -> Void)?>(nil)
        let opened = Mutex(0)
        let two = try (0..<2).map { _ in
            try worker {
                let count = opened.withLock { count in
                    count += 1
                    return count
                }
                if count == 10 { stop.withLock { $0 }?() }
                throw Failure(isRetryable: true)
            }
        }
        let workers = ScoringWorkers(two)
        stop.withLock { $0 = { workers.stop() } }
        try workers.run()
        #expect(opened.withLock { $0 } >= 10)
    }
}
