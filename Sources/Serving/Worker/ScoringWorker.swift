import Exact
import Foundation
import Logging
import Models
import Outcomes
import Retrying
import Rules
import SchemaRegistry
import Synchronization

/// Runs the six stages over a stream until it ends or is told to stop.
///
/// Two threads: one reads and parses batch n+1 while the other takes batch n through windows, models and
/// delivery, in the order that `BatchProtocol` says (`BatchDriver`). When something outside is away the second waits and tries the same batch again, the queue between
/// them fills, and the first stops reading.
public final class ScoringWorker: Sendable {
    public struct Settings: Sendable {
        public var limits = BatchLimits()
        public var publish = PublishedVerdicts.anomalies
        /// Verdicts are named as events, with the group of alerts that they belong to, for a stream that publishes them so.
        public var eventGroups: AlertGroups?
        /// Features named for each anomaly.
        public var reasonCount = 3
        public var windows = WindowStage.Settings()
        /// Of times that do not say theirs; nil: they are refused.
        public var zone: PlaceZone?
        /// Of records that Confluent's serialisers framed; nil: of those JSON alone is read.
        public var schemas: SchemaRegistry?
        /// Whether this machine knows which models and rules serve: before it does no stream is opened, as a group that it joins
        /// gives it partitions that others can read. nil: it does.
        public var isInformed: (@Sendable () -> Bool)?
        /// What happened before the stream; nil: windows begin empty.
        public var history: WindowHistory?
        /// A reference table older than that is marked in verdicts. Hours, of event time.
        public var referenceAgeHours = 48
        /// Told what became of each batch, on the scoring thread, which it must not hold up; nil: nobody follows.
        public var onTraced: (@Sendable (BatchTrace) -> Void)?
        /// Waits between two attempts: doubled from the first to the last, milliseconds.
        public var backoffMilliseconds = 100...5_000

        public init() {}

        /// A table for a batch, with the age beyond which it is marked.
        func references(_ ready: ReadyReferences) -> BatchReferences {
            BatchReferences(ready: ready, ageHours: referenceAgeHours)
        }
    }

    private let makeStream: @Sendable () throws -> any TransactionStream
    private let windows: any WindowStore
    private let router: ModelRouter
    private let references: CurrentReferences?
    private let rules: CurrentRules?
    private let settings: Settings
    private let status: ServingStatus
    private let place: ServingStatus.Worker
    private let onDelivered: @Sendable (ScoredBatch, any TransactionStream) -> Void
    private let onEnded: @Sendable (any TransactionStream) -> Void
    private let logger: Logger
    private let stopping = StopSignal()
    private let control = Mutex(Control())

    private struct Control {
        var reader: BatchReader?
        var stream: (any TransactionStream)?
    }

    /// - Parameters:
    ///   - makeStream: Opens the stream; called again, after a wait, when a session has failed.
    ///   - references: nil: models that look at reference tables score without.
    ///   - rules: nil: none decides about alerts.
    ///   - status: Several workers may share one.
    ///   - onDelivered: Called on the scoring thread after each delivered batch.
    ///   - onEnded: Called on the scoring thread when a session has ended, before its stream is closed.
    public init(
        makeStream: @escaping @Sendable () throws -> any TransactionStream, windows: any WindowStore,
        router: ModelRouter, references: CurrentReferences? = nil, rules: CurrentRules? = nil,
        settings: Settings,
        status: ServingStatus, logger: Logger,
        onDelivered: @escaping @Sendable (ScoredBatch, any TransactionStream) -> Void = { _, _ in },
        onEnded: @escaping @Sendable (any TransactionStream) -> Void = { _ in }
    ) {
        self.makeStream = makeStream
        self.windows = windows
        self.router = router
        self.references = references
        self.rules = rules
        self.settings = settings
        self.status = status
        place = status.join()
        self.onDelivered = onDelivered
        self.onEnded = onEnded
        self.logger = logger
    }

    /// Makes `run` return after the batch that is being worked on.
    public func stop() {
        stopping.give()
        control.withLock { control in
            control.stream?.stop()
            // The scoring thread may be waiting for a batch that does not come, the reader for one to be taken.
            control.reader?.stop()
        }
    }

    /// Serves, blocking the calling thread, until the stream ends or `stop` is called.
    ///
    /// - Throws: What is lasting: no other session would fare better. What says nothing of itself is taken for lasting
    ///   when it has ended five sessions in a row without a batch between them.
    public func run() throws {
        var backoff = Backoff(settings.backoffMilliseconds)
        var unexplained = 0
        awaitInformation()
        while !isStopped {
            do {
                try runSession {
                    backoff.reset()
                    unexplained = 0
                }
                break
            } catch {
                if !error.isPassing { unexplained += 1 }
                if error.isLasting || unexplained == 5 {
                    status.enter(.waiting("\(error)"), of: place)
                    throw (error as? SessionEnded)?.reason ?? error
                }
                logger.warning("serving starts a new session", metadata: ["reason": "\(error)"])
                status.enter(.waiting("\(error)"), of: place)
                backoff.wait(stopping)
            }
        }
        status.enter(isStopped ? .stopped : .finished, of: place)
    }

    /// Serves one session to its end, blocking the calling thread. Nothing is waited for: a disk that is full, and whatever else
    /// `run` would try again, ends it.
    ///
    /// - Throws: `SessionEnded` with what ended it, or that itself.
    public func runOnce() throws {
        try runSession(waits: false) {}
        status.enter(isStopped ? .stopped : .finished, of: place)
    }

    private var isStopped: Bool { stopping.isGiven }

    private func awaitInformation() {
        guard let isInformed = settings.isInformed, !isInformed() else { return }
        logger.warning("serving waits", metadata: ["reason": "\(ServingError.nothingKnown)"])
        status.enter(.waiting("\(ServingError.nothingKnown)"), of: place)
        while !isStopped, !isInformed() { stopping.wait(.milliseconds(100)) }
    }

    /// One stream from opening to closing.
    private func runSession(waits: Bool = true, onProgress: () -> Void) throws {
        let stream = try makeStream()
        logger.notice(
            "serving", metadata: ["stream": "\(stream.location)", "windows": "\(windows.location)"])
        status.enter(.running, of: place)
        let reader = BatchReader(
            stream: stream, limits: settings.limits, zone: settings.zone, schemas: settings.schemas,
            status: status, worker: place)
        control.withLock { control in
            (control.reader, control.stream) = (reader, stream)
            if isStopped { stream.stop() }
        }
        reader.start()
        defer {
            control.withLock { ($0.reader, $0.stream) = (nil, nil) }
            reader.stopAndJoin()
            onEnded(stream)
            stream.close()
        }
        var driver = BatchDriver(
            stages(stream), stream: stream, windows: windows.location,
            backoffMilliseconds: settings.backoffMilliseconds, waits: waits, stopping: stopping,
            status: status, worker: place, logger: logger)
        while !isStopped, let batch = reader.batches.take() {
            try settings.history?.precede(batch, in: windows)
            let clock = BatchClock(settings.onTraced == nil ? nil : status)
            if case .delivered(let scored) = try driver.run(batch) {
                if let onTraced = settings.onTraced { onTraced(clock.trace(scored, stream.location, status)) }
                onDelivered(scored, stream)
            }
            onProgress()
        }
        if !isStopped, let failure = reader.failure { throw failure }
    }

    /// When a batch was begun, and what the stages had taken until then.
    private struct BatchClock {
        private let start = Date().timeIntervalSince1970
        private let before: [ServingStatus.Stage: Double]

        /// - Parameter status: nil: nobody asks.
        init(_ status: ServingStatus?) { before = status?.stageSeconds ?? [:] }

        func trace(_ scored: ScoredBatch, _ stream: String, _ status: ServingStatus) -> BatchTrace {
            let consumed = scored.windowed.consumed
            // The reader's stage goes on beside, for the next batch.
            let stages = status.stageSeconds.filter { $0.key != .consume }
            return BatchTrace(
                startNanoseconds: UInt64(max(0, start * 1e9)),
                endNanoseconds: UInt64(max(0, Date().timeIntervalSince1970 * 1e9)),
                transactions: scored.count, anomalies: (0..<scored.count).count(where: scored.isAnomaly),
                deadLetters: consumed.deadLetters.count,
                stageSeconds: stages.merging(before) { $0 - $1 }.filter { stages[$0.key] != nil },
                stream: stream,
                links: consumed.traces.sorted { $0.key < $1.key }.prefix(BatchTrace.maximumLinks).map(\.value)
            )
        }
    }

    private func stages(_ stream: any TransactionStream) -> BatchStages {
        BatchStages(
            window: WindowStage(
                store: windows, writer: .random(in: 0...UInt64.max), settings: settings.windows),
            route: RouteStage(
                router: router, references: references, referenceAgeHours: settings.referenceAgeHours),
            score: ScoreStage(router: router, reasonCount: settings.reasonCount),
            rule: RuleStage(rules),
            publish: PublishStage(publish: settings.publish, eventGroups: settings.eventGroups),
            deliver: DeliverStage(stream: stream, windows: windows))
    }
}
