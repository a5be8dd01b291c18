import BatchProtocol
import Features
import Transactions

/// What a run has shown.
struct SimulationReport: Sendable {
    var violation: (invariant: Invariant, text: String, time: Int)?
    var verdicts = 0
    var compared = 0
    var marked = 0
    var conflicts = 0
    var refusals = 0
    var lostAnswers = 0
    var kills = 0
    var moves = 0
    var abandoned = 0
    var userMoves = 0
    var forgotten = 0
    var ticks = 0

    mutating func add(_ other: SimulationReport) {
        verdicts += other.verdicts
        compared += other.compared
        marked += other.marked
        conflicts += other.conflicts
        refusals += other.refusals
        lostAnswers += other.lostAnswers
        kills += other.kills
        moves += other.moves
        abandoned += other.abandoned
        userMoves += other.userMoves
        forgotten += other.forgotten
        ticks += other.ticks
    }

    /// Committed, met another writer, lost something and moved a partition.
    var counts: Bool { verdicts > 0 && conflicts + refusals > 0 && lostAnswers + kills > 0 && moves > 0 }
}

/// One seeded run: a queue of what happens when, the parts, the faults, and the oracle.
final class Simulation {
    let schedule: Schedule
    let breakage: Breakage?
    let store: any WindowWorld
    var isStoreAway = false
    let broker: SimulatedBroker
    private(set) var oracle: Oracle
    private(set) var workers: [SimulatedWorker] = []
    private(set) var now = 0
    private var queue = EventQueue()
    var report = SimulationReport()
    var model = 1
    private var serial = 0
    private var produced = 0
    /// Told what happens, for people who look into a failure.
    var log: ((String) -> Void)?

    static let sessionTicks = 60
    static let transactionTicks = 120
    static let formingTicks = 40
    static let deadline = 6_000

    /// - Parameter makeStore: Given the records' events; nil: the lean store and stage.
    init(
        _ schedule: Schedule, breakage: Breakage? = nil,
        makeStore: (([Transaction], [WindowEvent]) -> any WindowWorld)? = nil
    ) {
        self.schedule = schedule
        self.breakage = breakage
        var random = RandomStream(seed: schedule.seed, name: "records")
        let transactions = (0..<schedule.records).map { Self.transaction($0, &random) }
        var batch = TransactionBatch()
        for transaction in transactions { batch.append(transaction) }
        let events = transactions.indices.map { WindowEvent(batch, row: $0) }
        store =
            makeStore?(transactions, events)
            ?? SimulatedStore(SimulatedWindows(events: events, breakage: breakage))
        broker = SimulatedBroker(partitions: schedule.partitions)
        oracle = Oracle(events: events, schedule: schedule)
        broker.breakage = breakage
    }

    private static func transaction(_ index: Int, _ random: inout RandomStream) -> Transaction {
        let time = index * 900_000 + random.int(-3_600_000...0)
        return Transaction(
            transactionID: "t\(index)", userID: "", amount: Double(random.int(1...100_000)) / 7,
            timestampMilliseconds: 1_700_000_000_000 + Int64(time),
            merchantID: "m\(random.int(1...4))", country: random.chance(1, in: 2) ? "NL" : "DE")
    }

    /// Unique in the run.
    func nextSerial() -> Int {
        serial += 1
        return serial
    }

    func after(_ ticks: Int, _ body: @escaping () -> Void) { queue.add(at: now + max(ticks, 1), body) }

    func note(_ text: @autoclosure () -> String) {
        if let log { log("\(now): \(text())") }
    }

    func violate(_ invariant: Invariant, _ text: String) {
        if report.violation == nil { report.violation = (invariant, text, now) }
    }

    func run() -> SimulationReport {
        store.violated = { [unowned self] in violate($0, $1) }
        broker.didCommit = { [unowned self] verdicts, offsets, isTransaction in
            check(verdicts, offsets, isTransaction)
        }
        broker.didBegin = { [unowned self] transaction in
            after(Self.transactionTicks) { [unowned self] in broker.expire(transaction: transaction) }
        }
        for instance in 0..<schedule.workers {
            let worker = SimulatedWorker(instance: instance, simulation: self)
            workers.append(worker)
            after(1 + instance * 3) { worker.start() }
        }
        var random = RandomStream(seed: schedule.seed, name: "producer")
        var time = 0
        for _ in 0..<schedule.records {
            time += random.int(1...8)
            let user = random.int(0...schedule.users - 1)
            queue.add(at: time) { [unowned self] in
                oracle.appended(broker.append(index: produced, user: user))
                produced += 1
            }
        }
        for fault in schedule.faults {
            queue.add(at: fault.time) { [unowned self] in befall(fault.kind) }
        }
        queue.add(at: 10) { [unowned self] in superviseGroup() }
        while report.violation == nil, now < Self.deadline, let (time, body) = queue.next() {
            now = time
            body()
            if isDone { break }
        }
        if report.violation == nil { checkAtRest() }
        report.ticks = now
        return report
    }

    private var isDone: Bool {
        now > 420 && produced == schedule.records && workers.allSatisfy(\.isAtRest)
            && broker.logs.indices.allSatisfy {
                broker.committed[Int32($0), default: 0] == Int64(broker.logs[$0].count)
            }
    }

    // MARK: Group

    private func superviseGroup() {
        for worker in workers { worker.expireSilentMember() }
        after(10) { [unowned self] in superviseGroup() }
    }

    func formGroup() {
        let forming = broker.forming
        after(Self.formingTicks) { [unowned self] in
            if broker.forming == forming, broker.joined != nil { completeForming() }
        }
    }

    func completeForming() {
        let before = broker.assignment
        broker.completeForming()
        for (member, partitions) in broker.assignment {
            let had = Set(before.filter { $0.key.instance == member.instance }.values.joined())
            if !before.isEmpty, !Set(partitions).subtracting(had).isEmpty { report.moves += 1 }
        }
        note(
            "generation \(broker.generation): \(broker.assignment.map { "\($0.key.instance): \($0.value)" })")
        for worker in workers { worker.groupFormed(broker.generation) }
    }

    // MARK: Faults

    private func befall(_ kind: Schedule.Kind) {
        note("fault: \(kind)")
        switch kind {
        case .kill(let worker, let restartAfter): workers[worker].kill(restartAfter: restartAfter)
        case .pause(let worker, let ticks): workers[worker].pause(ticks)
        case .killAt(let worker, let step, let isSent, let restartAfter):
            workers[worker].trap = (step, isSent, { $0.kill(restartAfter: restartAfter) })
        case .pauseAt(let worker, let step, let isSent, let ticks):
            workers[worker].trap = (step, isSent, { $0.pause(ticks) })
        case .stop(let worker, let restartAfter): workers[worker].stop(restartAfter: restartAfter)
        case .loseAnswers(let worker, let ticks): workers[worker].answersLostUntil = now + ticks
        case .storeAway(let ticks):
            isStoreAway = true
            after(ticks) { [unowned self] in isStoreAway = false }
        case .brokerAway(let ticks):
            broker.isAway = true
            after(ticks) { [unowned self] in broker.isAway = false }
        case .forgetWrites(let count):
            store.forgetWrites(count)
            report.forgotten += 1
            oracle.noteLosses(store, broker)
        case .flushStore:
            store.flush()
            report.forgotten += 1
            oracle.noteLosses(store, broker)
        case .damage(let user):
            store.damage(user)
            oracle.damaged.insert(user)
        case .expel(let worker): workers[worker].expel()
        case .growTopic:
            broker.grow()
            // A member that refreshes what it knows of the topic asks for the partitions to be shared anew.
            if breakage != .growthUnnoticed {
                after(40) { [unowned self] in if broker.startForming() { formGroup() } }
            }
        case .promote: model += 1
        case .setOffsets(let distance):
            for worker in workers { worker.kill(restartAfter: 30) }
            oracle.moved(broker.setOffsets(by: distance))
            oracle.noteLosses(store, broker)
        }
    }

    // MARK: Checks

    private func check(_ verdicts: [SimulatedVerdict], _ offsets: [Int32: Int64], _ isTransaction: Bool) {
        note("committed \(offsets), verdicts \(verdicts.map { "\($0.partition):\($0.offset)" })")
        for verdict in verdicts {
            report.verdicts += 1
            if verdict.isMoved { report.userMoves += 1 }
            if verdict.isLost || verdict.isAhead { report.marked += 1 } else { report.compared += 1 }
            if let (invariant, text) = oracle.published(verdict) {
                violate(invariant, text)
            }
        }
        for (partition, end) in offsets {
            let committed = broker.committed[partition] ?? 0
            if end < committed {
                violate(.offsetsForward, "partition \(partition) went from \(committed) back to \(end)")
            }
            if let text = oracle.skipped(partition, committed, end, broker.logs[Int(partition)].count) {
                violate(.nothingSkipped, text)
            }
        }
        oracle.noteLosses(store, broker, committing: offsets)
    }

    private func checkAtRest() {
        guard isDone else {
            let behind = broker.logs.indices.map {
                "\(broker.committed[Int32($0), default: 0]) of \(broker.logs[$0].count)"
            }
            return violate(.nothingHeld, "committed: \(behind), workers: \(workers.map(\.condition))")
        }
        for user in 0..<schedule.users where oracle.isExact(user) {
            let found = store.windowAtRest(user) { broker.committed[$0, default: 0] }
            if let found, found != oracle.window(of: user) {
                violate(.windowsCountCommitted, "user \(user)'s window differs at rest")
            }
        }
    }
}

/// What happens when, and in which order where that is at the same tick.
struct EventQueue {
    private var heap: [(time: Int, order: Int, body: () -> Void)] = []
    private var order = 0

    mutating func add(at time: Int, _ body: @escaping () -> Void) {
        order += 1
        heap.append((time, order, body))
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> (Int, () -> Void)? {
        guard let first = heap.first else { return nil }
        heap[0] = heap[heap.count - 1]
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) {
                least = child
            }
            if least == parent { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return (first.time, first.body)
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        (heap[a].time, heap[a].order) < (heap[b].time, heap[b].order)
    }
}
