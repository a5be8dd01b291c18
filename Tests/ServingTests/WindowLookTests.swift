import Features
import Testing
import Transactions

@testable import Serving

/// What is shown of a stored window is what the stream has put there.
@Suite struct WindowLookTests {
    @Test func aUsersWindowIsShownAsTheStreamHasLeftIt() throws {
        let store = MemoryWindowStore()
        let records = (0..<5).map { WindowFixtures.record(user: $0 % 2, minute: $0) }
        let stage = WindowStage(store: store, writer: 1)
        // Two batches, so that there are pending records on a base.
        for (start, slice) in [(0, records[..<3]), (3, records[3...])] {
            let batch = WindowFixtures.batch(Array(slice), start: Int64(start))
            _ = try WindowFixtures.deliver(batch, stage, store)
        }
        let user = WindowFixtures.batch([records[0]], start: 0).transactions
        let id = UserIndex(user).keys.text(0)
        guard case .window(let window) = try store.look(at: id) else {
            Issue.record("there is no window")
            return
        }
        let summary = try #require(WindowSummary(window))
        #expect(summary.month.count == 3)
        #expect(summary.lastEventMilliseconds == WindowFixtures.epoch + 4 * 60_000)
        guard case .none = try store.look(at: "nobody") else {
            Issue.record("nobody has a window")
            return
        }
    }

    @Test func aDamagedOneIsToldAndLeftAlone() throws {
        let store = MemoryWindowStore()
        var window = UserWindow()
        window.fold(WindowEvent(timestampMilliseconds: WindowFixtures.epoch, amount: 3))
        var blob = WindowBlob.encoded(
            window, token: WindowToken(writer: 3, sequence: 3), owner: TextHash.hash("u0"))
        blob[blob.count - 1] ^= 1
        var keys = UserKeys()
        keys.append("u0")
        #expect(
            try store.write(
                WindowWrites(users: keys, expected: [.nothing], bytes: blob, ends: [blob.count])))
        for _ in 0..<2 {
            guard case .damaged(let reason) = try store.look(at: "u0") else {
                Issue.record("it is damaged")
                return
            }
            #expect(reason.contains("checksum"))
        }
    }
}
