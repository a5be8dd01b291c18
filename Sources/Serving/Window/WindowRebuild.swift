import Exact
import Features
import Logging
import SchemaRegistry
import Transactions

/// Makes windows whole again from the stream's own records, while others serve.
///
/// The stream is read once more, from its beginning, into a store of its own, by the stage that serving runs: what comes
/// out are the windows of an undisturbed run, bit for bit. A user's window is put into the live store when it is of
/// exactly the records that the stored blob's base is of, by compare-and-set: a worker that was at the same blob
/// begins its batch again. Users who are served meanwhile are tried again further on in the stream.
public struct WindowRebuild {
    public struct Outcome: Sendable, Hashable {
        /// Users whose window was replaced.
        public var rebuilt = 0
        /// Users whose window was the same, or needed nothing.
        public var unchanged = 0
        /// Users who were served again and again while they were to be replaced.
        public var missed = 0
        /// Records read.
        public var records = 0
        /// Partitions whose first record is no more than 30 days old: their windows keep a mark until that is past.
        public var shortened: [Int32] = []
    }

    private let live: any WindowStore
    private let shadow = MemoryWindowStore()
    private let stream: any TransactionStream
    private let settings: WindowStage.Settings
    /// nil: everybody.
    private let users: Set<String>?
    /// How long nothing has come before the stream is taken to be at its end.
    private let quietWaits: Int
    private let history: WindowHistory?
    private let zone: PlaceZone?
    private let schemas: SchemaRegistry?

    /// - Parameters:
    ///   - stream: The service's stream, under a group of its own, from the beginning. Nothing is delivered to it.
    ///   - users: nil: everybody.
    ///   - history: What happened before the stream; nil: windows begin empty.
    ///   - zone: Of times that do not say theirs.
    ///   - schemas: Of records that Confluent's serialisers framed.
    public init(
        _ live: any WindowStore, from stream: any TransactionStream, settings: WindowStage.Settings,
        users: Set<String>? = nil, quietWaits: Int = 50, history: WindowHistory? = nil,
        zone: PlaceZone? = nil, schemas: SchemaRegistry? = nil
    ) {
        self.history = history
        self.schemas = schemas
        self.zone = zone
        self.live = live
        self.stream = stream
        self.settings = settings
        self.users = users
        self.quietWaits = quietWaits
    }

    public func run(isCancelled: () -> Bool = { false }) throws -> Outcome {
        var outcome = Outcome()
        var reading = Reading()
        let stage = WindowStage(store: shadow, writer: .random(in: 0...UInt64.max), settings: settings)
        let partitions = try live.partitions()
        var waiting: Set<String>?
        // Each round is as long as what was served in the one before, so that few are enough.
        for round in 0..<20 where round == 0 || waiting?.isEmpty == false {
            reading.targets = try watermarks(partitions)
            try read(&reading, stage, outcome: &outcome, isCancelled)
            waiting = try replace(reading, only: waiting, &outcome)
        }
        outcome.missed = waiting?.count ?? 0
        if outcome.missed == 0, users == nil {
            for partition in partitions { try clear(partition, reading, &outcome) }
        }
        return outcome
    }

    private struct Reading {
        /// Up to where each partition is to be read: everything below is committed.
        var targets: [Int32: Int64] = [:]
        /// Up to where each partition has been read.
        var ends: [Int32: Int64] = [:]
        /// Partitions that do not begin at their first record, with the time of the first that is left.
        var firstTimes: [Int32: Int64] = [:]
        /// Read, and beyond the targets.
        var held: [ConsumedBatch] = []

        var isDone: Bool { targets.allSatisfy { ends[$0.key] ?? 0 >= $0.value } }
    }

    /// Where the last batch of each partition begins in the live store: everything below is committed.
    private func watermarks(_ partitions: [Int32]) throws -> [Int32: Int64] {
        var found: [Int32: Int64] = [:]
        try live.read(UserKeys(), partitions: partitions) { index, bytes in
            guard let bytes, let record = try? PartitionRecord(bytes, partition: partitions[index]) else {
                return
            }
            found[partitions[index]] = record.baseOffset
        } user: { _, _ in
        }
        return found
    }

    private func read(
        _ reading: inout Reading, _ stage: WindowStage, outcome: inout Outcome, _ isCancelled: () -> Bool
    ) throws {
        let held = reading.held
        reading.held = []
        for batch in held { try take(batch, &reading, stage, &outcome) }
        var waits = 0
        let consume = ConsumeStage(zone: zone, schemas: schemas)
        while !reading.isDone, !isCancelled() {
            guard let records = try stream.next(BatchLimits()) else {
                waits += 1
                if stream.isFinished || waits > quietWaits { return }
                continue
            }
            waits = 0
            try take(try consume.run(records), &reading, stage, &outcome)
        }
    }

    /// Folds the part of a batch that lies below the targets, and keeps the rest for the next round.
    private func take(
        _ batch: ConsumedBatch, _ reading: inout Reading, _ stage: WindowStage, _ outcome: inout Outcome
    ) throws {
        let parts = batch.split { reading.targets[$0] ?? 0 }
        if let rest = parts.rest { reading.held.append(rest) }
        guard let batch = parts.part else { return }
        for (index, slice) in batch.slices.enumerated() {
            let partition = slice.source.partition
            if reading.ends[partition] == nil, slice.start > 0,
                let row = batch.sliceIndex.firstIndex(of: Int32(index))
            {
                reading.firstTimes[partition] = batch.transactions.timestampMilliseconds[row]
            }
            reading.ends[partition] = slice.end
        }
        try history?.precede(batch, in: shadow)
        let windowed = try stage.run(batch)
        guard try shadow.write(windowed.writes) else {
            throw WindowStoreError.damaged("the windows that are being made were changed by somebody else")
        }
        outcome.records += batch.count
    }

    // MARK: - Replacing

    /// - Returns: Users who have been served on.
    private func replace(
        _ reading: Reading, only: Set<String>?, _ outcome: inout Outcome
    ) throws -> Set<String> {
        var left: Set<String> = []
        var part = UserKeys()
        for user in shadow.userIDs where users?.contains(user) ?? true && only?.contains(user) ?? true {
            part.append(user)
            guard part.count == 500 else { continue }
            left.formUnion(try replace(part, reading, &outcome))
            part = UserKeys()
        }
        if part.count > 0 { left.formUnion(try replace(part, reading, &outcome)) }
        return left
    }

    private func replace(
        _ part: UserKeys, _ reading: Reading, _ outcome: inout Outcome
    ) throws -> Set<String> {
        var left: Set<String> = []
        var stored: [[UInt8]?] = []
        var foreign: Set<Int> = []
        try live.read(part, partitions: []) { _, _ in
        } user: { index, found in
            switch found {
            case .none: stored.append(nil)
            case .blob(let bytes): stored.append(Array(bytes))
            case .foreign:
                stored.append(nil)
                foreign.insert(index)
            }
        }
        for index in 0..<part.count where !foreign.contains(index) {
            let user = part.text(index)
            guard let made = try shadow.window(of: user) else { continue }
            switch try change(stored[index], user, made, reading) {
            case .none: outcome.unchanged += 1
            case .later: left.insert(user)
            case .write(let bytes, let expected):
                var key = UserKeys()
                key.append(user)
                let writes = WindowWrites(
                    users: key, expected: [expected], bytes: bytes, ends: [bytes.count])
                if try live.write(writes) { outcome.rebuilt += 1 } else { left.insert(user) }
            }
        }
        return left
    }

    private enum Change {
        case none
        /// The user has been served beyond what has been read.
        case later
        case write([UInt8], WindowExpectation)
    }

    /// What the made window is of: every record of the user below `end`, all of them committed.
    private func change(
        _ stored: [UInt8]?, _ user: String, _ made: MadeWindow, _ reading: Reading
    ) throws -> Change {
        let owner = TextHash.hash(user)
        let end = reading.ends[made.partition] ?? 0
        let missing = missing(made, reading)
        let whole = WindowBlob.encoded(
            made.window, token: WindowToken(writer: .random(in: 0...UInt64.max), sequence: 0), owner: owner,
            partition: made.partition, baseOffset: end, endOffset: end, missing: missing)
        guard let stored else { return .write(whole, .nothing) }
        return try stored.withUnsafeBytes { bytes in
            let expected = WindowExpectation(of: bytes)
            guard let blob = try? WindowBlob(bytes, owner: owner), blob.partition == made.partition else {
                return .write(whole, expected)
            }
            if blob.endOffset <= end {
                let isRight = try blob.window(foldingBelow: .max) == made.window
                return isRight && blob.missing == missing ? .none : .write(whole, expected)
            }
            guard blob.baseOffset == end else { return .later }
            // The user is in the batch that begins there: it stays, on the base that it should have had.
            if try blob.window(foldingBelow: .min) == made.window, blob.missing == missing { return .none }
            return .write(blob.replacingBase(with: made.window, missing: missing, owner: owner), expected)
        }
    }

    /// Where the stream itself no longer has everything.
    private func missing(_ made: MadeWindow, _ reading: Reading) -> MissingHistory {
        guard let first = reading.firstTimes[made.partition],
            let last = made.window.lastEventMilliseconds, last - first < UserWindow.reachMilliseconds
        else { return .none }
        return MissingHistory(.windowsLost, before: first)
    }

    /// Nothing is missing from the partition any more.
    private func clear(_ partition: Int32, _ reading: Reading, _ outcome: inout Outcome) throws {
        let missing = reading.firstTimes[partition].map { MissingHistory(.windowsLost, before: $0) } ?? .none
        if missing != .none { outcome.shortened.append(partition) }
        for _ in 0..<50 {
            var stored: [UInt8]?
            try live.read(UserKeys(), partitions: [partition]) { _, bytes in
                stored = bytes.map(Array.init)
            } user: { _, _ in
            }
            guard let stored else { return }
            let found = stored.withUnsafeBytes { bytes in
                (
                    record: try? PartitionRecord(bytes, partition: partition),
                    expected: WindowExpectation(of: bytes)
                )
            }
            guard var record = found.record, record.missing != missing else { return }
            record.missing = missing
            let token = WindowToken(writer: .random(in: 0...UInt64.max), sequence: 0)
            let write = WindowWrites.Partition(
                partition: partition, expected: found.expected,
                bytes: record.encoded(token, partition: partition))
            let writes = WindowWrites(
                users: UserKeys(), expected: [], bytes: [], ends: [], partitions: [write])
            if try live.write(writes) { return }
        }
    }
}

/// A user's window as an undisturbed run gives it.
struct MadeWindow {
    let partition: Int32
    let window: UserWindow
}

extension MemoryWindowStore {
    /// Everybody who has a window.
    var userIDs: [String] {
        state.withLock { state in
            var users: [String] = []
            state.table.visit { user, _ in users.append(String(decoding: user, as: UTF8.self)) }
            return users.sorted()
        }
    }

    /// A user's window with everything folded in.
    func window(of user: String) throws -> MadeWindow? {
        try state.withLock { state in
            var user = user
            return try user.withUTF8 { user in
                let key = UnsafeRawBufferPointer(user)
                return try state.table.withBlob(of: key) { bytes in
                    guard let bytes else { return nil }
                    let blob = try WindowBlob(bytes, owner: TextHash.hash(key))
                    return MadeWindow(
                        partition: blob.partition, window: try blob.window(foldingBelow: .max))
                }
            }
        }
    }
}
