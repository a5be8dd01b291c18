import BatchProtocol

/// One session of a worker: its place in the group, its reader, and the protocol that it drives.
final class SimulatedSession {
    unowned let worker: SimulatedWorker
    let member: MemberID
    var epoch = 0
    var machine = BatchProtocol()
    var isEnded = false
    var isFenced = false
    var isStopping = false

    // The reader.
    var ledger = ReadLedger<Int32>()
    var generation = 0
    var owned: [Int32] = []
    var fetchPositions: [Int32: Int64] = [:]
    /// The client remembers it of each partition, owned or not.
    var paused: Set<Int32> = []
    var isPaused = false
    var held: [SimulatedRecord] = []
    var isAskingStarts = false
    var queued: SimulatedBatch?
    var isRejoining = false
    /// A change of assignment that waits for the delivery under way.
    var changes: [() -> Void] = []

    // The batch in hand.
    var batch: SimulatedBatch?
    var reading: SimulatedReading?
    var evaluation = Evaluation()
    var transaction: Int?
    var firstVerdicts: [SimulatedVerdict]?

    var simulation: Simulation { worker.simulation }
    var broker: SimulatedBroker { worker.simulation.broker }
    var breakage: Breakage? { worker.simulation.breakage }

    init(worker: SimulatedWorker, member: MemberID) {
        self.worker = worker
        self.member = member
    }

    var isAtRest: Bool { batch == nil && queued == nil && held.isEmpty }

    var condition: String {
        "\(machine.state) owned \(owned) queued \(queued != nil) held \(held.count) paused \(paused)"
    }

    func later(_ ticks: ClosedRange<Int>, _ body: @escaping () -> Void) {
        worker.later(worker.random.int(ticks)) { [weak self] in
            if self?.isEnded == false { body() }
        }
    }

    func call<Answer>(
        _ part: SimulatedWorker.Part, repeatable: Bool = false,
        _ effect: @escaping () throws(SimulatedBroker.Refusal) -> Answer,
        _ then: @escaping (Result<Answer, BatchProtocol.Failure>) -> Void
    ) {
        if isFenced {
            simulation.violate(.fencedStops, "worker \(worker.instance) goes on after it was fenced")
        }
        worker.call(part, repeatable: repeatable, effect) { [weak self] answer in
            guard let self, !isEnded else { return }
            if case .failure(.fenced) = answer { isFenced = true }
            then(answer)
        }
    }

    // MARK: Opening

    func open() {
        guard simulation.schedule.isExactlyOnce else { return join() }
        let instance = member.instance
        call(.broker) { [broker, breakage] in
            // The one before is not fenced when its epoch is used again.
            if breakage == .skipFencing, let epoch = broker.epochs[instance] { return epoch }
            return broker.initTransactions(instance)
        } _: { [self] answer in
            guard case .success(let epoch) = answer else { return later(5...15) { self.open() } }
            self.epoch = epoch
            join()
        }
    }

    func join() {
        simulation.note("worker \(worker.instance) joins as \(member.process)")
        worker.seen()
        if broker.join(member) { simulation.formGroup() }
        if broker.isComplete { simulation.completeForming() }
        later(3...6) { self.poll() }
        later(5...12) { self.heartbeat() }
    }

    func heartbeat() {
        later(5...12) { self.heartbeat() }
        if broker.isAway { return }
        if broker.members.contains(member) { worker.seen() }
        guard mustJoin, !isRejoining else { return }
        isRejoining = true
        // The client knows; the worker learns of it when it polls.
        later(1...20) { self.rejoin() }
    }

    func rejoin() {
        whenNotDelivering { [self] in
            isRejoining = false
            guard mustJoin else { return }
            simulation.note("worker \(worker.instance) joins again")
            revoke()
            worker.seen()
            if broker.join(member) { simulation.formGroup() }
            if broker.isComplete { simulation.completeForming() }
        }
    }

    /// The group forms anew without this member, or has gone on without it.
    var mustJoin: Bool {
        if let joined = broker.joined { return !joined.contains(member) }
        return !broker.members.contains(member)
    }

    func whenNotDelivering(_ body: @escaping () -> Void) {
        if machine.isDelivering, breakage != .revokeDuringDelivery {
            changes.append(body)
        } else {
            body()
        }
    }

    func revoke() {
        if breakage != .assignmentNotCounted { ledger.assignmentChanged() }
        owned = []
        held = []
        if breakage != .assignmentNotCounted { queued = nil }
        if breakage != .keepFetchPosition { fetchPositions = [:] }
    }

    func assigned(_ generation: Int, _ partitions: [Int32]) {
        guard !isEnded, generation > self.generation else { return }
        whenNotDelivering { [self] in
            guard generation == broker.generation else { return }
            self.generation = generation
            revoke()
            owned = partitions
            fetchOffsets()
        }
    }

    func fetchOffsets() {
        let (assignment, partitions) = (ledger.assignment, owned)
        guard !partitions.isEmpty else { return }
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.fetchOffsets(partitions)
        } _: {
            [self] answer in
            guard assignment == ledger.assignment else { return }
            guard case .success(let committed) = answer else { return later(3...10) { self.fetchOffsets() } }
            for partition in partitions where fetchPositions[partition] == nil {
                let offset = committed[partition] ?? 0
                fetchPositions[partition] = breakage == .seekPast && offset > 0 ? offset + 1 : offset
            }
        }
    }

    // MARK: Reading

    func poll() {
        later(2...5) { self.poll() }
        guard !isStopping else { return }
        if queued != nil {
            // Only heartbeats while the worker is behind.
            paused.formUnion(owned)
            isPaused = true
            return
        }
        if isPaused || breakage != .pauseOutlivesAssignment { paused.subtract(owned) }
        isPaused = false
        guard held.isEmpty else { return askStarts() }
        let most = worker.random.int(1...6)
        for partition in owned where !paused.contains(partition) {
            guard let position = fetchPositions[partition] else { continue }
            let log = broker.logs[Int(partition)]
            let end = min(Int(position) + most, log.count)
            guard Int(position) < end else { continue }
            held += log[Int(position)..<end]
            fetchPositions[partition] = Int64(end)
        }
        if !held.isEmpty { askStarts() }
    }

    /// Where reading begins in a partition is asked once; what was read of it is held until then.
    func askStarts() {
        let partitions = Set(held.map(\.partition)).sorted()
        let unknown = ledger.withoutStart(partitions)
        guard !unknown.isEmpty else { return makeBatch(partitions) }
        guard !isAskingStarts else { return }
        isAskingStarts = true
        let assignment = ledger.assignment
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.fetchOffsets(unknown)
        } _: {
            [self] answer in
            isAskingStarts = false
            guard assignment == ledger.assignment, !held.isEmpty else { return }
            guard case .success(let committed) = answer else {
                if breakage == .dropPolledRecords { held = [] }
                return
            }
            for partition in unknown {
                guard let first = held.first(where: { $0.partition == partition })?.offset else { continue }
                ledger.begin(partition, committed: committed[partition], first: first)
            }
            askStarts()
        }
    }

    func makeBatch(_ partitions: [Int32]) {
        let slices = partitions.map { partition in
            let read = held.filter { $0.partition == partition }
            let (first, end) = (read.first?.offset ?? 0, (read.last?.offset ?? 0) + 1)
            let (start, isBeginning) = ledger.advance(partition, first: first, to: end)
            return SliceSpan(partition: partition, start: start, end: end, isBeginning: isBeginning)
        }
        queued = SimulatedBatch(
            span: BatchSpan(assignment: ledger.assignment, slices: slices), records: held)
        held = []
        takeNext()
    }
}
