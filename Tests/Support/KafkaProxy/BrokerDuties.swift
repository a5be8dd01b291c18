import Foundation
import Synchronization

/// What Kafka does since KIP-447, and the test stack's broker (noida-db 0.2.3) does not:
/// - a transaction's offsets under another generation than the group's are refused (ILLEGAL_GENERATION);
/// - the committed offset of a partition that has offsets in an open transaction is not given to who asks for stable ones
///   (UNSTABLE_OFFSET_COMMIT), as a consumer does that reads what is committed;
/// - a member that is silent for its session's time is removed from its group, and one that waits for others to join is
///   not silent: the broker is told of sessions of half an hour, as it takes who waits for longer than its session out of
///   the group, and who has not been answered then waits on;
/// - who joins or leaves in the moment in which a rebalance ends keeps nobody from its answer (`MembershipChanges`);
/// - a transaction that is open for longer than its time is aborted, and its producer fenced;
/// - a transaction outlives a restart: this broker aborts it, forgets it, and takes the rest of it all the same, so that its
///   offsets are committed and its messages are not. Here its producer is fenced.
public final class BrokerDuties: Sendable {
    private static let illegalGeneration: Int16 = 22
    private static let unstableOffsetCommit: Int16 = 88

    private struct Member: Hashable {
        let group: String
        let id: String
    }

    private struct Session {
        var timeout: Duration
        var lastSeen: ContinuousClock.Instant
        /// It has asked to join and is not answered: the group waits for others. Kafka takes it for alive as long, within
        /// the time that a rebalance may take; here a minute.
        var isJoining = false

        func isOver(at now: ContinuousClock.Instant) -> Bool {
            now - lastSeen > (isJoining ? .seconds(60) : timeout)
        }
    }

    private struct OpenTransaction {
        var since: ContinuousClock.Instant
        var places: Set<Place> = []
    }

    private struct Place: Hashable {
        let group: String
        let topic: String
        let partition: Int32
    }

    private struct State {
        var generations: [String: Int32] = [:]
        var sessions: [Member: Session] = [:]
        var transactionTimeouts: [String: Duration] = [:]
        var transactions: [String: OpenTransaction] = [:]
        /// Whose transactions a restart has ended.
        var forgotten: Set<String> = []
        /// When transactions that held these last ended.
        var settled: [Place: ContinuousClock.Instant] = [:]
        var refusals = 0
        var unstable = 0
        var removedMembers = 0
        var abortedTransactions = 0
        var isEnded = false

        mutating func settle(_ transactionalID: String) {
            guard let transaction = transactions.removeValue(forKey: transactionalID) else { return }
            for place in transaction.places { settled[place] = .now }
        }

        /// What an answer to a request of then may not tell: the broker may have given it while a transaction was open that
        /// has ended since.
        func unstable(since then: ContinuousClock.Instant) -> Set<Place> {
            let open = transactions.values.reduce(into: Set<Place>()) { $0.formUnion($1.places) }
            return open.union(settled.filter { $0.value >= then }.keys)
        }
    }

    private let upstreamPort: UInt16
    private let keepsSessions: Bool
    private let changes = MembershipChanges()
    private let state = Mutex(State())

    init(upstreamPort: UInt16, keepsSessions: Bool = true) {
        self.upstreamPort = upstreamPort
        self.keepsSessions = keepsSessions
        Thread.detachNewThread { [weak self] in
            while let self, !state.withLock({ $0.isEnded }) {
                sweep()
                usleep(100_000)
            }
        }
    }

    func end() { state.withLock { $0.isEnded = true } }

    /// The broker has ended, and is started again.
    public func brokerRestarts() {
        state.withLock { state in
            state.forgotten.formUnion(state.transactions.keys)
            state.abortedTransactions += state.transactions.count
            for id in state.transactions.keys { state.settle(id) }
        }
    }

    /// Offsets of an old generation that were refused.
    public var refusals: Int { state.withLock { $0.refusals } }
    /// Committed offsets that were not given yet.
    public var unstableOffsets: Int { state.withLock { $0.unstable } }
    public var removedMembers: Int { state.withLock { $0.removedMembers } }
    public var abortedTransactions: Int { state.withLock { $0.abortedTransactions } }
    /// What the producers have asked for, one each.
    public var transactionTimeouts: [Duration] {
        state.withLock { Array($0.transactionTimeouts.values) }
    }

    /// Holds a request until the broker can take it.
    func awaitTurn(of request: KafkaRequest) {
        switch request.call {
        case .joinGroup:
            let member = Member(group: request.group, id: request.member)
            changes.join(request.group, isMember: state.withLock { $0.sessions[member] != nil })
        case .leaveGroup: changes.leave(request.group)
        default: break
        }
    }

    /// The request's answer was not to be had.
    func unanswered(_ request: KafkaRequest) {
        if request.call == .joinGroup { changes.joinHasEnded(request.group) }
    }

    /// The answer to a request that the broker must not see; nil: it may.
    func answer(to request: KafkaRequest) -> [UInt8]? {
        state.withLock { state in
            if state.forgotten.contains(request.transactionalID), let refusal = Self.fencing(request) {
                return refusal
            }
            let member = Member(group: request.group, id: request.member)
            switch request.call {
            case .joinGroup, .syncGroup, .heartbeat:
                state.sessions[member]?.lastSeen = .now
                state.sessions[member]?.isJoining = request.call == .joinGroup
            case .leaveGroup: state.sessions[member] = nil
            case .initProducerID where !request.transactionalID.isEmpty:
                state.transactionTimeouts[request.transactionalID] = .milliseconds(
                    request.timeoutMilliseconds)
                state.forgotten.remove(request.transactionalID)
            case .addPartitionsToTransaction, .addOffsetsToTransaction:
                if state.transactions[request.transactionalID] == nil {
                    state.transactions[request.transactionalID] = OpenTransaction(since: .now)
                }
            case .transactionOffsetCommit:
                if request.generation >= 0, let current = state.generations[request.group],
                    request.generation != current
                {
                    state.refusals += 1
                    return request.transactionOffsetsAnswer(error: Self.illegalGeneration)
                }
                let places = request.places.map {
                    Place(group: request.group, topic: $0.topic, partition: $0.partition)
                }
                state.transactions[request.transactionalID, default: OpenTransaction(since: .now)].places
                    .formUnion(places)
            default: break
            }
            return nil
        }
    }

    /// The answer to what may change something; nil: it may not.
    private static func fencing(_ request: KafkaRequest) -> [UInt8]? {
        switch request.call {
        case .produce: request.produceAnswer(error: KafkaRequest.invalidProducerEpoch)
        case .transactionOffsetCommit:
            request.transactionOffsetsAnswer(error: KafkaRequest.invalidProducerEpoch)
        case .endTransaction where request.isCommit:
            request.transactionEndAnswer(error: KafkaRequest.invalidProducerEpoch)
        default: nil
        }
    }

    private static let longSessionMilliseconds: Int32 = 1_800_000

    /// A request as the broker is to see it.
    func passing(_ bytes: [UInt8], of request: KafkaRequest) -> [UInt8] {
        guard keepsSessions, let position = request.sessionTimePosition, position + 4 <= bytes.count
        else { return bytes }
        var bytes = bytes
        withUnsafeBytes(of: Self.longSessionMilliseconds.bigEndian) {
            bytes.replaceSubrange(position..<position + 4, with: $0)
        }
        return bytes
    }

    /// The broker's answer as a client is to see it.
    func passing(_ answer: [UInt8], to request: KafkaRequest) -> [UInt8] {
        var reader = WireReader(answer, isFlexible: request.isFlexible)
        reader.skip(4)
        if request.call != .apiVersions { reader.skipTags() }
        switch request.call {
        case .joinGroup: joined(&reader, request)
        case .endTransaction, .initProducerID:
            reader.skip(4)
            if reader.int16() == 0 {
                state.withLock { $0.settle(request.transactionalID) }
            }
        case .offsetFetch where request.wantsStableOffsets: return stable(answer, &reader, request)
        default: break
        }
        return answer
    }

    private func joined(_ reader: inout WireReader, _ request: KafkaRequest) {
        changes.joinHasEnded(request.group)
        state.withLock { state in
            let asked = Member(group: request.group, id: request.member)
            state.sessions[asked]?.isJoining = false
            state.sessions[asked]?.lastSeen = .now
        }
        if request.version >= 2 { reader.skip(4) }
        guard reader.int16() == 0 else { return }
        let generation = reader.int32()
        if request.version >= 7 { _ = reader.string() }
        _ = reader.string()
        _ = reader.string()
        if request.version >= 9 { reader.skip(1) }
        let member = Member(group: request.group, id: reader.string())
        state.withLock { state in
            // Kafka counts on after a restart; this broker begins again, and then a lower one is the newest.
            state.generations[request.group] = generation
            state.sessions[member] = Session(
                timeout: .milliseconds(request.timeoutMilliseconds), lastSeen: .now)
        }
    }

    /// Puts an error in the place of each offset that an open transaction is about to change, or one that was open when
    /// the broker was asked has changed.
    private func stable(_ answer: [UInt8], _ reader: inout WireReader, _ request: KafkaRequest) -> [UInt8] {
        let open = state.withLock { $0.unstable(since: request.received) }
        guard !open.isEmpty else { return answer }
        var bytes = answer
        reader.skip(4)
        for _ in 0..<(request.version >= 8 ? reader.count() : 1) {
            let group = request.version >= 8 ? reader.string() : nil
            for _ in 0..<reader.count() {
                let topic = reader.string()
                for _ in 0..<reader.count() {
                    let partition = reader.int32()
                    let offset = reader.position
                    reader.skip(8 + 4)
                    _ = reader.string()
                    let error = reader.position
                    reader.skip(2)
                    reader.skipTags()
                    let isOpen = open.contains {
                        $0.topic == topic && $0.partition == partition && (group == nil || group == $0.group)
                    }
                    guard isOpen, error + 2 <= bytes.count else { continue }
                    bytes.replaceSubrange(offset..<offset + 8, with: [UInt8](repeating: 255, count: 8))
                    bytes.replaceSubrange(error..<error + 2, with: [0, UInt8(Self.unstableOffsetCommit)])
                    state.withLock { $0.unstable += 1 }
                }
                reader.skipTags()
            }
            if request.version >= 8 {
                reader.skip(2)
                reader.skipTags()
            }
        }
        return bytes
    }

    // MARK: Who is gone

    private func sweep() {
        let now = ContinuousClock.now
        let (silent, abandoned) = state.withLock { state in
            let silent = state.sessions.filter { $0.value.isOver(at: now) }.map(\.key)
            for member in silent { state.sessions[member] = nil }
            let abandoned = state.transactions.filter { id, transaction in
                now - transaction.since > state.transactionTimeouts[id] ?? .seconds(60)
            }.map(\.key)
            return (silent, abandoned)
        }
        for member in silent where keepsSessions {
            let isRemoved = remove(member)
            state.withLock { state in
                if isRemoved == true { state.removedMembers += 1 }
                // Nothing was heard: soon once more, or the group would wait for it for ever.
                if isRemoved == nil, state.sessions[member] == nil {
                    state.sessions[member] = Session(timeout: .seconds(1), lastSeen: .now)
                }
            }
        }
        for id in abandoned where abort(id) {
            state.withLock { state in
                state.settle(id)
                state.abortedTransactions += 1
            }
        }
    }

    /// LeaveGroup, version 0, in the member's name.
    ///
    /// - Returns: Whether it was a member; nil: the broker has not answered.
    private func remove(_ member: Member) -> Bool? {
        changes.leave(member.group)
        var body = WireWriter(isFlexible: false)
        body.append(member.group)
        body.append(member.id)
        guard let answer = ask(.leaveGroup, body.bytes) else { return nil }
        var reader = WireReader(answer, isFlexible: false)
        reader.skip(4)
        return reader.int16() == 0
    }

    /// InitProducerId, version 0: ends what is open under the id, and fences who opened it.
    private func abort(_ transactionalID: String) -> Bool {
        var body = WireWriter(isFlexible: false)
        body.append(transactionalID)
        body.append(Int32(10_000))
        guard let answer = ask(.initProducerID, body.bytes) else { return false }
        var reader = WireReader(answer, isFlexible: false)
        reader.skip(8)
        return reader.int16() == 0
    }

    private func ask(_ call: KafkaRequest.Call, _ body: [UInt8]) -> [UInt8]? {
        guard let wire = Wire.connect(port: upstreamPort) else { return nil }
        // The broker may answer when a rebalance is over, which may need the next one's removal.
        wire.limitWait(seconds: 2)
        var request = WireWriter(isFlexible: false)
        request.append(call.rawValue)
        request.append(Int16(0))
        request.append(Int32(1))
        request.append("proxy")
        return wire.write(request.bytes + body) ? wire.read() : nil
    }
}
