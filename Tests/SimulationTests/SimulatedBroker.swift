import BatchProtocol

/// A record of the simulated topic.
struct SimulatedRecord {
    let partition: Int32
    let offset: Int64
    /// Index into the stream of records as they were made.
    let index: Int
    let user: Int
}

/// What a worker says of a record.
struct SimulatedVerdict: Equatable {
    let record: Int
    let partition: Int32
    let offset: Int64
    /// Of the features, bit for bit.
    let digest: UInt64
    let model: Int
    let isMoved: Bool
    let isAhead: Bool
    let isLost: Bool
}

/// A worker as the broker knows it: the process behind a name.
struct MemberID: Hashable {
    let instance: Int
    let process: Int
}

/// Kafka: a topic, a consumer group with generations, transactions with fencing and time-outs. Every method is one
/// request taking effect.
final class SimulatedBroker {
    struct Transaction {
        enum State { case open, committed, aborted }
        let id: Int
        let instance: Int
        var state = State.open
        var verdicts: [SimulatedVerdict] = []
        var offsets: [Int32: Int64] = [:]
        let opened: Int
    }

    enum Refusal: Error, Equatable {
        /// Offsets of the partition are part of an open transaction.
        case unstable
        case transactionLost
        /// Not of this generation, or no member any more.
        case generation
        case fenced
        case away
    }

    private(set) var logs: [[SimulatedRecord]]
    private(set) var committed: [Int32: Int64] = [:]
    private(set) var epochs: [Int: Int] = [:]
    private(set) var transactions: [Transaction] = []
    private var openOf: [Int: Int] = [:]

    // The group.
    private(set) var generation = 0
    private(set) var members: Set<MemberID> = []
    private(set) var assignment: [MemberID: [Int32]] = [:]
    /// While the group forms anew: who has joined, and which forming this is.
    private(set) var joined: Set<MemberID>?
    private(set) var forming = 0
    var partitionsInAssignment = 0

    var isAway = false
    var breakage: Breakage?
    var didCommit: ([SimulatedVerdict], [Int32: Int64], _ isTransaction: Bool) -> Void = { _, _, _ in }

    var didBegin: (Int) -> Void = { _ in }

    init(partitions: Int) {
        logs = Array(repeating: [], count: partitions)
        partitionsInAssignment = partitions
    }

    func append(index: Int, user: Int) -> SimulatedRecord {
        // Records of a user go to one partition, until the topic grows.
        let partition = user &* 7 % logs.count
        let record = SimulatedRecord(
            partition: Int32(partition), offset: Int64(logs[partition].count), index: index, user: user)
        logs[partition].append(record)
        return record
    }

    func grow() { logs.append([]) }

    // MARK: Group

    /// - Returns: Whether the group has to form anew.
    func join(_ member: MemberID) -> Bool {
        // A process of the same name takes the older one's place.
        members = members.filter { $0.instance != member.instance || $0 == member }
        joined = joined?.filter { $0.instance != member.instance || $0 == member }
        members.insert(member)
        if joined == nil {
            joined = [member]
            forming += 1
            return true
        }
        joined?.insert(member)
        return false
    }

    func leave(_ member: MemberID) -> Bool {
        guard members.remove(member) != nil else { return false }
        joined?.remove(member)
        return startForming()
    }

    func startForming() -> Bool {
        guard joined == nil else { return false }
        joined = []
        forming += 1
        return true
    }

    var isComplete: Bool { joined.map { $0 == members } ?? false }

    /// Those who have joined share the partitions; those who have not are members no longer.
    func completeForming() {
        guard let joined else { return }
        members = joined
        self.joined = nil
        generation += 1
        partitionsInAssignment = logs.count
        assignment = [:]
        let order = members.sorted { $0.instance < $1.instance }
        for partition in 0..<(order.isEmpty ? 0 : logs.count) {
            assignment[order[partition % order.count], default: []].append(Int32(partition))
        }
    }

    /// Stable: while a transaction is open on one of them there is no answer.
    func fetchOffsets(_ partitions: [Int32]) throws(Refusal) -> [Int32: Int64] {
        if breakage != .readUnstableOffsets {
            for id in openOf.values {
                guard partitions.allSatisfy({ transactions[id].offsets[$0] == nil }) else { throw .unstable }
            }
        }
        return committed.filter { partitions.contains($0.key) }
    }

    // MARK: Transactions

    func initTransactions(_ instance: Int) -> Int {
        if let open = openOf[instance], breakage != .leaveTransactionOpen { finish(open, .aborted) }
        epochs[instance, default: 0] += 1
        return epochs[instance, default: 0]
    }

    private func check(_ instance: Int, _ epoch: Int) throws(Refusal) {
        if epochs[instance] != epoch, breakage != .skipFencing { throw .fenced }
    }

    func begin(_ instance: Int, epoch: Int, now: Int) throws(Refusal) -> Int {
        try check(instance, epoch)
        if let open = openOf[instance] { return open }
        transactions.append(Transaction(id: transactions.count, instance: instance, opened: now))
        openOf[instance] = transactions.count - 1
        didBegin(transactions.count - 1)
        return transactions.count - 1
    }

    func produce(_ verdicts: [SimulatedVerdict], transaction: Int, _ instance: Int, epoch: Int)
        throws(Refusal)
    {
        try check(instance, epoch)
        guard transactions[transaction].state == .open else { throw .transactionLost }
        transactions[transaction].verdicts += verdicts
    }

    func addOffsets(
        _ offsets: [Int32: Int64], transaction: Int, _ member: MemberID, epoch: Int, generation: Int
    ) throws(Refusal) {
        try check(member.instance, epoch)
        guard transactions[transaction].state == .open else { throw .transactionLost }
        try check(member, generation)
        transactions[transaction].offsets.merge(offsets) { max($0, $1) }
    }

    private func check(_ member: MemberID, _ generation: Int) throws(Refusal) {
        if breakage == .skipGenerationCheck { return }
        guard members.contains(member), generation == self.generation else { throw .generation }
    }

    func commit(transaction: Int, _ instance: Int, epoch: Int) throws(Refusal) {
        if transactions[transaction].state == .committed { return }
        try check(instance, epoch)
        guard transactions[transaction].state == .open else { throw .transactionLost }
        finish(transaction, .committed)
    }

    /// Whatever is open: the producer may not know what became of its requests.
    func abort(_ instance: Int, epoch: Int) throws(Refusal) {
        try check(instance, epoch)
        if let open = openOf[instance] { finish(open, .aborted) }
    }

    /// A transaction that stayed open too long ends, and its producer is fenced.
    func expire(transaction: Int) {
        guard transactions[transaction].state == .open else { return }
        finish(transaction, .aborted)
        epochs[transactions[transaction].instance, default: 0] += 1
    }

    private func finish(_ id: Int, _ state: Transaction.State) {
        transactions[id].state = state
        if openOf[transactions[id].instance] == id { openOf[transactions[id].instance] = nil }
        guard state == .committed else { return }
        let offsets = transactions[id].offsets
        didCommit(transactions[id].verdicts, offsets, true)
        committed.merge(offsets) { $1 }
    }

    // MARK: At least once

    func publish(_ verdicts: [SimulatedVerdict]) { didCommit(verdicts, [:], false) }

    func commitOffsets(_ offsets: [Int32: Int64], _ member: MemberID, generation: Int) throws(Refusal) {
        try check(member, generation)
        didCommit([], offsets, false)
        committed.merge(offsets) { $1 }
    }

    /// An operator's hand, on a group without members.
    func setOffsets(by distance: Int) -> [Int32: (from: Int64, to: Int64)] {
        members = []
        joined = nil
        forming += 1
        generation += 1
        for transaction in transactions.indices { expire(transaction: transaction) }
        var moved: [Int32: (from: Int64, to: Int64)] = [:]
        for (partition, offset) in committed {
            let to = min(max(0, offset + Int64(distance)), Int64(logs[Int(partition)].count))
            guard to != offset else { continue }
            moved[partition] = (offset, to)
            committed[partition] = to
        }
        return moved
    }
}
