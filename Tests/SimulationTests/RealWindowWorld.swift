import BatchProtocol
import Features
import Kafka
import Transactions

@testable import Serving

/// Production's window stage, blobs and partitions' records over a store in memory that forgets.
final class RealWindowWorld: WindowWorld {
    struct Content {
        var users: [[UInt8]: [UInt8]] = [:]
        var partitions: [Int32: [UInt8]] = [:]
        var ends: [Int32: Int64] = [:]
        /// Another one after each restart of the store.
        var identity: UInt32 = 1
    }

    var violated: (Invariant, String) -> Void = { _, _ in }
    private let transactions: [Transaction]
    private var content = Content()
    private var history: [Content] = []
    private var stages: [Int: (stage: WindowStage, store: SnapshotStore)] = [:]

    init(_ transactions: [Transaction]) { self.transactions = transactions }

    var ends: [Int32: Int64] { content.ends }

    private static func key(_ user: Int) -> [UInt8] { Array("u\(user)".utf8) }

    private static func hash(_ key: [UInt8]) -> UInt64 { key.withUnsafeBytes { TextHash.hash($0) } }

    func read(_ batch: SimulatedBatch, session: Int) -> SimulatedReading {
        let parts =
            stages[session]
            ?? {
                let store = SnapshotStore()
                return (WindowStage(store: store, writer: UInt64(session) &* 0x9E37_79B9_7F4A_7C15), store)
            }()
        stages[session] = parts
        parts.store.content = content
        guard let windows = try? parts.stage.read(consumed(batch)) else {
            preconditionFailure("a store in memory answers")
        }
        return SimulatedReading(asked: windows.asked) { [unowned self] model, committed in
            evaluate(batch, parts.stage.run(windows, committedOffsets: committed), model: model)
        }
    }

    private func evaluate(_ batch: SimulatedBatch, _ windowed: WindowedBatch, model: Int) -> Evaluation {
        let width = UserWindow.featureCount
        let lost: TransactionMarks = [.windowsLost, .windowBehind, .windowDamaged]
        let verdicts = batch.records.enumerated().map { row, record in
            let marks = windowed.marks[row]
            return SimulatedVerdict(
                record: record.index, partition: record.partition, offset: record.offset,
                digest: SimulatedWindows.digest(windowed.features[row * width..<(row + 1) * width]),
                model: model, isMoved: marks.contains(.windowMoved), isAhead: marks.contains(.windowAhead),
                isLost: !marks.isDisjoint(with: lost))
        }
        let ends = batch.span.slices.map { ($0.partition, $0.end) }
        return Evaluation(verdicts: verdicts) { [unowned self] in write(windowed.writes, ends) }
    }

    private func consumed(_ batch: SimulatedBatch) -> ConsumedBatch {
        var rows = TransactionBatch()
        for record in batch.records {
            var transaction = transactions[record.index]
            transaction.userID = "u\(record.user)"
            rows.append(transaction)
        }
        let slices = batch.span.slices.map {
            PartitionSlice(
                source: TopicPartition(topic: "transactions", partition: $0.partition), start: $0.start,
                end: $0.end, isAtBeginning: $0.isBeginning)
        }
        return ConsumedBatch(
            transactions: rows, offsets: batch.records.map(\.offset),
            sliceIndex: batch.records.map { record in
                Int32(batch.span.slices.firstIndex { $0.partition == record.partition } ?? 0)
            }, slices: slices, deadLetters: [], assignment: batch.span.assignment, wronglyKeyed: 0)
    }

    private func write(_ writes: WindowWrites, _ ends: [(Int32, Int64)]) -> Bool {
        func expectation(_ bytes: [UInt8]?) -> WindowExpectation {
            bytes.map { $0.withUnsafeBytes { WindowExpectation(of: $0) } } ?? .nothing
        }
        let keys = (0..<writes.users.count).map { Array(writes.users.bytes[writes.users.range($0)]) }
        for (index, key) in keys.enumerated()
        where expectation(content.users[key]) != writes.expected[index] { return false }
        for partition in writes.partitions
        where expectation(content.partitions[partition.partition]) != partition.expected { return false }
        history.append(content)
        for (index, key) in keys.enumerated() {
            content.users[key] = Array(writes.bytes[writes.range(index)])
        }
        for partition in writes.partitions { content.partitions[partition.partition] = partition.bytes }
        for (partition, end) in ends { content.ends[partition] = end }
        return true
    }

    func forgetWrites(_ count: Int) {
        let identity = content.identity + 1
        for _ in 0..<count {
            guard let older = history.popLast() else { break }
            content = older
        }
        content.identity = identity
    }

    func flush() {
        content = Content(identity: content.identity)
        history = []
    }

    func damage(_ user: Int) {
        guard var bytes = content.users[Self.key(user)] else { return }
        bytes[bytes.count / 2] ^= 0x10
        content.users[Self.key(user)] = bytes
    }

    func windowAtRest(_ user: Int, committed: (Int32) -> Int64) -> [UInt8]? {
        let key = Self.key(user)
        return content.users[key]?.withUnsafeBytes { bytes in
            guard let blob = try? WindowBlob(bytes, owner: Self.hash(key)),
                let window = try? blob.window(foldingBelow: committed(blob.partition))
            else { return nil }
            var encoded: [UInt8] = []
            window.encode(into: &encoded)
            return encoded
        }
    }
}

/// What one attempt has read.
///
/// `@unchecked Sendable`: a simulation runs on one thread.
private final class SnapshotStore: WindowStore, @unchecked Sendable {
    var content = RealWindowWorld.Content()
    let location = "simulated"

    func read(
        _ users: UserKeys, partitions: [Int32], partition: (Int, UnsafeRawBufferPointer?) throws -> Void,
        user: (Int, StoredWindow) throws -> Void
    ) throws {
        for (index, number) in partitions.enumerated() {
            if let bytes = content.partitions[number] {
                try bytes.withUnsafeBytes { try partition(index, $0) }
            } else {
                try partition(index, nil)
            }
        }
        for index in 0..<users.count {
            if let bytes = content.users[Array(users.bytes[users.range(index)])] {
                try bytes.withUnsafeBytes { try user(index, .blob($0)) }
            } else {
                try user(index, .none)
            }
        }
    }

    func write(_ writes: WindowWrites) throws -> Bool { false }

    func damagedKey(of userID: String) -> String { userID }

    func remove(userID: String) throws -> Int { 0 }

    func partitions() throws -> [Int32] { content.partitions.keys.sorted() }

    func condition() throws -> WindowStoreCondition { WindowStoreCondition(identity: content.identity) }
}
