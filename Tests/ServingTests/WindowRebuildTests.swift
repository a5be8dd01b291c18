import Features
import Foundation
import Testing
import Transactions

@testable import Serving

/// Windows that were lost are made again from the stream, bit for bit.
@Suite struct WindowRebuildTests {
    private let path = temporaryPath()

    /// A few users' transactions, some of them late and one from the future.
    private func lines(_ count: Int) -> [Transaction] {
        var random = SplitMix(state: 3)
        return (0..<count).map { index in
            let minute = index * 40 - (index % 9 == 0 ? Int.random(in: 0..<3_000, using: &random) : 0)
            return WindowFixtures.record(
                user: Int.random(in: 0..<9, using: &random),
                minute: index == 50 ? minute + 90 * 1440 : minute,
                amount: Double.random(in: 1...90, using: &random))
        }
    }

    private func stream(_ records: [Transaction]) throws -> FileTransactionStream {
        try records.map { $0.json() + "\n" }.joined().write(toFile: path, atomically: true, encoding: .utf8)
        return try FileTransactionStream(.init(input: path, verdicts: "/dev/null"))
    }

    /// Serves records of the stream's partition, from `start` on.
    private func serve(_ records: [Transaction], from start: Int, to store: MemoryWindowStore) throws
        -> WindowedBatch
    {
        var last: WindowedBatch?
        let stage = WindowStage(store: store, writer: UInt64(start + 1) << 40)
        for first in stride(from: start, to: records.count, by: 10) {
            let part = Array(records[first..<min(first + 10, records.count)])
            last = try WindowFixtures.deliver(WindowFixtures.batch(part, start: Int64(first)), stage, store)
        }
        return try #require(last)
    }

    @Test(arguments: [true, false])
    func lostWindowsBecomeThoseOfAnUndisturbedRun(isEmptied: Bool) throws {
        defer { remove(path) }
        let records = lines(200)
        let undisturbed = MemoryWindowStore()
        _ = try serve(records, from: 0, to: undisturbed)

        var store = MemoryWindowStore()
        _ = try serve(Array(records[..<150]), from: 0, to: store)
        if isEmptied { store = MemoryWindowStore() }
        let lost = try serve(records, from: isEmptied ? 150 : 160, to: store)
        #expect(lost.marks.allSatisfy { !$0.isEmpty })

        let rebuilt = try WindowRebuild(store, from: try stream(records), settings: .init()).run()
        #expect(rebuilt.missed == 0)
        #expect(rebuilt.rebuilt > 0)
        for user in undisturbed.userIDs {
            #expect(try store.window(of: user)?.window == undisturbed.window(of: user)?.window, "\(user)")
        }
        // And so it goes on, without a mark.
        let next = (200..<220).map { WindowFixtures.record(user: $0 % 9, minute: $0 * 40) }
        let batch = WindowFixtures.batch(next, start: 200)
        let stage = WindowStage(store: store, writer: 5 << 40)
        let after = try WindowFixtures.deliver(batch, stage, store)
        let whole = try WindowFixtures.deliver(
            batch, WindowStage(store: undisturbed, writer: 6 << 40), undisturbed)
        #expect(after.featureBits == whole.featureBits)
        #expect(after.marks == whole.marks)
        #expect(after.notices.isEmpty)
    }

    @Test func windowsFromHistoryFillWhatIsAbsentAndCompleteWhatBeganLater() throws {
        let store = MemoryWindowStore()
        let later = (0..<4).map { WindowFixtures.record(user: $0 % 2, minute: 5 * 1440 + $0) }
        let lost = WindowFixtures.batch(later, start: 10, isAtBeginning: false)
        let windowed = try WindowFixtures.deliver(lost, WindowStage(store: store, writer: 1 << 40), store)
        #expect(windowed.marks.allSatisfy { $0 == .windowsLost })

        var history = UserWindow()
        history.fold(WindowEvent(timestampMilliseconds: WindowFixtures.epoch, amount: 7))
        var filling = WindowFilling(store)
        try filling.put(history, of: "u0")
        try filling.put(history, of: "u7")
        try filling.finish()
        #expect(filling.outcome == .init(filled: 1, merged: 1))

        let next = [0, 7].map { WindowFixtures.record(user: $0, minute: 5 * 1440 + 9) }
        let batch = WindowFixtures.batch(next, start: 14)
        let after = try WindowFixtures.deliver(batch, WindowStage(store: store, writer: 2 << 40), store)
        #expect(after.marks == [[], []])
        #expect(after.feature(WindowFixtures.count30d, row: 0) == 3)
        #expect(after.feature(WindowFixtures.count30d, row: 1) == 1)
    }
}
