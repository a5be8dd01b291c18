import Features
import Transactions

/// Stage 2: reads the users' windows, folds the batch into them in order, and prepares the new blobs.
///
/// This is the batch protocol of the window store: for a batch `[c, d)` of a partition, a blob whose end offset
/// is at most c has pending records that the stream has committed, and they are folded into the base; a blob
/// whose end is beyond c has pending records of a batch that was never committed, and they are dropped. Either
/// way the window is exactly that of the records below c, whoever was killed when.
public final class WindowStage {
    private let store: any WindowStore
    /// Random for this worker's life, so that no other writer's token can equal ours.
    private let writer: UInt64
    private var sequence: UInt64 = 0

    public init(store: any WindowStore, writer: UInt64) {
        self.store = store
        self.writer = writer
    }

    /// - Parameter committedOffset: The committed offset of another partition, for users that moved.
    public func window(
        _ consumed: ConsumedBatch, committedOffset: (Int32) throws -> Int64?
    ) throws -> WindowedBatch {
        sequence += 1
        let index = UserIndex(consumed.transactions)
        var users = UserStates(capacity: index.count)
        try store.read(index.keys) { slot, bytes in
            let slice = consumed.slices[Int(consumed.sliceIndex[Int(index.firstRows[slot])])]
            try users.append(bytes, slice: slice, committedOffset: committedOffset)
        }
        let width = UserWindow.featureCount
        var marks: [TransactionMarks] = []
        marks.reserveCapacity(consumed.count)
        let features = [Float](unsafeUninitializedCapacity: consumed.count * width) { buffer, initialized in
            for row in 0..<consumed.count {
                let into = UnsafeMutableBufferPointer(rebasing: buffer[row * width..<(row + 1) * width])
                marks.append(
                    users.fold(
                        WindowEvent(consumed.transactions, row: row), slot: Int(index.slots[row]),
                        partition: consumed.slices[Int(consumed.sliceIndex[row])].source.partition,
                        offset: consumed.offsets[row], features: into))
            }
            initialized = consumed.count * width
        }
        let writes = users.writes(
            users: index.keys, slots: index.slots,
            token: WindowToken(writer: writer, sequence: sequence))
        return WindowedBatch(
            consumed: consumed, features: features, marks: marks, slots: index.slots, users: index.keys,
            userHashes: index.hashes, writes: writes)
    }
}

/// The windows of a batch's users while it is folded.
private struct UserStates {
    private struct User {
        var token: WindowToken?
        var partition: Int32
        var marks: TransactionMarks
        /// Records below it are in the base.
        var baseOffset: Int64
        var endOffset: Int64
        var baseRange: Range<Int>
        var pendingCount = 0
    }

    private var users: [User] = []
    private var windows: [UserWindow] = []
    /// Encoded base windows, one after the other.
    private var bases: [UInt8] = []
    /// The batch's events that are folded, with their user's slot.
    private var events: [(slot: Int32, event: WindowEvent)] = []

    init(capacity: Int) {
        users.reserveCapacity(capacity)
        windows.reserveCapacity(capacity)
    }

    mutating func append(
        _ bytes: UnsafeRawBufferPointer?, slice: PartitionSlice, committedOffset: (Int32) throws -> Int64?
    ) throws {
        let partition = slice.source.partition
        var window = UserWindow()
        var user = User(
            token: nil, partition: partition, marks: [], baseOffset: slice.start, endOffset: slice.end,
            baseRange: bases.count..<bases.count)
        if let bytes {
            let blob = try WindowBlob(bytes)
            user.token = blob.token
            let isCommitted: Bool
            if blob.partition == partition {
                isCommitted = blob.endOffset <= slice.start
                if blob.baseOffset > slice.start {
                    user.marks.insert(.windowAhead)
                    user.baseOffset = blob.baseOffset
                }
            } else {
                // Offsets of two partitions do not compare: the blob's own partition decides.
                user.marks.insert(.windowMoved)
                isCommitted = try committedOffset(blob.partition).map { blob.endOffset <= $0 } ?? false
            }
            window = try blob.window(foldingPending: isCommitted)
        }
        let start = bases.count
        window.encode(into: &bases)
        user.baseRange = start..<bases.count
        users.append(user)
        windows.append(window)
    }

    mutating func fold(
        _ event: WindowEvent, slot: Int, partition: Int32, offset: Int64,
        features: UnsafeMutableBufferPointer<Float>
    ) -> TransactionMarks {
        var marks: TransactionMarks = []
        windows[slot].writeFeatures(for: event, into: features)
        if users[slot].marks.contains(.windowMoved) || partition != users[slot].partition {
            marks.insert(.windowMoved)
        }
        if users[slot].marks.contains(.windowAhead), offset < users[slot].baseOffset {
            marks.insert(.windowAhead)
            return marks
        }
        if windows[slot].fold(event) { marks.insert(.late) }
        users[slot].pendingCount += 1
        events.append((Int32(slot), event))
        return marks
    }

    /// Builds the new blobs: each user's base, and the batch's events as pending.
    func writes(users keys: UserKeys, slots: [Int32], token: WindowToken) -> WindowWrites {
        // Events by user, each user's in order: a counting sort.
        var next = [Int](repeating: 0, count: users.count)
        var total = 0
        for slot in users.indices {
            next[slot] = total
            total += users[slot].pendingCount
        }
        let first = next
        var sorted = [Int32](repeating: 0, count: events.count)
        for (index, entry) in events.enumerated() {
            sorted[next[Int(entry.slot)]] = Int32(index)
            next[Int(entry.slot)] += 1
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            bases.count + users.count * WindowBlob.headerSize + events.count * WindowEvent.encodedSize)
        var ends: [Int] = []
        ends.reserveCapacity(users.count)
        for (slot, user) in users.enumerated() {
            WindowBlob.appendHeader(
                to: &bytes, token: token, partition: user.partition, baseOffset: user.baseOffset,
                endOffset: user.endOffset, pendingCount: user.pendingCount, baseSize: user.baseRange.count)
            bytes.append(contentsOf: bases[user.baseRange])
            for place in first[slot]..<first[slot] + user.pendingCount {
                events[Int(sorted[place])].event.encode(into: &bytes)
            }
            ends.append(bytes.count)
        }
        return WindowWrites(users: keys, expected: users.map(\.token), bytes: bytes, ends: ends)
    }
}
