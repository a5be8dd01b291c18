import Synchronization
import Testing

@testable import Serving

/// What windows begin with when a stream is read for the first time.
@Suite struct WindowHistoryTests {
    private static let midnight = WindowFixtures.epoch - WindowFixtures.epoch % 86_400_000

    /// Notes the moments before which windows were to be filled.
    private final class Fills: Sendable {
        private let found = Mutex<[Int64]>([])
        var ends: [Int64] { found.withLock { $0 } }
        var history: WindowHistory { WindowHistory { [self] _, end in found.withLock { $0.append(end) } } }
    }

    /// The size of the batches and what comes late in them are chance.
    @Test(arguments: [1, 2, 6])
    func theFirstTransactionSaysWhereHistoryEnds(size: Int) throws {
        let minutes = [0, 1, -1440, 2, -20_000, 9000]
        let records = minutes.map { WindowFixtures.record(user: 1, minute: $0) }
        let fills = Fills()
        let (history, store) = (fills.history, MemoryWindowStore())
        let stage = WindowStage(store: store, writer: 1 << 40)
        for start in stride(from: 0, to: records.count, by: size) {
            let part = Array(records[start..<min(start + size, records.count)])
            let batch = WindowFixtures.batch(part, start: Int64(start))
            try history.precede(batch, in: store)
            _ = try WindowFixtures.deliver(batch, stage, store)
        }
        #expect(fills.ends == [Self.midnight])
    }

    /// What is no transaction leaves partitions that have begun, and a history that is still to come.
    @Test func whatIsNoTransactionSaysNothing() throws {
        let fills = Fills()
        let (history, store) = (fills.history, MemoryWindowStore())
        let letters = ConsumedBatch(
            transactions: .init(), offsets: [], sliceIndex: [],
            slices: [
                PartitionSlice(source: .init(topic: "transactions", partition: 0), start: 0, end: 3)
            ],
            deadLetters: [], assignment: 0, wronglyKeyed: 0)
        try history.precede(letters, in: store)
        _ = try WindowFixtures.deliver(letters, WindowStage(store: store, writer: 1 << 40), store)
        #expect(fills.ends.isEmpty)
        try history.precede(
            WindowFixtures.batch([WindowFixtures.record(user: 1, minute: 5)], start: 3), in: store)
        #expect(fills.ends == [Self.midnight])
    }

    @Test func aStreamThatIsGoneOnWithHasItsWindows() throws {
        let fills = Fills()
        let record = WindowFixtures.record(user: 1, minute: 5)
        try fills.history.precede(WindowFixtures.batch([record], start: 3), in: MemoryWindowStore())
        let store = MemoryWindowStore()
        let first = WindowFixtures.batch([record], start: 0)
        _ = try WindowFixtures.deliver(first, WindowStage(store: store, writer: 1 << 40), store)
        try fills.history.precede(first, in: store)
        #expect(fills.ends.isEmpty)
    }

    @Test func whatCannotBeFilledIsTriedAgain() throws {
        struct Away: Error {}
        let attempts = Mutex(0)
        let history = WindowHistory { _, _ in
            let isFirst = attempts.withLock { attempts in
                attempts += 1
                return attempts == 1
            }
            if isFirst { throw Away() }
        }
        let batch = WindowFixtures.batch([WindowFixtures.record(user: 1, minute: 5)], start: 0)
        #expect(throws: Away.self) { try history.precede(batch, in: MemoryWindowStore()) }
        for _ in 0..<3 { try history.precede(batch, in: MemoryWindowStore()) }
        #expect(attempts.withLock { $0 } == 2)
    }
}
