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
        let differing = zip(disturbed, undisturbed).enumerated().first { $1.0 != $1.1 }?.offset
        #expect(differing == nil, "seed \(seed)")
    }

    @Test func windowOfAnotherPartitionIsMarkedAndItsCommittedRecordsCount() throws {
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        let first = WindowFixtures.batch([WindowFixtures.record(user: 0, minute: 0)], start: 0, partition: 3)
        #expect(try store.write(try stage.run(first).writes))
        let second = WindowFixtures.batch([WindowFixtures.record(user: 0, minute: 1)], start: 0, partition: 4)

        #expect(try stage.read(second).asked == [3])
        let committed = stage.run(try stage.read(second), committedOffsets: [3: 1])
        #expect(committed.marks == [.windowMoved])
        #expect(committed.features[WindowFixtures.count1h] == 1)

        let uncommitted = stage.run(try stage.read(second), committedOffsets: [3: 0])
        #expect(uncommitted.marks == [.windowMoved])
        #expect(uncommitted.features[WindowFixtures.count1h] == 0)
    }

    @Test func recordsThatTheBaseHoldsAreNotCountedAgainWhenOffsetsAreSetBack() throws {
        let store = MemoryWindowStore()
        let stage = WindowStage(store: store, writer: 1)
        for offset in 0..<3 {
            let batch = WindowFixtures.batch(
                [WindowFixtures.record(user: 0, minute: offset)], start: Int64(offset))
            #expect(try store.write(try stage.run(batch).writes))
        }
        // The base now holds the records 0 and 1; record 2 is pending.
        let again = WindowFixtures.batch((0..<4).map { WindowFixtures.record(user: 0, minute: $0) }, start: 0)
        let windowed = try stage.run(again)
        #expect(windowed.marks == [.windowAhead, .windowAhead, [], []])
        #expect(windowed.features[3 * UserWindow.featureCount + WindowFixtures.count1h] == 3)
    }

    @Test func aWindowChangedByAnotherWorkerIsNotOverwritten() throws {
        let store = MemoryWindowStore()
        let batch = WindowFixtures.batch([WindowFixtures.record(user: 0, minute: 0)], start: 0)
        let ours = try WindowStage(store: store, writer: 1).run(batch)
        let theirs = try WindowStage(store: store, writer: 2).run(batch)
        #expect(try store.write(theirs.writes))
        #expect(try !store.write(ours.writes))
    }

    // MARK: A stream with a committed offset, and workers that are killed

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
            let batch = WindowFixtures.batch(Array(records[start..<start + size]), start: Int64(start))
            let fate = random == nil ? .delivered : Fate.allCases.randomElement(using: &random!)!
            if fate == .zombieWroteWindows {
                let zombie = try WindowStage(store: store, writer: 1_000_000 + writer).run(batch)
                _ = try store.write(zombie.writes)
            }
            let windowed = try stage.run(batch)
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
            WindowFixtures.record(
                user: Int.random(in: 0..<users, using: &random),
                minute: index * 30 - Int.random(in: 0..<600, using: &random),
                amount: Double.random(in: 1...500, using: &random))
        }
    }
}
