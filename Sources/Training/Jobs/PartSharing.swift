import Foundation
import Synchronization

/// Who works on the parts of a job for all users: the worker that holds the job, or one that helps.
struct PartMember: Sendable {
    let jobID: String
    /// Its own among all that ever work on the job.
    let name: String
    let isHolder: Bool

    init(_ claimed: ClaimedJob) {
        jobID = claimed.job.id
        name = claimed.holder
        isHolder = true
    }

    init(helping jobID: String, worker: String) {
        self.jobID = jobID
        name = "help:\(worker):\(UUID().uuidString.lowercased())"
        isHolder = false
    }
}

/// Parts that a member has to work on.
public struct PartsTurn: Sendable, Hashable {
    /// How many parts of the job are not finished, whoever works on them.
    public let open: Int
    /// The member's own now. Empty while others work on all that are open.
    public let parts: [Int]
}

/// A store of jobs that hands out the parts of a job for all users among the workers of several processes.
///
/// A part is a member's while that renews its lease; what a dead one had is handed out again. A part that is finished twice
/// counts once: all members make the same of it, since they start from the same basis, and its pack is one object that is
/// written once.
protocol PartStore: JobStore {
    /// - Parameter basis: What the parts are made of. The holder says it; others may take part if theirs is the same.
    /// - Returns: Whether the member takes part.
    func join(_ member: PartMember, basis: String) throws -> Bool

    /// A job that runs and has parts that nobody works on; nil: none.
    func joinable() throws -> TrainingJob?

    /// - Returns: nil: the member takes part no longer: the job has ended, is another's, or another job waits for a worker.
    func takeParts(_ member: PartMember, count: Int) throws -> PartsTurn?

    /// - Returns: Whether the member still takes part.
    func renew(_ member: PartMember) throws -> Bool

    /// - Returns: false when it takes part no longer; nothing was written then.
    func finishPart(_ member: PartMember, _ part: Int, _ result: UsersPart) throws -> Bool
}

/// What of a job this worker does and others have done, beside the job.
struct JobJournal: TrainingJournal {
    let jobs: any JobStore
    let claimed: ClaimedJob
    let leases: Leases

    var isResumed: Bool { claimed.attempt > 1 }

    var sharing: (any PartSharing)? {
        (jobs as? any PartStore).map { JobSharing(store: $0, member: PartMember(claimed)) }
    }

    func finishedParts() throws -> [Int: UsersPart] { try jobs.parts(claimed) }

    /// - Throws: `TrainingError.cancelled` when somebody else has the job.
    func finish(_ part: Int, _ result: UsersPart) throws {
        guard try jobs.finishPart(claimed, part, result) else { throw TrainingError.cancelled }
    }

    func confirm() throws { try leases.confirm(claimed) }
}

/// Of a worker that helps with another's job: it makes parts, and neither begins nor ends the job.
struct HelperJournal: TrainingJournal {
    let store: any PartStore
    let member: PartMember

    var isResumed: Bool { true }
    var sharing: (any PartSharing)? { JobSharing(store: store, member: member) }

    func finishedParts() -> [Int: UsersPart] { [:] }

    func finish(_ part: Int, _ result: UsersPart) throws {
        guard try store.finishPart(member, part, result) else { throw TrainingError.cancelled }
    }

    func confirm() throws {
        guard try store.renew(member) else { throw TrainingError.cancelled }
    }
}

private struct JobSharing: PartSharing {
    let store: any PartStore
    let member: PartMember

    func join(basis: String) throws -> Bool { try store.join(member, basis: basis) }
    func take(_ count: Int) throws -> PartsTurn? { try store.takeParts(member, count: count) }
}

/// Keeps the lease of a worker that helps, from a thread of its own.
final class HelperLease: Sendable {
    private let store: any PartStore
    private let member: PartMember
    private let lost = Mutex(false)
    private let ended = DispatchSemaphore(value: 0)

    init(_ store: any PartStore, _ member: PartMember) {
        self.store = store
        self.member = member
    }

    var isLost: Bool { lost.withLock { $0 } }

    func start() {
        let thread = Thread { [self] in
            while ended.wait(timeout: .now() + .milliseconds(Leases.renewalMilliseconds)) == .timedOut {
                // A store that cannot be asked now may be a moment later.
                if let isMember = try? store.renew(member), !isMember { lost.withLock { $0 = true } }
            }
        }
        thread.name = "training help"
        thread.start()
    }

    func end() { ended.signal() }
}
