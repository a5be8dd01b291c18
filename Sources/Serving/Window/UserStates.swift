import BatchProtocol
import Features

/// The windows of a batch's users while it is folded.
struct UserStates {
    private struct User {
        let slice: Int
        let partition: Int32
        let hash: UInt64
        var expected = WindowExpectation.nothing
        var marks: TransactionMarks = []
        var missing = MissingHistory.none
        /// Records below it are in the base.
        var baseOffset: Int64
        let endOffset: Int64
        var origin = Origin.nothing
        var baseRange = 0..<0
        var pendingCount = 0
    }

    private enum Origin {
        case nothing
        case damaged
        /// A blob of the partition's own, of some epoch.
        case epoch(UInt32)
        /// A blob that no epoch of the partition speaks of.
        case elsewhere
    }

    /// A blob that another partition's batch wrote: what of it counts is told by that partition's committed offset.
    private struct MovedBlob {
        let slot: Int
        let place: BlobPlace
        let bytes: [UInt8]
        /// Whether it is of an older version.
        let isUnnamed: Bool
    }

    private enum Taken {
        case window(UserWindow)
        case moved(BlobPlace)
    }

    private var users: [User] = []
    private var moved: [MovedBlob] = []
    private var windows: [UserWindow] = []
    /// Encoded base windows, one after the other.
    private var bases: [UInt8] = []
    /// The batch's events that are folded, with their user's slot and the offset below which they do not count.
    private var events: [(slot: Int32, offset: Int64, event: WindowEvent)] = []
    /// Users without a window, where an older version may have one.
    private(set) var absent: [Int] = []
    /// For each slice, how many users have a window of an older version.
    private(set) var adopted: [Int]
    private(set) var damaged: [Int] = []

    /// What the offset of a pending record takes in a blob, as a rule: it lies less than 8,192 from the one before.
    private static let offsetSize = 2
    private static let count30d = FeatureSchema.index(of: "count_30d")

    init(capacity: Int, slices: Int) {
        adopted = [Int](repeating: 0, count: slices)
        users.reserveCapacity(capacity)
        windows.reserveCapacity(capacity)
    }

    // MARK: - Reading

    /// Where the windows come from of users who were in another partition before.
    var movedPlaces: [BlobPlace] { moved.map(\.place) }

    /// Takes what the store has for the next user.
    ///
    /// - Returns: Why it could not be used.
    mutating func append(
        _ stored: StoredWindow, slice: Int, of partition: PartitionStates.Partition, hash: UInt64
    ) -> String? {
        let slot = users.count
        users.append(
            User(
                slice: slice, partition: partition.slice.source.partition, hash: hash,
                baseOffset: partition.slice.start, endOffset: partition.slice.end))
        windows.append(UserWindow())
        switch stored {
        case .none:
            if partition.mayHaveUnnamed { absent.append(slot) }
            return nil
        case .foreign:
            users[slot].expected = .foreign
            return damage(slot, "the key holds no string")
        case .blob(let bytes):
            users[slot].expected = WindowExpectation(of: bytes)
            do throws(WindowStoreError) {
                switch try take(bytes, slot, partition) {
                case .window(let window): windows[slot] = window
                case .moved(let place):
                    moved.append(
                        MovedBlob(slot: slot, place: place, bytes: Array(bytes), isUnnamed: false))
                }
                return nil
            } catch {
                return damage(slot, "\(error)")
            }
        }
    }

    private mutating func damage(_ slot: Int, _ reason: String) -> String {
        users[slot].origin = .damaged
        damaged.append(slot)
        return reason
    }

    /// Takes what an older version has for a user without a window. One that is damaged stays where it is: nobody will
    /// write there.
    mutating func adopt(
        _ slot: Int, _ bytes: UnsafeRawBufferPointer?, of partition: PartitionStates.Partition
    ) {
        guard let bytes else { return }
        switch try? take(bytes, slot, partition) {
        case .window(let window):
            windows[slot] = window
            users[slot].origin = .elsewhere
            adopted[users[slot].slice] += 1
        case .moved(let place):
            moved.append(MovedBlob(slot: slot, place: place, bytes: Array(bytes), isUnnamed: true))
        case nil: break
        }
    }

    /// The window of the records below the slice's start, as far as the blob knows them.
    private mutating func take(
        _ bytes: UnsafeRawBufferPointer, _ slot: Int, _ partition: PartitionStates.Partition
    ) throws(WindowStoreError) -> Taken {
        let blob = try WindowBlob(bytes, owner: users[slot].hash)
        let place = BlobPlace(partition: blob.partition, baseOffset: blob.baseOffset)
        var user = users[slot]
        var limit = Int64.max
        if blob.partition == WindowBlob.noPartition {
            user.origin = .elsewhere
        } else if blob.partition == partition.slice.source.partition {
            user.origin = blob.format == 1 ? .elsewhere : .epoch(blob.epoch)
            let span = partition.slice.span
            let start = WindowStart(place, in: span, committedElsewhere: [:])
            (limit, user.baseOffset) = (start.foldsBelow, start.countsFrom)
            if !blob.hasOffsets {
                // They count as a whole: also when offsets were set back into what is known to have been committed.
                limit = partition.committedOffset
                if blob.endOffset <= limit { user.baseOffset = max(user.baseOffset, blob.endOffset) }
            }
            if user.baseOffset > span.start { user.marks.insert(.windowAhead) }
        } else {
            return .moved(place)
        }
        user.missing = blob.missing
        let window = try blob.window(foldingBelow: limit)
        users[slot] = user
        return .window(window)
    }

    /// Decides the windows of users who were in another partition before. Called once, after all are read.
    ///
    /// - Parameter committed: Of those partitions; absent: nothing was ever committed there.
    /// - Returns: Users whose window could not be used, and why.
    mutating func settle(_ committed: [Int32: Int64]) -> [(slot: Int, reason: String)] {
        var problems: [(slot: Int, reason: String)] = []
        for blob in moved {
            let slot = blob.slot
            do throws(WindowStoreError) {
                let (window, missing) = try Self.window(of: blob, owner: users[slot].hash, committed)
                windows[slot] = window
                users[slot].missing = missing
                users[slot].origin = .elsewhere
                users[slot].marks.insert(.windowMoved)
                if blob.isUnnamed { adopted[users[slot].slice] += 1 }
            } catch {
                if !blob.isUnnamed { problems.append((slot, damage(slot, "\(error)"))) }
            }
        }
        moved = []
        return problems
    }

    /// Offsets of two partitions do not compare: the blob's own partition decides.
    private static func window(
        of moved: MovedBlob, owner: UInt64, _ committed: [Int32: Int64]
    ) throws(WindowStoreError) -> (UserWindow, MissingHistory) {
        // Errors of a type do not pass through the closure: the result comes out as a value.
        let result = moved.bytes.withUnsafeBytes { bytes in
            Result { () throws(WindowStoreError) -> (UserWindow, MissingHistory) in
                let blob = try WindowBlob(bytes, owner: owner)
                return (try blob.window(foldingBelow: committed[blob.partition] ?? .min), blob.missing)
            }
        }
        return try result.get()
    }

    /// Keeps the windows as they are before the batch, and adds what their partitions lack. Called once, after all are
    /// read and before the first fold.
    mutating func conclude(_ partitions: PartitionStates) {
        for slot in users.indices {
            let partition = partitions[users[slot].slice]
            switch users[slot].origin {
            case .nothing: users[slot].missing.add(partition.missing.ofUsers)
            case .damaged:
                users[slot].missing.add(partition.missing.ofUsers)
                users[slot].missing.add(
                    MissingHistory(
                        .windowDamaged, before: partitions.time(of: users[slot].slice, partition.baseClock)))
            case .epoch(let epoch) where epoch != 0 && epoch != partition.epoch:
                users[slot].missing.add(partition.missing.ofUsers)
            case .epoch, .elsewhere: break
            }
            let start = bases.count
            windows[slot].encode(into: &bases)
            users[slot].baseRange = start..<bases.count
        }
    }

    // MARK: - Folding

    mutating func fold(
        _ event: WindowEvent, slot: Int, partition: Int32, offset: Int64, isFuture: Bool, coldBelow: Int,
        features: UnsafeMutableBufferPointer<Float>, memories: inout [WindowMemory]
    ) -> TransactionMarks {
        windows[slot].writeFeatures(for: event, into: features)
        memories.append(windows[slot].memory(for: event))
        var marks = users[slot].missing.marks(at: event.timestampMilliseconds)
        if let count = Self.count30d, features[count] < Float(coldBelow) { marks.insert(.cold) }
        if users[slot].marks.contains(.windowMoved) || partition != users[slot].partition {
            marks.insert(.windowMoved)
        }
        if isFuture {
            marks.insert(.future)
            return marks
        }
        if users[slot].marks.contains(.windowAhead), offset < users[slot].baseOffset {
            marks.insert(.windowAhead)
            return marks
        }
        if windows[slot].fold(event) { marks.insert(.late) }
        users[slot].pendingCount += 1
        // A record of another slice counts with the batch as a whole: offsets of two partitions do not compare.
        let isOwn = partition == users[slot].partition
        events.append((Int32(slot), isOwn ? offset : users[slot].endOffset - 1, event))
        return marks
    }

    /// Builds the new blobs: each user's base, and the batch's events as pending.
    func writes(
        users keys: UserKeys, token: WindowToken, partitions: PartitionStates, storeIdentity: UInt32
    ) -> WindowWrites {
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
            bases.count + users.count * (WindowBlob.headerSize + 1)
                + events.count * (WindowEvent.encodedSize + Self.offsetSize))
        var ends: [Int] = []
        ends.reserveCapacity(users.count)
        for (slot, user) in users.enumerated() {
            let start = bytes.count
            let pending = first[slot]..<first[slot] + user.pendingCount
            WindowBlob.appendHeader(
                to: &bytes, token: token, epoch: partitions[user.slice].epoch, partition: user.partition,
                baseOffset: user.baseOffset, endOffset: user.endOffset, missing: user.missing,
                pendingOffsets: pending.lazy.map { events[Int(sorted[$0])].offset },
                baseSize: user.baseRange.count)
            bytes.append(contentsOf: bases[user.baseRange])
            for place in pending {
                events[Int(sorted[place])].event.encode(into: &bytes)
            }
            WindowChecksum.seal(&bytes, from: start, owner: user.hash)
            ends.append(bytes.count)
        }
        return WindowWrites(
            users: keys, expected: users.map(\.expected), bytes: bytes, ends: ends, damaged: damaged,
            partitions: partitions.writes(token, storeIdentity: storeIdentity))
    }
}
