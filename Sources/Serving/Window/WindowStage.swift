import Features
import Transactions

/// Stage 2: reads the users' windows, folds the batch into them in order, and prepares the new blobs.
///
/// This is the batch protocol of the window store: for a batch `[c, d)` of a partition, a blob whose end offset
/// is at most c has pending records that the stream has committed, and they are folded into the base; a blob
/// whose end is beyond c has pending records of a batch that was never committed, and they are dropped. Either
/// way the window is exactly that of the records below c, whoever was killed when. `PartitionStates` has the rules for
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

    /// - Parameter committedOffset: The committed offset of another partition, for users that moved.
    public func window(
        _ consumed: ConsumedBatch, committedOffset: (Int32) throws -> Int64?
    ) throws -> WindowedBatch {
        do {
            return try foldedBatch(consumed, committedOffset)
        } catch {
            // It may be another store that answers next.
            condition = nil
            throw error
        }
    }

    private func foldedBatch(
        _ consumed: ConsumedBatch, _ committedOffset: (Int32) throws -> Int64?
    ) throws -> WindowedBatch {
        sequence += 1
        let evictions = try inspect()
        let index = UserIndex(consumed.transactions)
        // Never 0, which says that there is no epoch.
        let epoch = UInt32(truncatingIfNeeded: (writer ^ sequence &* 0x9E37_79B9_7F4A_7C15) >> 32) | 1
        var partitions = PartitionStates(consumed, freshEpoch: epoch)
        var users = try read(consumed, index, &partitions, committedOffset)
        if evictions > 0 { partitions.noteEvictions(evictions) }
        users.conclude(partitions)

        let width = UserWindow.featureCount
        var marks: [TransactionMarks] = []
        marks.reserveCapacity(consumed.count)
        let features = [Float](unsafeUninitializedCapacity: consumed.count * width) { buffer, initialized in
            for row in 0..<consumed.count {
                let into = UnsafeMutableBufferPointer(rebasing: buffer[row * width..<(row + 1) * width])
                let isFuture = partitions.isFuture(row: row, skewMilliseconds: settings.skewMilliseconds)
                marks.append(
                    users.fold(
                        WindowEvent(consumed.transactions, row: row), slot: Int(index.slots[row]),
                        partition: consumed.slices[Int(consumed.sliceIndex[row])].source.partition,
                        offset: consumed.offsets[row], isFuture: isFuture, coldBelow: settings.coldBelow,
                        features: into))
            }
            initialized = consumed.count * width
        }
        let writes = users.writes(
            users: index.keys, token: WindowToken(writer: writer, sequence: sequence), partitions: partitions,
            storeIdentity: condition?.identity ?? 0)
        return WindowedBatch(
            consumed: consumed, features: features, marks: marks, slots: index.slots, users: index.keys,
            userHashes: index.hashes, writes: writes, notices: partitions.notices)
    }

    private func read(
        _ consumed: ConsumedBatch, _ index: UserIndex, _ partitions: inout PartitionStates,
        _ committedOffset: (Int32) throws -> Int64?
    ) throws -> UserStates {
        var users = UserStates(capacity: index.count)
        func slice(_ slot: Int) -> Int { Int(consumed.sliceIndex[Int(index.firstRows[slot])]) }
        try store.read(index.keys, partitions: consumed.slices.map(\.source.partition)) { _, bytes in
            partitions.append(bytes)
        } user: { slot, stored in
            let problem = try users.append(
                stored, slice: slice(slot), of: partitions[slice(slot)], hash: index.hashes[slot],
                committedOffset: committedOffset)
            if let problem {
                let user = index.keys.text(slot)
                partitions.add(.damaged(user: user, key: store.damagedKey(of: user), reason: problem))
            }
        }
        var adopted = [Int](repeating: 0, count: consumed.slices.count)
        if !users.absent.isEmpty {
            try store.readUnnamed(index.keys, indices: users.absent) { slot, bytes in
                let isAdopted = try users.adopt(
                    slot, bytes, of: partitions[slice(slot)], committedOffset: committedOffset)
                if isAdopted { adopted[slice(slot)] += 1 }
            }
        }
        try partitions.conclude(adoptedUsers: adopted) { try store.condition() }
        return users
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
