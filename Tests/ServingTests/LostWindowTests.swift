import Features
import Testing
import Transactions

@testable import Serving

/// A store that has forgotten, and offsets that were moved by hand, are noticed and marked, never silent.
@Suite struct LostWindowTests {
    private func record(_ index: Int) -> Transaction {
        WindowFixtures.record(user: index % 2, minute: index * 10)
    }

    private func batch(_ range: Range<Int>) -> ConsumedBatch {
        WindowFixtures.batch(range.map(record), start: Int64(range.lowerBound))
    }

    private func deliver(_ range: Range<Int>, to store: MemoryWindowStore, writer: UInt64 = 1 << 40) throws
        -> WindowedBatch
    {
        try WindowFixtures.deliver(batch(range), WindowStage(store: store, writer: writer), store)
    }

    @Test func anUndisturbedStreamHasNoMarks() throws {
        let store = MemoryWindowStore()
        for start in stride(from: 0, to: 40, by: 4) {
            let windowed = try deliver(start..<start + 4, to: store, writer: UInt64(start) << 40)
            #expect(windowed.notices.isEmpty)
            #expect(windowed.marks == [[], [], [], []])
        }
    }

    @Test func aPartitionThatNobodyHasReadIsNotLost() throws {
        let first = WindowFixtures.batch([record(0)], start: 500, isAtBeginning: true)
        let store = MemoryWindowStore()
        let windowed = try WindowFixtures.deliver(first, WindowStage(store: store, writer: 1 << 40), store)
        #expect(windowed.notices.isEmpty)
        #expect(windowed.marks == [[]])
    }

    @Test func anEmptiedStoreIsNoticedAndItsUsersAreMarkedFor30Days() throws {
        var store = MemoryWindowStore()
        _ = try deliver(0..<10, to: store)
        store = MemoryWindowStore()
        let lost = try deliver(10..<14, to: store)
        #expect(lost.notices == [.lost(partition: 0, watermark: nil, committed: 10)])
        #expect(lost.marks == [.windowsLost, .windowsLost, .windowsLost, .windowsLost])
        // Written, not committed: the rerun says the same of the same records.
        let again = try deliver(10..<14, to: store, writer: 2 << 40)
        #expect(again.marks == lost.marks)
        let next = try deliver(14..<16, to: store)
        #expect(next.notices.isEmpty)
        #expect(next.marks == [.windowsLost, .windowsLost])

        let later = WindowFixtures.record(user: 0, minute: 31 * 1440)
        let newcomer = WindowFixtures.record(user: 7, minute: 31 * 1440)
        let after = WindowFixtures.batch(
            [later, newcomer], start: 16,
            recordMilliseconds: [later.timestampMilliseconds, newcomer.timestampMilliseconds])
        let whole = try WindowFixtures.deliver(after, WindowStage(store: store, writer: 1 << 40), store)
        #expect(whole.marks == [[], []])
    }

    @Test func aStoreSetBackIsNoticed() throws {
        let store = MemoryWindowStore()
        _ = try deliver(0..<10, to: store)
        let path = temporaryPath()
        defer { remove(path) }
        try store.snapshot(to: path, checkpoint: [])
        _ = try deliver(10..<20, to: store)

        let older = MemoryWindowStore()
        _ = try older.restore(from: path)
        let lost = try deliver(20..<24, to: older)
        #expect(lost.notices == [.lost(partition: 0, watermark: 10, committed: 20)])
        #expect(lost.marks.allSatisfy { $0 == .windowsLost })
        // Users whose window is from before the loss are concerned whenever they come.
        let next = try deliver(24..<26, to: older)
        #expect(next.notices.isEmpty)
        #expect(next.marks.allSatisfy { $0 == .windowsLost })
    }

    @Test func offsetsSetForwardAreMarkedBehind() throws {
        let store = MemoryWindowStore()
        _ = try deliver(0..<10, to: store)
        let ahead = try deliver(15..<17, to: store)
        #expect(ahead.notices == [.behind(partition: 0, watermark: 10, start: 15)])
        #expect(ahead.marks.allSatisfy { $0 == .windowBehind })
    }

    @Test func offsetsSetBackIntoTheLastBatchCountNothingTwice() throws {
        let store = MemoryWindowStore()
        _ = try deliver(0..<10, to: store)
        _ = try deliver(10..<20, to: store)
        let again = try deliver(14..<24, to: store)
        // Pending records tell by their offsets which of them lie below: there is nothing to mark.
        #expect(again.notices.isEmpty)
        #expect(again.marks.allSatisfy { $0 == [] })
        let undisturbed = MemoryWindowStore()
        let whole = try deliver(0..<24, to: undisturbed)
        #expect(Array(again.featureBits) == Array(whole.featureBits.suffix(10)))
    }

    @Test func aBatchThatWasNotCommittedIsNoLoss() throws {
        let store = MemoryWindowStore()
        _ = try deliver(0..<10, to: store)
        _ = try deliver(10..<20, to: store)
        let again = try deliver(10..<17, to: store, writer: 2 << 40)
        #expect(again.notices.isEmpty)
        #expect(again.marks.allSatisfy { $0 == [] })
    }

    @Test func aBatchOfDeadLettersAloneMovesTheWatermark() throws {
        let store = MemoryWindowStore()
        _ = try deliver(0..<4, to: store)
        let empty = ConsumedBatch(
            transactions: TransactionBatch(), offsets: [], sliceIndex: [],
            slices: [PartitionSlice(source: batch(0..<1).slices[0].source, start: 4, end: 9)],
            deadLetters: [], assignment: 0, wronglyKeyed: 0)
        _ = try WindowFixtures.deliver(empty, WindowStage(store: store, writer: 1 << 40), store)
        #expect(try deliver(9..<12, to: store).notices.isEmpty)
    }

    /// Another worker's record on the partition is a conflict, even where none of its users is among ours.
    @Test func aPartitionThatAnotherWorkerHasWrittenIsNotOverwritten() throws {
        let store = MemoryWindowStore()
        let ours = WindowFixtures.batch([WindowFixtures.record(user: 1, minute: 0)], start: 0)
        let theirs = WindowFixtures.batch([WindowFixtures.record(user: 2, minute: 0)], start: 0)
        let windowed = try WindowStage(store: store, writer: 1 << 40).run(ours)
        _ = try WindowFixtures.deliver(theirs, WindowStage(store: store, writer: 2 << 40), store)
        #expect(try !store.write(windowed.writes))
    }

    @Test func windowsMadeOfHistoryAreWhole() throws {
        let store = MemoryWindowStore()
        var window = UserWindow()
        window.fold(WindowEvent(timestampMilliseconds: WindowFixtures.epoch - 60_000, amount: 3))
        let owner = TextHash.hash("u0")
        let blob = WindowBlob.encoded(window, token: WindowToken(writer: 3, sequence: 3), owner: owner)
        var keys = UserKeys()
        keys.append("u0")
        #expect(
            try store.write(
                WindowWrites(users: keys, expected: [.nothing], bytes: blob, ends: [blob.count])))
        let windowed = try deliver(0..<2, to: store)
        #expect(windowed.marks == [[], []])
        #expect(windowed.feature(WindowFixtures.count1h, row: 0) == 1)
        #expect(windowed.feature(WindowFixtures.count1h, row: 1) == 0)
    }
}
