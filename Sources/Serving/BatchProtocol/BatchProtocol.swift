/// The exactly-once protocol of one worker, one batch at a time: events in, actions out. No I/O, no clock, no
/// threads: a driver does what an action says and reports how it ended as the next event. Production's driver is
/// `BatchDriver`; the simulator drives the same machine.
///
/// Kafka's transaction covers verdicts and offsets. Windows lie outside it, and become part of it by what is stored:
/// a user's blob is the window of all records below its base offset, and beside it the records of the last batch as
/// *pending*. `WindowStart` says from the committed offset alone which of them count. So the order below is the whole
/// trick: the windows are read, then the broker is asked whether this member may still commit (it takes the offsets, or
/// refuses them from a member of an older generation), then the windows are written over what was read, then comes the
/// commit; a failure at any step leads back to reading. Whoever takes the partitions over after the question changes
/// what was read, and whoever took them over before it makes the answer a refusal.
///
///     state       event                     next state              action
///     ---------   -----------------------   ---------------------   -----------------------------------------------
///     idle        batch(b)                  reading                 readWindows
///     idle        stop                      ended(stopped)          end
///     reading     windowsRead, none asked   evaluating              evaluate: `WindowStart` of each user, `Standing` of
///                                                                   each slice, then fold, route, score, publish
///     reading     windowsRead, asked: P     asking                  askCommittedOffsets(P)
///     asking      offsetsAnswered           evaluating              evaluate
///     evaluating  evaluated                 preparing               prepare: begin, produce, add offsets, as the member
///                                                                   that read the batch, or not at all
///     preparing   prepared                  writing                 writeWindows: each only over what was read
///     writing     windowsWritten            committing              commit
///     writing     conflict                  aborting(restart)       abort; the fifth in a row: aborting(end)
///     committing  committed                 idle                    finish(delivered)
///     committing  failed(away)              committing              commit again: its outcome is open until it answers;
///                                                                   after `repetitions`: ended(outcomeUnknown)
///     aborting    aborted                   reading | waiting |     readWindows | wait | finish(abandoned) | end
///                                           idle | ended
///     aborting    failed(away)              aborting                abort again; after `repetitions`: ended(outcomeUnknown)
///     waiting     waited                    reading                 readWindows: never on from the middle
///     waiting     stop                      ended(stopped)          end
///
///     reading, asking, evaluating           failed(away)            waiting, wait: nothing is open
///     reading, asking, evaluating, waiting  failed(assignmentLost)  idle, finish(abandoned)
///     preparing, writing                    failed(away)            aborting(wait), abort: a window may have been written
///     preparing, writing, committing        failed(transactionLost) aborting(wait), abort
///     preparing, writing, committing        failed(assignmentLost)  aborting(abandon), abort
///     reading, asking, evaluating, aborting failed(hopeless)        ended, end
///     preparing, writing, committing        failed(hopeless)        aborting(end), abort: nothing stays open that holds
///                                                                   the partitions back from whoever gets them next
///     any                                   failed(fenced, fatal)   ended, end: the next session finds out what became
///                                                                   of the transaction before it reads
///     any but idle and waiting              stop                    unchanged; ends where it would wait
///
/// A batch is abandoned only when the reader has learnt of another assignment: what the broker refuses before that is
/// tried again, and what comes after the batch waits behind it, so that nothing can be skipped.
public struct BatchProtocol: Sendable {
    public enum State: Sendable, Equatable {
        /// No batch in hand.
        case idle
        case reading
        case asking
        case evaluating
        case preparing
        case writing
        case committing
        case aborting(Afterwards)
        /// Something outside is away.
        case waiting
        case ended(Ending)
    }

    /// What follows once nothing of the attempt is left open.
    public enum Afterwards: Sendable, Equatable {
        case restart, wait, abandon
        case end(Ending)
    }

    public struct Limits: Sendable {
        /// Conflicts of one batch in a row before the session ends: two groups share one store.
        public var conflicts = 5
        /// Calls of commit, or of abort, before the session ends with the outcome open.
        public var repetitions = 20

        public init() {}
    }

    public private(set) var state = State.idle
    /// The batch in hand; nil while idle.
    public private(set) var batch: BatchSpan?
    /// Attempts at the batch in hand, from 1.
    public private(set) var attempt = 0
    private let limits: Limits
    private var conflicts = 0
    private var repetitions = 0
    private var isStopping = false

    public init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Whether the batch's transaction is open or may be, so that its partitions cannot be given up yet.
    public var isDelivering: Bool {
        switch state {
        case .preparing, .writing, .committing, .aborting: true
        case .idle, .reading, .asking, .evaluating, .waiting, .ended: false
        }
    }

    /// Takes what happened, and says what to do.
    ///
    /// An event that the table has no line for is a bug of the driver, and traps.
    public mutating func handle(_ event: Event) -> Action {
        if case .failed(let failure) = event { return fail(failure) }
        switch (state, event) {
        case (.idle, .batch(let span)):
            batch = span
            attempt = 0
            conflicts = 0
            return read()
        case (.idle, .stop), (.waiting, .stop):
            return end(.stopped)
        case (_, .stop):
            isStopping = true
            return .carryOn
        case (.reading, .windowsRead(let asked)) where !asked.isEmpty:
            state = .asking
            return .askCommittedOffsets(asked)
        case (.reading, .windowsRead), (.asking, .offsetsAnswered):
            state = .evaluating
            return .evaluate
        case (.evaluating, .evaluated):
            state = .preparing
            return .prepare
        case (.preparing, .prepared):
            state = .writing
            return .writeWindows
        case (.writing, .windowsWritten):
            state = .committing
            repetitions = 0
            return .commit
        case (.writing, .conflict):
            conflicts += 1
            return abort(conflicts < limits.conflicts ? .restart : .end(.conflicts(conflicts)))
        case (.committing, .committed):
            return finish(.delivered)
        case (.aborting(let afterwards), .aborted):
            return go(afterwards)
        case (.waiting, .waited):
            return read()
        default:
            preconditionFailure("\(event) in state \(state)")
        }
    }

    private mutating func fail(_ failure: Failure) -> Action {
        switch (failure, state) {
        case (.fenced, _): return end(.fenced)
        case (.fatal(let reason), _): return end(.failed(reason))
        case (.hopeless(let reason), .preparing), (.hopeless(let reason), .writing),
            (.hopeless(let reason), .committing):
            return abort(.end(.failed(reason)))
        case (.hopeless(let reason), _): return end(.failed(reason))
        case (.away, .reading), (.away, .asking), (.away, .evaluating):
            return wait()
        case (.assignmentLost, .reading), (.assignmentLost, .asking), (.assignmentLost, .evaluating),
            (.assignmentLost, .waiting):
            return finish(.abandoned)
        case (.away, .preparing), (.away, .writing),
            (.transactionLost, .preparing), (.transactionLost, .writing), (.transactionLost, .committing):
            return abort(.wait)
        case (.assignmentLost, .preparing), (.assignmentLost, .writing), (.assignmentLost, .committing):
            return abort(.abandon)
        case (.away, .committing): return again(.commit)
        case (.away, .aborting), (.transactionLost, .aborting): return again(.abort)
        default: preconditionFailure("\(failure) in state \(state)")
        }
    }

    // MARK: Transitions

    private mutating func read() -> Action {
        attempt += 1
        state = .reading
        return .readWindows
    }

    private mutating func wait() -> Action {
        if isStopping { return end(.stopped) }
        state = .waiting
        return .wait
    }

    private mutating func abort(_ afterwards: Afterwards) -> Action {
        state = .aborting(afterwards)
        repetitions = 0
        return .abort
    }

    private mutating func again(_ action: Action) -> Action {
        repetitions += 1
        return repetitions < limits.repetitions ? action : end(.outcomeUnknown)
    }

    private mutating func go(_ afterwards: Afterwards) -> Action {
        switch afterwards {
        case .restart: read()
        case .wait: wait()
        case .abandon: finish(.abandoned)
        case .end(let ending): end(ending)
        }
    }

    private mutating func finish(_ outcome: Outcome) -> Action {
        state = .idle
        batch = nil
        return .finish(outcome)
    }

    private mutating func end(_ ending: Ending) -> Action {
        state = .ended(ending)
        return .end(ending)
    }
}
