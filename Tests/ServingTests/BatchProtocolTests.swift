import Features
import Kafka
import Testing
import Transactions

@testable import Serving

/// The promise of the batch protocol: whoever is killed when, features and windows are those of one
/// undisturbed run over the committed records.
@Suite struct BatchProtocolTests {
    /// What may befall a worker with one batch.
    enum Fate: CaseIterable {
        case delivered
        /// Killed after the windows were written, before the stream's commit.
        case killedBeforeCommit
        /// Killed before the windows were written.
        case killedBeforeWindows
        /// Another worker with the same batch wrote the windows first, and was then fenced.
        case zombieWroteWindows
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func killedAnywhereTheFeaturesAreThoseOfAnUndisturbedRun(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let records = Self.records(count: 400, users: 7, random: &random)
        let undisturbed = try Self.features(records, batches: [records.count], random: nil)
        let sizes = (0..<60).map { _ in Int.random(in: 1...12, using: &random) }
        let disturbed = try Self.features(records, batches: sizes, random: random)
        #expect(disturbed == undisturbed, "seed \(seed)")
    }

    @Test func windowOfAnotherPartitionIsMarkedAndItsCommittedRecordsCount() throws {
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        let first = Self.batch([Self.record(user: 0, minute: 0)], start: 0, partition: 3)
        #expect(try store.write(try stage.window(first) { _ in nil }.writes))
        let second = Self.batch([Self.record(user: 0, minute: 1)], start: 0, partition: 4)

        let committed = try stage.window(second) { $0 == 3 ? 1 : nil }
        #expect(committed.marks == [.windowMoved])
        #expect(committed.features[Self.count1h] == 1)

        let uncommitted = try stage.window(second) { $0 == 3 ? 0 : nil }
        #expect(uncommitted.marks == [.windowMoved])
        #expect(uncommitted.features[Self.count1h] == 0)
    }

    @Test func recordsThatTheBaseHoldsAreNotCountedAgainWhenOffsetsAreSetBack() throws {
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        for offset in 0..<3 {
            let batch = Self.batch([Self.record(user: 0, minute: offset)], start: Int64(offset))
            #expect(try store.write(try stage.window(batch) { _ in nil }.writes))
        }
        // The base now holds the records 0 and 1; record 2 is pending.
        let again = Self.batch((0..<4).map { Self.record(user: 0, minute: $0) }, start: 0)
        let windowed = try stage.window(again) { _ in nil }
        #expect(windowed.marks == [.windowAhead, .windowAhead, [], []])
        #expect(windowed.features[3 * UserWindow.featureCount + Self.count1h] == 3)
    }

    @Test func aWindowChangedByAnotherWorkerIsNotOverwritten() throws {
        let store = MemoryWindowStore()
        let batch = Self.batch([Self.record(user: 0, minute: 0)], start: 0)
        let ours = try WindowStage(store: store, writer: 1).window(batch) { _ in nil }
        let theirs = try WindowStage(store: store, writer: 2).window(batch) { _ in nil }
        #expect(try store.write(theirs.writes))
        #expect(try !store.write(ours.writes))
    }

    @Test func aDamagedBlobIsAnErrorAndNotATrap() throws {
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        let batch = Self.batch([Self.record(user: 0, minute: 0)], start: 0)
        let blob = try stage.window(batch) { _ in nil }.writes.bytes
        var random = SplitMix(state: 11)
        for _ in 0..<5_000 {
            var bytes = blob
            if Bool.random(using: &random) {
                bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
            }
            for _ in 0..<3 where !bytes.isEmpty {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            bytes.withUnsafeBytes { bytes in
                guard let parsed = try? WindowBlob(bytes) else { return }
                _ = try? parsed.window(foldingPending: true)
            }
        }
    }

    // MARK: A stream with a committed offset, and workers that are killed

    private static let count1h = FeatureSchema.index(of: "count_1h")!

    /// The features of each record as the run that committed it saw them.
    private static func features(
        _ records: [Transaction], batches: [Int], random: SplitMix?
    ) throws -> [[UInt32]] {
        var random = random
        let store = MemoryWindowStore()
        var stage = WindowStage(store: store, writer: 0)
        var committed: [[UInt32]] = []
        var writer: UInt64 = 0
        var turn = 0
        while committed.count < records.count {
            let start = committed.count
            let size = min(batches[turn % batches.count], records.count - start)
            turn += 1
            let batch = batch(Array(records[start..<start + size]), start: Int64(start))
            let fate = random == nil ? .delivered : Fate.allCases.randomElement(using: &random!)!
            if fate == .zombieWroteWindows {
                let zombie = try WindowStage(store: store, writer: 1_000_000 + writer).window(batch) { _ in
                    nil
                }
                _ = try store.write(zombie.writes)
            }
            let windowed = try stage.window(batch) { _ in nil }
            if fate != .killedBeforeWindows { #expect(try store.write(windowed.writes)) }
            if fate == .killedBeforeWindows || fate == .killedBeforeCommit {
                writer += 1
                stage = WindowStage(store: store, writer: writer)
                continue
            }
            for row in 0..<windowed.count {
                let width = UserWindow.featureCount
                committed.append(windowed.features[row * width..<(row + 1) * width].map(\.bitPattern))
            }
        }
        return committed
    }

    private static func records(count: Int, users: Int, random: inout SplitMix) -> [Transaction] {
        (0..<count).map { index in
            record(
                user: Int.random(in: 0..<users, using: &random),
                minute: index * 30 - Int.random(in: 0..<600, using: &random),
                amount: Double.random(in: 1...500, using: &random))
        }
    }

    private static func record(user: Int, minute: Int, amount: Double = 10) -> Transaction {
        Transaction(
            transactionID: "t\(minute)", userID: "u\(user)", amount: amount,
            timestampMilliseconds: 1_700_000_000_000 + Int64(minute) * 60_000, currency: "EUR",
            merchantID: "m\(minute % 5)", category: nil, country: "NL", channel: nil, deviceID: nil,
            latitude: nil, longitude: nil)
    }

    private static func batch(_ records: [Transaction], start: Int64, partition: Int32 = 0) -> ConsumedBatch {
        var transactions = TransactionBatch()
        for record in records { transactions.append(record) }
        let slice = PartitionSlice(
            source: TopicPartition(topic: "transactions", partition: partition), start: start,
            end: start + Int64(records.count))
        return ConsumedBatch(
            transactions: transactions, offsets: records.indices.map { start + Int64($0) },
            sliceIndex: records.map { _ in 0 }, slices: [slice], deadLetters: [], assignment: 0,
            wronglyKeyed: 0)
    }
}

/// Randomness with a seed that a failure can name.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
