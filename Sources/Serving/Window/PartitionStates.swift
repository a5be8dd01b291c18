/// The partitions of a batch while it is folded: where each stands, and what its record says of the windows.
///
/// For the batch `[c, d)` of a partition, with the stored record `[base, end)`:
///
///     no record, nothing committed    a new partition
///     no record                       the store has lost everything, or is of an older version
///     end = c                         the batch before is committed
///     base = c                        this batch was written before, and not committed
///     base < c < end                  the same of a longer batch, of which a part is committed; or offsets were set back
///                                     into it. Pending records tell by their offsets which of them count
///     end < c, the same store         offsets were set forward
///     end < c                         the store has been set back
///     otherwise                       offsets were set back
struct PartitionStates {
    struct Partition {
        let slice: PartitionSlice
        var expected = WindowExpectation.nothing
        var epoch: UInt32
        /// Every record below it was committed, at one time or another.
        var committedOffset: Int64
        /// At the batch's start.
        var baseClock = EventClock()
        /// As the batch is folded.
        var clock = EventClock()
        var missing = MissingHistory.none
        /// There is no record, though there should be one.
        var isUnknown = false
        /// A record that ends before the slice begins.
        var older: PartitionRecord?

        /// Whether an older version may have windows of users that this one does not find.
        var mayHaveUnnamed: Bool { isUnknown || missing.isAdopting }
    }

    private(set) var partitions: [Partition] = []
    private(set) var notices: [WindowNotice] = []
    private let consumed: ConsumedBatch
    /// For partitions that have none, or not one any more.
    private let freshEpoch: UInt32

    init(_ consumed: ConsumedBatch, freshEpoch: UInt32) {
        self.consumed = consumed
        self.freshEpoch = freshEpoch
        partitions.reserveCapacity(consumed.slices.count)
    }

    subscript(slice: Int) -> Partition { partitions[slice] }

    /// Takes the stored record of the next slice's partition.
    mutating func append(_ bytes: UnsafeRawBufferPointer?) {
        let slice = consumed.slices[partitions.count]
        var partition = Partition(slice: slice, epoch: freshEpoch, committedOffset: slice.start)
        if let bytes {
            partition.expected = WindowExpectation(of: bytes)
            do {
                take(try PartitionRecord(bytes, partition: slice.source.partition), &partition)
            } catch {
                notices.append(.recordDamaged(partition: slice.source.partition, reason: "\(error)"))
                partition.isUnknown = !slice.isAtBeginning
            }
        } else {
            partition.isUnknown = !slice.isAtBeginning
        }
        partitions.append(partition)
    }

    private mutating func take(_ record: PartitionRecord, _ partition: inout Partition) {
        let start = partition.slice.start
        let number = partition.slice.source.partition
        partition.epoch = record.epoch
        partition.missing = record.missing
        partition.clock = record.endClock
        partition.committedOffset = max(start, record.committedOffset)
        if record.endOffset > start {
            if record.baseOffset == start {
                partition.clock = record.baseClock
            } else {
                // For blobs without offsets alone: nobody commits within a batch, so it was committed whole, and offsets were
                // set back into it.
                if record.baseOffset < start { partition.committedOffset = record.endOffset }
                if record.baseOffset > start {
                    notices.append(.ahead(partition: number, watermark: record.endOffset, start: start))
                }
            }
        } else if record.endOffset < start {
            partition.older = record
        }
        partition.baseClock = partition.clock
    }

    /// Whether there is a record that the store's identity of now is to be compared with.
    var hasOlder: Bool { partitions.contains { $0.older != nil } }

    /// Decides what partitions are whose record is missing or old. Called once, after all are read.
    ///
    /// - Parameters:
    ///   - adoptedUsers: For each slice, how many users have a window of an older version.
    ///   - identity: What the store says of itself now; asked where `hasOlder`.
    mutating func conclude(adoptedUsers: [Int], identity: UInt32) {
        for slice in partitions.indices {
            let source = partitions[slice].slice
            if let older = partitions[slice].older {
                let isSameStore = identity != 0 && identity == older.storeIdentity
                let number = source.source.partition
                notices.append(
                    isSameStore
                        ? .behind(partition: number, watermark: older.endOffset, start: source.start)
                        : .lost(partition: number, watermark: older.endOffset, committed: source.start))
                partitions[slice].epoch = freshEpoch == older.epoch ? freshEpoch &+ 2 : freshEpoch
                addMissing(isSameStore ? .windowBehind : .windowsLost, to: slice)
            } else if partitions[slice].isUnknown, adoptedUsers[slice] > 0 {
                addMissing(.adopting, to: slice)
            } else if partitions[slice].isUnknown {
                addMissing(.windowsLost, to: slice)
                notices.append(
                    .lost(partition: source.source.partition, watermark: nil, committed: source.start))
            }
        }
        let adopted = adoptedUsers.reduce(0, +)
        if adopted > 0 { notices.append(.adopted(users: adopted)) }
    }

    /// The store has thrown away windows: whoever has none may have had one.
    mutating func noteEvictions(_ count: Int) {
        notices.append(.evicted(count: count))
        for slice in partitions.indices { addMissing(.windowsLost, to: slice) }
    }

    private mutating func addMissing(_ marks: TransactionMarks, to slice: Int) {
        let time = time(of: slice, partitions[slice].clock)
        partitions[slice].missing.add(MissingHistory(marks, before: time))
    }

    /// A partition's time: its clock's, or that of its first record in the batch.
    func time(of slice: Int, _ clock: EventClock) -> Int64 {
        if let time = clock.milliseconds { return time }
        guard let row = consumed.sliceIndex.firstIndex(of: Int32(slice)) else { return .max }
        return consumed.recordMilliseconds(row) ?? consumed.transactions.timestampMilliseconds[row]
    }

    /// Takes a row of the batch into its partition's clock.
    ///
    /// - Returns: Whether the row's event is in the future.
    mutating func isFuture(row: Int, skewMilliseconds: Int64) -> Bool {
        partitions[Int(consumed.sliceIndex[row])].clock.isFuture(
            eventMilliseconds: consumed.transactions.timestampMilliseconds[row],
            recordMilliseconds: consumed.recordMilliseconds(row), skewMilliseconds: skewMilliseconds)
    }

    func writes(_ token: WindowToken, storeIdentity: UInt32) -> [WindowWrites.Partition] {
        partitions.map { partition in
            let record = PartitionRecord(
                epoch: partition.epoch, storeIdentity: storeIdentity, baseOffset: partition.slice.start,
                endOffset: partition.slice.end, committedOffset: partition.committedOffset,
                baseClock: partition.baseClock, endClock: partition.clock, missing: partition.missing)
            let number = partition.slice.source.partition
            return WindowWrites.Partition(
                partition: number, expected: partition.expected,
                bytes: record.encoded(token, partition: number))
        }
    }

    mutating func add(_ notice: WindowNotice) { notices.append(notice) }
}
