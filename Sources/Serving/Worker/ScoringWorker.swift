import Exact
import Foundation
import Kafka
import Logging
import Models
import Outcomes
import Retrying
import Synchronization

/// Runs the five stages over a stream until it ends or is told to stop.
///
/// Two threads: one reads and parses batch n+1 while the other takes batch n through windows, models and
/// delivery. When something outside is away the second waits and tries the same batch again, the queue between
/// them fills, and the first stops reading.
public final class ScoringWorker: Sendable {
    public struct Settings: Sendable {
        public var limits = BatchLimits()
        public var publish = PublishedVerdicts.anomalies
        /// Verdicts are named as events, for a stream that publishes them so.
        public var namesEvents = false
        /// Features named for each anomaly.
        public var reasonCount = 3
        public var windows = WindowStage.Settings()
        /// Of times that do not say theirs; nil: they are refused.
        public var zone: PlaceZone?
        /// Called once with the first batch, before its windows are read; a batch that it throws for waits.
        public var prepareWindows: (@Sendable (ConsumedBatch) throws -> Void)?
        /// A reference table older than that is marked in verdicts. Hours, of event time.
        public var referenceAgeHours = 48
        /// Waits between two attempts: doubled from the first to the last, milliseconds.
        public var backoffMilliseconds = 100...5_000

        public init() {}

        /// A table for a batch, with the age beyond which it is marked.
        func references(_ ready: ReadyReferences) -> BatchReferences {
            BatchReferences(ready: ready, staleMilliseconds: Int64(referenceAgeHours) * 3_600_000)
        }
    }

    private let makeStream: @Sendable () throws -> any TransactionStream
    private let windows: any WindowStore
    private let router: ModelRouter
    private let references: CurrentReferences?
    private let settings: Settings
    private let status: ServingStatus
    private let onDelivered: @Sendable (ScoredBatch, any TransactionStream) -> Void
    private let onEnded: @Sendable (any TransactionStream) -> Void
    private let logger: Logger
    private let control = Mutex(Control())

    private struct Control {
        var isPrepared = false
        var isStopping = false
        var reader: BatchReader?
        var stream: (any TransactionStream)?
    }

    /// - Parameters:
    ///   - makeStream: Opens the stream; called again, after a wait, when a session has failed.
    ///   - references: nil: models that look at reference tables score without.
    ///   - onDelivered: Called on the scoring thread after each delivered batch.
    ///   - onEnded: Called on the scoring thread when a session has ended, before its stream is closed.
    public init(
        makeStream: @escaping @Sendable () throws -> any TransactionStream, windows: any WindowStore,
        router: ModelRouter, references: CurrentReferences? = nil, settings: Settings, status: ServingStatus,
        logger: Logger,
        onDelivered: @escaping @Sendable (ScoredBatch, any TransactionStream) -> Void = { _, _ in },
        onEnded: @escaping @Sendable (any TransactionStream) -> Void = { _ in }
    ) {
        self.makeStream = makeStream
        self.windows = windows
        self.router = router
        self.references = references
        self.settings = settings
        self.status = status
        self.onDelivered = onDelivered
        self.onEnded = onEnded
        self.logger = logger
    }

    /// Makes `run` return after the batch that is being worked on.
    public func stop() {
        control.withLock { control in
            control.isStopping = true
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
                    status.enter(.waiting("\(error)"))
                    throw (error as? SessionEnded)?.reason ?? error
                }
                logger.warning("serving starts a new session", metadata: ["reason": "\(error)"])
                status.enter(.waiting("\(error)"))
                backoff.wait { isStopped }
            }
        }
        status.enter(isStopped ? .stopped : .finished)
    }

    /// Serves one session to its end, blocking the calling thread.
    ///
    /// - Throws: What ended it, where `run` would begin another.
    public func runOnce() throws {
        try runSession {}
        status.enter(isStopped ? .stopped : .finished)
    }

    private var isStopped: Bool { control.withLock { $0.isStopping } }

    /// One stream from opening to closing.
    private func runSession(onProgress: () -> Void) throws {
        let stream = try makeStream()
        logger.notice(
            "serving", metadata: ["stream": "\(stream.location)", "windows": "\(windows.location)"])
        status.enter(.running)
        let reader = BatchReader(
            stream: stream, limits: settings.limits, zone: settings.zone, status: status)
        control.withLock { control in
            (control.reader, control.stream) = (reader, stream)
            if control.isStopping { stream.stop() }
        }
        reader.start()
        defer {
            control.withLock { ($0.reader, $0.stream) = (nil, nil) }
            reader.stopAndJoin()
            onEnded(stream)
            stream.close()
        }
        var stages = Stages(
            window: WindowStage(
                store: windows, writer: .random(in: 0...UInt64.max), settings: settings.windows),
            stream: stream)
        while !isStopped, let batch = reader.batches.take() {
            try prepareWindows(batch)
            try process(batch, stages: &stages)
            onProgress()
        }
        if !isStopped, let failure = reader.failure { throw failure }
    }

    private func prepareWindows(_ batch: ConsumedBatch) throws {
        guard let prepare = settings.prepareWindows, !control.withLock({ $0.isPrepared }) else { return }
        try prepare(batch)
        control.withLock { $0.isPrepared = true }
    }

    private struct Stages {
        let window: WindowStage
        let stream: any TransactionStream
    }

    /// Takes one batch through the stages, again and again until it is delivered or the partitions are lost.
    private func process(_ batch: ConsumedBatch, stages: inout Stages) throws {
        var backoff = Backoff(settings.backoffMilliseconds)
        var conflicts = 0
        while !isStopped {
            guard stages.stream.isCurrent(batch.assignment) else { return drop(batch) }
            do {
                let (scored, outcome) = try attempt(batch, stages)
                switch outcome {
                case .delivered:
                    status.enter(.running)
                    status.count(scored)
                    warn(of: batch)
                    status.report(scored.windowed.notices, windows: windows.location, logger: logger)
                    onDelivered(scored, stages.stream)
                    return
                case .assignmentEnded: return drop(batch)
                case .windowsChanged:
                    conflicts += 1
                    status.countConflict()
                    if conflicts == 5 {
                        let error = ServingError.windowConflicts(attempts: conflicts)
                        throw SessionEnded(error, isRetryable: true)
                    }
                }
            } catch  where error.isPassing && !(error is SessionEnded) {
                status.countRetry()
                logger.warning("the batch waits", metadata: ["reason": "\(error)"])
                status.enter(.waiting("\(error)"))
                backoff.wait { isStopped }
            }
        }
    }

    /// The batch's partitions were given up before it was delivered: their owner reads it again.
    private func drop(_ batch: ConsumedBatch) {
        status.countDropped()
        logger.notice(
            "a batch was dropped: its partitions were given up before it was delivered, and are read again from there",
            metadata: ["transactions": "\(batch.count)", "of": "\(batch.slices.map(\.source))"])
    }

    /// Says once that the stream is not keyed by user.
    private func warn(of batch: ConsumedBatch) {
        guard batch.wronglyKeyed > 0, status.totals.wronglyKeyed == batch.wronglyKeyed else { return }
        logger.warning(
            "records are not keyed by user_id: a user whose records are in several partitions has no exact window",
            metadata: ["of": "\(batch.count)", "wrongly": "\(batch.wronglyKeyed)"])
    }

    private func attempt(
        _ batch: ConsumedBatch, _ stages: Stages
    ) throws -> (ScoredBatch, DeliveryOutcome) {
        let windowed = try status.timing(.window) {
            try stages.window.window(batch) { try stages.stream.committedOffset(partition: $0) }
        }
        let references = references?.current.map(settings.references)
        let routed = try status.timing(.route) {
            refer(try route(windowed, with: router), to: references, global: try router.globalModel())
        }
        let scored = try status.timing(.score) {
            try score(routed, with: router, reasonCount: settings.reasonCount)
        }
        let records = status.timing(.publish) {
            verdicts(scored, publish: settings.publish, namesEvents: settings.namesEvents)
        }
        let delivery = Delivery(
            verdicts: records, deadLetters: batch.deadLetters, slices: batch.slices,
            assignment: batch.assignment)
        let outcome = try status.timing(.deliver) {
            try stages.stream.deliver(delivery) { try windows.write(windowed.writes) }
        }
        return (scored, outcome)
    }
}

/// Reads and parses ahead on a thread of its own.
private final class BatchReader: Sendable {
    let batches = BoundedQueue<ConsumedBatch>(capacity: 1)
    private let stream: any TransactionStream
    private let limits: BatchLimits
    private let zone: PlaceZone?
    private let status: ServingStatus
    private let state = Mutex((isStopping: false, failure: (any Error)?.none))
    private let ended = DispatchSemaphore(value: 0)

    init(stream: any TransactionStream, limits: BatchLimits, zone: PlaceZone?, status: ServingStatus) {
        self.stream = stream
        self.limits = limits
        self.zone = zone
        self.status = status
    }

    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Called once.
    func start() {
        let thread = Thread { [self] in
            do {
                try read()
            } catch {
                state.withLock { $0.failure = error }
            }
            batches.close()
            ended.signal()
        }
        thread.name = "reader"
        thread.start()
    }

    private func read() throws {
        let stage = ConsumeStage(zone: zone)
        while !state.withLock({ $0.isStopping }) {
            let records = try stream.next(limits)
            status.setStreamTrouble(stream.trouble)
            guard let records else {
                if stream.isFinished { return }
                continue
            }
            let batch = status.timing(.consume) { stage.consume(records) }
            while !batches.put(batch, timeoutMilliseconds: 500) {
                if state.withLock({ $0.isStopping }) { return }
                try stream.heartbeat()
                status.setStreamTrouble(stream.trouble)
            }
        }
    }

    /// Called from any thread.
    func stop() {
        state.withLock { $0.isStopping = true }
        batches.closeAndDrop()
    }

    func stopAndJoin() {
        stop()
        ended.wait()
    }
}

/// Bounded exponential waiting that ends early when asked to.
private struct Backoff {
    private let range: ClosedRange<Int>
    private var next: Int

    init(_ milliseconds: ClosedRange<Int>) {
        range = milliseconds
        next = milliseconds.lowerBound
    }

    mutating func reset() { next = range.lowerBound }

    mutating func wait(until isStopped: () -> Bool) {
        let deadline = ContinuousClock.now + .milliseconds(next)
        next = min(next * 2, range.upperBound)
        while ContinuousClock.now < deadline, !isStopped() {
            Thread.sleep(forTimeInterval: 0.02)
        }
    }
}
