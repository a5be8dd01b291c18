import Features
import Transactions

/// Stage 2: reads the users' windows, folds the batch into them in order, and prepares the new blobs.
///
/// Two steps, since the stream is asked in between where users come from: see `BatchProtocol`.
///
/// This is the batch protocol of the window store: for a batch `[c, d)` of a partition, those pending records of a blob
/// whose offset is below c are committed, and are folded into the base; the others belong to a batch that was never
/// committed, and are dropped. So the window is exactly that of the records below c, whoever was killed when
/// (`WindowStart`). `PartitionStates` has the rules for
/// stores that have forgotten and for offsets that were moved by hand.
public final class WindowStage {
    public struct Settings: Sendable {
        /// How far an event may be dated ahead of its partition's and its record's time.
        public var skewMilliseconds: Int64 = 86_400_000
        /// A user with fewer transactions in the 30 days before is marked cold.
        public var coldBelow = 0
        /// How often the store is asked whether it has thrown windows away.
        public var inspectionInterval = Duration.seconds(10)

        public init() {}
    }

    private let store: any WindowStore
    /// Random for this worker's life, so that no other writer's token can equal ours.
    private let writer: UInt64
    private let settings: Settings
    private var sequence: UInt64 = 0
    /// What the store last said of itself; nil: to be asked.
    private var condition: WindowStoreCondition?
    private var inspected: ContinuousClock.Instant?

    public init(store: any WindowStore, writer: UInt64, settings: Settings = Settings()) {
        self.store = store
        self.writer = writer
        self.settings = settings
    }

    /// Both steps, where no user comes from a partition outside of the batch.
    public func run(_ consumed: ConsumedBatch) throws -> WindowedBatch { run(try read(consumed)) }

    /// The first step: what the store has for the batch. The only one that asks it.
    public func read(_ consumed: ConsumedBatch) throws -> ReadWindows {
        do {
            return try readWindows(consumed)
        } catch {
            // It may be another store that answers next.
            condition = nil
            throw error
        }
    }

    private func readWindows(_ consumed: ConsumedBatch) throws -> ReadWindows {
        sequence += 1
        let evictions = try inspect()
        let index = UserIndex(consumed.transactions)
        // Never 0, which says that there is no epoch.
        let epoch = UInt32(truncatingIfNeeded: (writer ^ sequence &* 0x9E37_79B9_7F4A_7C15) >> 32) | 1
        var partitions = PartitionStates(consumed, freshEpoch: epoch)
        var users = UserStates(capacity: index.count, slices: consumed.slices.count)
        func slice(_ slot: Int) -> Int { Int(consumed.sliceIndex[Int(index.firstRows[slot])]) }
        try store.read(index.keys, partitions: consumed.slices.map(\.source.partition)) { _, bytes in
            partitions.append(bytes)
        } user: { slot, stored in
            let problem = users.append(
                stored, slice: slice(slot), of: partitions[slice(slot)], hash: index.hashes[slot])
            if let problem { partitions.add(damaged(slot, index, problem)) }
        }
        if !users.absent.isEmpty {
            try store.readUnnamed(index.keys, indices: users.absent) { slot, bytes in
                users.adopt(slot, bytes, of: partitions[slice(slot)])
            }
        }
        return ReadWindows(
            consumed: consumed, index: index, partitions: partitions, users: users, evictions: evictions,
            identity: partitions.hasOlder ? try store.condition().identity : 0,
            storeIdentity: condition?.identity ?? 0,
            token: WindowToken(writer: writer, sequence: sequence))
    }

    /// The second step: folds the batch into the windows that were read, and makes the new blobs.
    ///
    /// - Parameter committedOffsets: Of the partitions that were `asked` for; absent: nothing was ever committed there.
    public func run(_ read: consuming ReadWindows, committedOffsets: [Int32: Int64] = [:]) -> WindowedBatch {
        let consumed = read.consumed
        let index = read.index
        var partitions = read.partitions
        // Taken, not copied: they are large.
        var users = UserStates(capacity: 0, slices: 0)
        swap(&users, &read.users)
        // What lies below a slice is committed: batches are delivered one after the other.
        let starts = consumed.slices.map { ($0.source.partition, $0.start) }
        for (slot, reason) in users.settle(committedOffsets.merging(starts) { $1 }) {
            partitions.add(damaged(slot, index, reason))
        }
        partitions.conclude(adoptedUsers: users.adopted, identity: read.identity)
        if read.evictions > 0 { partitions.noteEvictions(read.evictions) }
        users.conclude(partitions)

        let width = UserWindow.featureCount
        var marks: [TransactionMarks] = []
        marks.reserveCapacity(consumed.count)
        var memories: [WindowMemory] = []
        memories.reserveCapacity(consumed.count)
        let features = [Float](unsafeUninitializedCapacity: consumed.count * width) { buffer, initialized in
            for row in 0..<consumed.count {
                let into = UnsafeMutableBufferPointer(rebasing: buffer[row * width..<(row + 1) * width])
                let isFuture = partitions.isFuture(row: row, skewMilliseconds: settings.skewMilliseconds)
                marks.append(
                    users.fold(
                        WindowEvent(consumed.transactions, row: row), slot: Int(index.slots[row]),
                        partition: consumed.slices[Int(consumed.sliceIndex[row])].source.partition,
                        offset: consumed.offsets[row], isFuture: isFuture, coldBelow: settings.coldBelow,
                        features: into, memories: &memories))
            }
            initialized = consumed.count * width
        }
        let writes = users.writes(
            users: index.keys, token: read.token, partitions: partitions, storeIdentity: read.storeIdentity)
        return WindowedBatch(
            consumed: consumed, features: features, marks: marks, memories: memories, slots: index.slots,
            users: index.keys, userHashes: index.hashes, writes: writes, notices: partitions.notices)
    }

    private func damaged(_ slot: Int, _ index: UserIndex, _ reason: String) -> WindowNotice {
        let user = index.keys.text(slot)
        return .damaged(user: user, key: store.damagedKey(of: user), reason: reason)
    }

    /// Asks the store now and then how it is.
    ///
    /// - Returns: How many items it has thrown away since it was asked before.
    private func inspect() throws -> Int {
        if condition != nil, let inspected, .now - inspected < settings.inspectionInterval { return 0 }
        let found = try store.condition()
        defer {
            condition = found
            inspected = .now
        }
        guard let condition, condition.identity == found.identity else { return 0 }
        return max(0, found.evictions - condition.evictions)
    }
}
