import BatchProtocol
import Logging
import Retrying

/// What a batch goes through once it is consumed, one after the other.
struct BatchStages {
    let window: WindowStage
    let route: RouteStage
    let score: ScoreStage
    let rule: RuleStage
    let publish: PublishStage
    let deliver: DeliverStage
}

/// Takes the batches of one session through the stages as `BatchProtocol` says: does what an action says, and reports how
/// it ended as the next event. Used by one thread.
struct BatchDriver {
    enum Outcome {
        case delivered(ScoredBatch)
        /// Its partitions were given up before it was delivered: their owner reads it again.
        case abandoned
        /// Nothing was delivered, because there is a stop.
        case stopped
    }

    private let stages: BatchStages
    private let stream: any TransactionStream
    /// For people.
    private let windows: String
    private let backoff: Backoff
    private let waits: Bool
    private let stopping: StopSignal
    private let status: ServingStatus
    private let worker: ServingStatus.Worker
    private let logger: Logger
    private var machine: BatchProtocol

    /// - Parameter waits: What is away is waited for; false: it ends the session.
    init(
        _ stages: BatchStages, stream: any TransactionStream, windows: String,
        backoffMilliseconds: ClosedRange<Int>, waits: Bool = true, stopping: StopSignal,
        status: ServingStatus, worker: ServingStatus.Worker, logger: Logger
    ) {
        self.stages = stages
        self.stream = stream
        self.windows = windows
        backoff = Backoff(backoffMilliseconds)
        self.waits = waits
        self.stopping = stopping
        self.status = status
        self.worker = worker
        self.logger = logger
        var limits = BatchProtocol.Limits()
        // A bound for streams that have none. Kafka's waits a tenth of a second before each, and knows when its time is up.
        limits.repetitions = 200
        machine = BatchProtocol(limits: limits)
    }

    /// Works on a batch until it is delivered, its partitions are lost, or the session ends.
    ///
    /// - Throws: What has ended the session. The driver is of no more use then.
    mutating func run(_ consumed: ConsumedBatch) throws -> Outcome {
        let work = BatchWork(consumed, backoff)
        var action = machine.handle(.batch(consumed.span))
        while true {
            switch action {
            case .finish(let outcome):
                status.record(work.takeSpent())
                return finish(outcome, work)
            case .end(let ending):
                status.record(work.takeSpent())
                stages.deliver.abandon()
                if ending == .stopped { return .stopped }
                throw reason(of: ending, work)
            default: action = machine.handle(event(of: action, work))
            }
        }
    }

    // MARK: Actions

    private func event(of action: BatchProtocol.Action, _ work: BatchWork) -> BatchProtocol.Event {
        do {
            switch action {
            case .readWindows: return .windowsRead(asking: try readWindows(work))
            case .askCommittedOffsets(let partitions):
                work.committedOffsets = try work.timing(.window) {
                    try stream.committedOffsets(of: partitions)
                }
                return .offsetsAnswered
            case .evaluate:
                try evaluate(work)
                return .evaluated
            case .prepare:
                try work.timing(.deliver) { try stages.deliver.prepare(work.evaluated.delivery) }
                return .prepared
            case .writeWindows:
                let writes = work.evaluated.scored.windowed.writes
                let isWritten = try work.timing(.deliver) { try stages.deliver.write(writes) }
                if !isWritten { status.countConflict() }
                return isWritten ? .windowsWritten : .conflict
            case .commit:
                try work.timing(.deliver) { try stages.deliver.commit() }
                return .committed
            case .abort:
                try work.timing(.deliver) { try stages.deliver.abort() }
                return .aborted
            case .wait: return try wait(work)
            case .finish, .end, .carryOn: preconditionFailure("\(action) is not carried out")
            }
        } catch {
            return .failed(failure(error, work))
        }
    }

    private func readWindows(_ work: BatchWork) throws -> [Int32] {
        status.record(work.takeSpent())
        guard stream.isCurrent(work.batch.assignment) else { throw DeliveryError.assignmentEnded }
        let windows = try work.timing(.window) { try stages.window.read(work.batch) }
        work.windows = windows
        work.committedOffsets = [:]
        return windows.asked
    }

    /// A repetition keeps the models and the rules of the first evaluation, so that it gives the same bytes.
    private func evaluate(_ work: BatchWork) throws {
        let windows = work.takeWindows()
        let windowed = work.timing(.window) {
            stages.window.run(windows, committedOffsets: work.committedOffsets)
        }
        let routed = try work.timing(.route) {
            if let first = work.first { return try stages.route.run(windowed, asIn: first) }
            return try stages.route.run(windowed)
        }
        let scored = try work.timing(.score) {
            let scored = try stages.score.run(routed)
            if let first = work.first { return stages.rule.run(scored, asIn: first) }
            return stages.rule.run(scored)
        }
        let delivery = work.timing(.publish) { stages.publish.run(scored) }
        work.keep(scored, delivery)
    }

    private func wait(_ work: BatchWork) throws -> BatchProtocol.Event {
        if !waits, let failure = work.failure {
            throw SessionEnded((failure as? DeliveryError)?.cause ?? failure, isRetryable: false)
        }
        let reason = work.failure.map { "\($0)" } ?? ""
        status.countRetry()
        logger.warning("the batch waits", metadata: ["reason": "\(reason)"])
        status.enter(.waiting(reason), of: worker)
        work.backoff.wait(stopping)
        if stopping.isGiven { return .stop }
        guard stream.isCurrent(work.batch.assignment) else { throw DeliveryError.assignmentEnded }
        return .waited
    }

    // MARK: Failures and ends

    private func failure(_ error: any Error, _ work: BatchWork) -> BatchProtocol.Failure {
        work.failure = error
        switch error {
        case DeliveryError.unanswered: return .away
        case DeliveryError.mustAbort: return .transactionLost
        case DeliveryError.assignmentEnded: return .assignmentLost
        case let ended as SessionEnded:
            work.ending = work.ending ?? error
            switch ended.remainder {
            case .abort: return .hopeless("\(error)")
            case .nothing: return .fatal("\(error)")
            case .fenced: return .fenced
            }
        default:
            if error.isPassing { return .away }
            work.ending = work.ending ?? error
            return .hopeless("\(error)")
        }
    }

    private func reason(of ending: BatchProtocol.Ending, _ work: BatchWork) -> any Error {
        if case .conflicts(let attempts) = ending {
            return SessionEnded(ServingError.windowConflicts(attempts: attempts), isRetryable: true)
        }
        if let ending = work.ending { return ending }
        return SessionEnded(work.failure ?? DeliveryError.assignmentEnded, isRetryable: true)
    }

    private func finish(_ outcome: BatchProtocol.Outcome, _ work: BatchWork) -> Outcome {
        switch outcome {
        case .delivered:
            let scored = work.evaluated.scored
            status.enter(.running, of: worker)
            status.count(scored, hasProducedTimes: !(stream is FileTransactionStream))
            warn(of: work.batch)
            status.report(scored.windowed.notices, windows: windows, logger: logger)
            return .delivered(scored)
        case .abandoned:
            status.countDropped()
            logger.notice(
                """
                a batch was dropped: its partitions were given up before it was delivered, and are read again from there
                """,
                metadata: [
                    "transactions": "\(work.batch.count)", "of": "\(work.batch.slices.map(\.source))",
                ])
            return .abandoned
        }
    }

    /// Says once that the stream is not keyed by user.
    private func warn(of batch: ConsumedBatch) {
        guard batch.wronglyKeyed > 0, status.saysWronglyKeyed() else { return }
        logger.warning(
            "records are not keyed by user_id: a user whose records are in several partitions has no exact window",
            metadata: ["of": "\(batch.count)", "wrongly": "\(batch.wronglyKeyed)"])
    }
}

/// The batch in hand, and what its attempts have come to.
private final class BatchWork {
    let batch: ConsumedBatch
    var backoff: Backoff
    var windows: ReadWindows?
    var committedOffsets: [Int32: Int64] = [:]
    /// What the first attempt that got so far has made of it.
    private(set) var first: ScoredBatch?
    private var latest: (scored: ScoredBatch, delivery: Delivery)?
    /// The last one.
    var failure: (any Error)?
    /// The first one after which the session cannot go on.
    var ending: (any Error)?
    private var spent: [ServingStatus.Stage: Duration] = [:]

    init(_ batch: ConsumedBatch, _ backoff: Backoff) {
        self.batch = batch
        self.backoff = backoff
    }

    /// Gives them away: what folds them owns them.
    func takeWindows() -> ReadWindows {
        guard let taken = windows else { preconditionFailure("windows are read before they are folded") }
        windows = nil
        return taken
    }

    func keep(_ scored: ScoredBatch, _ delivery: Delivery) {
        first = first ?? scored
        latest = (scored, delivery)
    }

    var evaluated: (scored: ScoredBatch, delivery: Delivery) {
        guard let latest else { preconditionFailure("a batch is evaluated before it is delivered") }
        return latest
    }

    /// Runs a part of a stage and counts its time.
    func timing<Result>(_ stage: ServingStatus.Stage, _ body: () throws -> Result) rethrows -> Result {
        let start = ContinuousClock.now
        defer { spent[stage, default: .zero] += ContinuousClock.now - start }
        return try body()
    }

    /// What the stages of an attempt have taken.
    func takeSpent() -> [ServingStatus.Stage: Duration] {
        defer { spent = [:] }
        return spent
    }
}
