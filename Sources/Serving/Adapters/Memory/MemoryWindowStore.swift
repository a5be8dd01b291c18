import Features
import Synchronization
import Transactions

/// Windows in this process's memory; `WindowSnapshot` is its file.
///
/// It is bounded where a bound is given: users idle for longer than windows reach shrink to a few bytes by themselves, and
/// above the bound they go, and after them those that were written longest ago, which is counted as a loss.
public final class MemoryWindowStore: WindowStore {
    struct State {
        var table: WindowTable
        var partitions: [Int32: [UInt8]] = [:]
        /// Blobs that were found damaged, by user.
        var damaged: [[UInt8]: [UInt8]] = [:]
        /// Where going round the users stands.
        var cursor = 0
        var evictions = 0
        /// The latest event time of all partitions, minutes.
        var minute: UInt32 = 0

        init(hotBytes: Int) { table = WindowTable(hotBytes: hotBytes) }
    }

    let state: Mutex<State>
    let hotBytes: Int
    private let maximumSizeBytes: Int?
    /// Random, so that a restart is a new store, whatever a snapshot brings back.
    private let identity = UInt32.random(in: 1...UInt32.max)

    public let location = "memory"

    /// - Parameters:
    ///   - maximumSizeBytes: What windows may take; nil: no limit.
    ///   - hotBytes: What those that were written last may take as they are; beyond it they are packed, into about a third,
    ///     which costs some microseconds when they are needed again.
    public init(maximumSizeBytes: Int? = nil, hotBytes: Int = 8 << 20) {
        self.maximumSizeBytes = maximumSizeBytes
        self.hotBytes = hotBytes
        state = Mutex(State(hotBytes: hotBytes))
    }

    public var count: Int { state.withLock { $0.table.count } }

    /// What the windows take, bytes.
    public var sizeBytes: Int { state.withLock { $0.table.sizeBytes } }

    /// What the windows take that are there, without the room that others have left.
    var liveBytes: Int { state.withLock { $0.table.liveBytes } }

    public func read(
        _ users: UserKeys, partitions: [Int32], partition: (Int, UnsafeRawBufferPointer?) throws -> Void,
        user: (Int, StoredWindow) throws -> Void
    ) throws {
        try state.withLock { state in
            for (index, number) in partitions.enumerated() {
                if let record = state.partitions[number] {
                    try record.withUnsafeBytes { try partition(index, $0) }
                } else {
                    try partition(index, nil)
                }
            }
            try users.bytes.withUnsafeBytes { bytes in
                for index in 0..<users.count {
                    let key = UnsafeRawBufferPointer(rebasing: bytes[users.range(index)])
                    try state.table.withBlob(of: key) { blob in
                        try user(index, blob.map { .blob($0) } ?? .none)
                    }
                }
            }
        }
    }

    public func write(_ writes: WindowWrites) throws -> Bool {
        state.withLock { state in
            guard Self.isExpected(writes, state) else { return false }
            for write in writes.partitions {
                state.partitions[write.partition] = write.bytes
                Self.advance(&state, write)
            }
            writes.users.bytes.withUnsafeBytes { keys in
                writes.bytes.withUnsafeBytes { bytes in
                    for index in writes.damaged {
                        let key = UnsafeRawBufferPointer(rebasing: keys[writes.users.range(index)])
                        state.damaged[Array(key)] = state.table.withBlob(of: key) { $0.map(Array.init) }
                    }
                    for index in 0..<writes.users.count {
                        state.table.set(
                            UnsafeRawBufferPointer(rebasing: bytes[writes.range(index)]),
                            of: UnsafeRawBufferPointer(rebasing: keys[writes.users.range(index)]),
                            minute: state.minute)
                    }
                }
            }
            goRound(&state, steps: writes.users.count * 2)
            Self.pack(&state, steps: writes.users.count * 2)
            return true
        }
    }

    private static func isExpected(_ writes: WindowWrites, _ state: State) -> Bool {
        for write in writes.partitions {
            let found = state.partitions[write.partition]?.withUnsafeBytes { WindowExpectation(of: $0) }
            guard (found ?? .nothing) == write.expected else { return false }
        }
        return writes.users.bytes.withUnsafeBytes { keys in
            for (index, expected) in writes.expected.enumerated() {
                let key = UnsafeRawBufferPointer(rebasing: keys[writes.users.range(index)])
                guard state.table.expectation(of: key) == expected else { return false }
            }
            return true
        }
    }

    public func damagedKey(of userID: String) -> String { "damaged:\(userID) in the snapshot" }

    @discardableResult
    public func remove(userID: String) throws -> Int {
        state.withLock { state in
            var userID = userID
            let removed = userID.withUTF8 { state.table.remove(UnsafeRawBufferPointer($0)) }
            let damaged = state.damaged.removeValue(forKey: Array(userID.utf8))
            return (removed ? 1 : 0) + (damaged == nil ? 0 : 1)
        }
    }

    public func partitions() throws -> [Int32] { state.withLock { $0.partitions.keys.sorted() } }

    public func condition() throws -> WindowStoreCondition {
        state.withLock { WindowStoreCondition(identity: identity, evictions: $0.evictions) }
    }

    /// Folds every pending record and forgets offsets, for a stream whose offsets start anew with each run.
    ///
    /// Damaged windows stay as they are; they are noticed when they are used.
    public func forgetOffsets() {
        state.withLock { state in
            for entry in 0..<state.table.entryCount {
                guard let minute = state.table.minute(ofEntry: entry) else { continue }
                let settled = state.table.withEntry(entry) { user, blob -> (key: [UInt8], blob: [UInt8])? in
                    let owner = TextHash.hash(user)
                    guard let parsed = try? WindowBlob(blob, owner: owner),
                        let bytes = try? parsed.settled(owner: owner)
                    else { return nil }
                    return (Array(user), bytes)
                }
                if let settled { state.table.set(settled.blob, of: settled.key, minute: minute) }
                Self.pack(&state, steps: 2)
            }
            for (number, bytes) in state.partitions {
                let record = bytes.withUnsafeBytes { try? PartitionRecord($0, partition: number) }
                state.partitions[number] = record?.forgettingOffsets(partition: number)
            }
        }
    }

    // MARK: - Staying small

    /// How long after windows have nothing in reach a user is let go of: events may come late by as much.
    private static let slackMinutes: UInt32 = 5 * 1440
    private static let idleMinutes = UInt32(UserWindow.reachMilliseconds / 60_000) + slackMinutes

    private static func advance(_ state: inout State, _ write: WindowWrites.Partition) {
        let record = write.bytes.withUnsafeBytes { try? PartitionRecord($0, partition: write.partition) }
        guard let time = record?.endClock.milliseconds else { return }
        state.minute = max(state.minute, UInt32(clamping: max(0, time) / 60_000))
    }

    /// Packs some of the blobs that were written longest ago, once there are many. What is pending is folded in where the
    /// stream has committed it; where it has not, the blob waits.
    static func pack(_ state: inout State, steps: Int) {
        let partitions = state.partitions
        state.table.pack(atMost: steps) { user, blob in
            guard let parsed = try? WindowBlob(blob, owner: TextHash.hash(user)) else { return .never }
            if parsed.pendingCount > 0 {
                guard let bytes = partitions[parsed.partition],
                    let record = bytes.withUnsafeBytes({
                        try? PartitionRecord($0, partition: parsed.partition)
                    }), parsed.endOffset <= record.baseOffset
                else { return .later }
            }
            guard let window = try? parsed.window(foldingBelow: .max) else { return .never }
            return .pack(parsed, window)
        }
    }

    /// Looks at some users further on: idle ones shrink, and go when there are too many.
    private func goRound(_ state: inout State, steps: Int) {
        let isTooLarge = maximumSizeBytes.map { state.table.liveBytes > $0 } ?? false
        guard state.minute > Self.idleMinutes, state.table.count > 0 else { return }
        for _ in 0..<min(steps, state.table.entryCount) {
            state.cursor = state.cursor + 1 < state.table.entryCount ? state.cursor + 1 : 0
            guard let minute = state.table.minute(ofEntry: state.cursor),
                minute < state.minute - Self.idleMinutes
            else { continue }
            if isTooLarge {
                state.table.remove(state.cursor)
            } else {
                Self.shrink(&state, entry: state.cursor)
            }
        }
        if isTooLarge { evict(&state, count: steps / 2) }
    }

    /// Lets go of everything of an idle user but the time of the last event.
    private static func shrink(_ state: inout State, entry: Int) {
        let asOf = Int64(state.minute - slackMinutes) * 60_000
        let shrunk = state.table.withEntry(entry) { user, blob -> (key: [UInt8], blob: [UInt8])? in
            let owner = TextHash.hash(user)
            guard let parsed = try? WindowBlob(blob, owner: owner), parsed.pendingCount > 0,
                let record = state.partitions[parsed.partition]?.withUnsafeBytes({
                    try? PartitionRecord($0, partition: parsed.partition)
                }), parsed.endOffset <= record.baseOffset,
                var window = try? parsed.window(foldingBelow: .max)
            else { return nil }
            window.decay(asOfMilliseconds: asOf)
            return (
                Array(user),
                WindowBlob.encoded(
                    window, token: parsed.token, owner: owner, epoch: parsed.epoch,
                    partition: parsed.partition, baseOffset: parsed.endOffset, endOffset: parsed.endOffset,
                    missing: parsed.missing)
            )
        }
        guard let shrunk, let minute = state.table.minute(ofEntry: entry) else { return }
        state.table.set(shrunk.blob, of: shrunk.key, minute: minute)
    }

    /// Of some users at a time the one that was written longest ago goes.
    private func evict(_ state: inout State, count: Int) {
        for _ in 0..<count where state.table.count > 0 {
            var oldest: (entry: Int, minute: UInt32)?
            for _ in 0..<8 {
                state.cursor = state.cursor + 1 < state.table.entryCount ? state.cursor + 1 : 0
                guard let minute = state.table.minute(ofEntry: state.cursor), minute < state.minute else {
                    continue
                }
                if minute < oldest?.minute ?? .max { oldest = (state.cursor, minute) }
            }
            guard let oldest else { continue }
            state.table.remove(oldest.entry)
            state.evictions += 1
        }
    }
}

extension WindowTable {
    fileprivate func set(_ blob: [UInt8], of user: [UInt8], minute: UInt32) {
        user.withUnsafeBytes { user in blob.withUnsafeBytes { set($0, of: user, minute: minute) } }
    }
}
