import BatchProtocol

/// A worker's process: it starts, is killed, stopped, paused; each process runs sessions one after the other.
final class SimulatedWorker {
    let instance: Int
    unowned let simulation: Simulation
    var random: RandomStream
    /// Rises with each start: what an earlier process asked for goes nowhere.
    private(set) var process = 0
    private(set) var isRunning = false
    private var isStopping = false
    private var restartAfter = 0
    private var pausedUntil = 0
    var answersLostUntil = 0
    /// What befalls the worker at its next step of a kind.
    var trap: (step: Schedule.Step, isSent: Bool, fault: (SimulatedWorker) -> Void)?
    private(set) var session: SimulatedSession?
    private var lastSeen = 0

    init(instance: Int, simulation: Simulation) {
        self.instance = instance
        self.simulation = simulation
        random = RandomStream(seed: simulation.schedule.seed, name: "worker \(instance)")
    }

    var isAtRest: Bool { session?.isAtRest ?? true }

    var condition: String { session.map(\.condition) ?? (isRunning ? "between sessions" : "away") }

    // MARK: Life

    func start() {
        guard !isRunning else { return }
        isRunning = true
        isStopping = false
        pausedUntil = 0
        process += 1
        openSession()
    }

    func kill(restartAfter ticks: Int) {
        guard isRunning else { return }
        simulation.report.kills += 1
        isRunning = false
        process += 1
        session?.die()
        session = nil
        simulation.after(ticks) { [unowned self] in start() }
    }

    func pause(_ ticks: Int) { pausedUntil = max(pausedUntil, simulation.now + ticks) }

    func stop(restartAfter ticks: Int) {
        guard isRunning, !isStopping, let session else { return }
        isStopping = true
        restartAfter = ticks
        session.stop()
    }

    func expel() {
        guard let session else { return }
        if simulation.broker.leave(session.member) { simulation.formGroup() }
    }

    private func openSession() {
        session = SimulatedSession(
            worker: self, member: MemberID(instance: instance, process: simulation.nextSerial()))
        session?.open()
    }

    func sessionEnded(_ ending: BatchProtocol.Ending) {
        session = nil
        if ending == .stopped || isStopping {
            isRunning = false
            process += 1
            simulation.after(restartAfter) { [unowned self] in start() }
            return
        }
        later(random.int(2...20)) { [unowned self] in openSession() }
    }

    // MARK: Group

    func seen() { lastSeen = simulation.now }

    func expireSilentMember() {
        guard simulation.now - lastSeen > Simulation.sessionTicks else { return }
        for member in simulation.broker.members where member.instance == instance {
            if simulation.broker.leave(member) { simulation.formGroup() }
        }
    }

    func groupFormed(_ generation: Int) {
        guard let session, let partitions = simulation.broker.assignment[session.member] else {
            // A member of the generation without a partition learns that too.
            if let session, simulation.broker.members.contains(session.member) {
                later(random.int(1...6)) { session.assigned(generation, []) }
            }
            return
        }
        later(random.int(1...6)) { session.assigned(generation, partitions) }
    }

    // MARK: Time and calls

    /// Does something of this process's own in a while; a paused process does it when it goes on.
    func later(_ ticks: Int, _ body: @escaping () -> Void) {
        let process = process
        simulation.after(ticks) { [unowned self] in
            guard self.process == process, isRunning else { return }
            if simulation.now < pausedUntil {
                later(pausedUntil - simulation.now + random.int(0...3), body)
            } else {
                body()
            }
        }
    }

    enum Part { case store, broker }

    /// Asks something outside: the request may be lost, take effect and not be answered, or be sent twice.
    func call<Answer>(
        _ part: Part, repeatable: Bool = false,
        _ effect: @escaping () throws(SimulatedBroker.Refusal) -> Answer,
        _ then: @escaping (Result<Answer, BatchProtocol.Failure>) -> Void
    ) {
        let isAway = { [unowned self] in part == .store ? simulation.isStoreAway : simulation.broker.isAway }
        let there = random.int(1...4)
        let back = random.int(1...4)
        let patience = random.int(8...20)
        if random.chance(1, in: 60) {
            simulation.report.lostAnswers += 1
            return later(patience) { then(.failure(.away)) }
        }
        let isAnswerLost = random.chance(1, in: 60)
        let isSentTwice = repeatable && random.chance(1, in: 20)
        let again = random.int(5...60)
        simulation.after(there) { [unowned self] in
            if isAway() { return later(patience) { then(.failure(.away)) } }
            let answer: Result<Answer, BatchProtocol.Failure>
            do throws(SimulatedBroker.Refusal) { answer = .success(try effect()) } catch {
                answer = .failure(failure(error))
            }
            if isSentTwice { simulation.after(again) { _ = try? effect() } }
            if isAnswerLost || simulation.now < answersLostUntil {
                simulation.report.lostAnswers += 1
                return later(patience) { then(.failure(.away)) }
            }
            later(back) { then(answer) }
        }
    }

    private func failure(_ refusal: SimulatedBroker.Refusal) -> BatchProtocol.Failure {
        switch refusal {
        case .unstable, .away: return .away
        case .transactionLost: return .transactionLost
        case .generation:
            // The group has moved on; the news of it is on its way, and only then is the batch given up.
            simulation.report.refusals += 1
            return .transactionLost
        case .fenced:
            simulation.report.refusals += 1
            return .fenced
        }
    }
}
