import Features
import Foundation
import Logging
import Testing
import Torture
import Transactions

@testable import Serving

/// A damaged window costs its user the history, and nobody else anything.
@Suite struct DamagedWindowTests {
    private func delivered(_ store: MemoryWindowStore, users: Range<Int> = 0..<2) throws {
        let stage = WindowStage(store: store, writer: 1 << 40)
        for turn in 0..<3 {
            let records = users.map { WindowFixtures.record(user: $0, minute: turn) }
            _ = try WindowFixtures.deliver(
                WindowFixtures.batch(records, start: Int64(turn * users.count)), stage, store)
        }
    }

    /// Puts bytes in place of a user's blob.
    private func damage(_ store: MemoryWindowStore, user: String, _ change: (inout [UInt8]) -> Void) throws {
        var bytes = try #require(try store.bytes(of: user))
        change(&bytes)
        store.state.withLock { state in
            bytes.withUnsafeBytes { blob in
                Array(user.utf8).withUnsafeBytes { state.table.set(blob, of: $0, minute: 0) }
            }
        }
    }

    @Test func tortureWindows() throws {
        let store = MemoryWindowStore()
        try delivered(store)
        let blob = try #require(try store.bytes(of: "u0"))
        let owner = TextHash.hash("u0")
        #expect(throws: Never.self) { try blob.withUnsafeBytes { _ = try WindowBlob($0, owner: owner) } }
        // A first byte of 1 makes it a blob of format 1, which has no checksum, but never that one's size.
        try Torture("windows").run(rounds: 20_000) { random in
            let bytes = Mutation.apply(to: blob, &random)
            guard bytes != blob else { return .accepted }
            do {
                try bytes.withUnsafeBytes { _ = try WindowBlob($0, owner: owner) }
                throw Torture.Failure("a changed window was taken: \(bytes)")
            } catch is WindowStoreError {
                return .refused
            }
        }
        #expect(throws: WindowStoreError.self, "another user's") {
            try blob.withUnsafeBytes { _ = try WindowBlob($0, owner: TextHash.hash("u1")) }
        }
    }

    @Test func theUserBeginsAnewIsMarkedAndTheOthersGoOn() throws {
        let store = MemoryWindowStore()
        try delivered(store)
        try damage(store, user: "u0") { $0[60] ^= 1 }
        let next = (0..<2).map { WindowFixtures.record(user: $0, minute: 9) }
        let batch = WindowFixtures.batch(next, start: 6)
        let windowed = try WindowFixtures.deliver(batch, WindowStage(store: store, writer: 2 << 40), store)
        #expect(windowed.marks == [.windowDamaged, []])
        #expect(windowed.feature(WindowFixtures.count1h, row: 0) == 0)
        #expect(windowed.feature(WindowFixtures.count1h, row: 1) == 3)
        guard case .damaged("u0", _, _) = try #require(windowed.notices.first) else {
            Issue.record("\(windowed.notices)")
            return
        }
        #expect(store.state.withLock { $0.damaged.count } == 1)

        // Killed before the commit: the rerun says the same, and so do the user's next verdicts.
        let again = try WindowFixtures.deliver(batch, WindowStage(store: store, writer: 3 << 40), store)
        #expect(again.marks == windowed.marks)
        #expect(again.featureBits == windowed.featureBits)
        let after = WindowFixtures.batch([WindowFixtures.record(user: 0, minute: 10)], start: 8)
        let later = try WindowFixtures.deliver(after, WindowStage(store: store, writer: 3 << 40), store)
        #expect(later.marks == [.windowDamaged])
        #expect(later.notices.isEmpty)
        #expect(try store.remove(userID: "u0") == 2)
    }

    @Test func aCutOffBlobIsMovedAsideToo() throws {
        for size in [0, 1, 10, 40] {
            let store = MemoryWindowStore()
            try delivered(store)
            try damage(store, user: "u1") { $0.removeLast($0.count - size) }
            let batch = WindowFixtures.batch([WindowFixtures.record(user: 1, minute: 9)], start: 6)
            let windowed = try WindowFixtures.deliver(
                batch, WindowStage(store: store, writer: 2 << 40), store)
            #expect(windowed.marks == [.windowDamaged])
        }
    }

    @Test func aDamagedPartitionRecordIsALoss() throws {
        let store = MemoryWindowStore()
        try delivered(store)
        store.state.withLock { $0.partitions[0]?[50] ^= 4 }
        let batch = WindowFixtures.batch([WindowFixtures.record(user: 1, minute: 9)], start: 6)
        let windowed = try WindowFixtures.deliver(batch, WindowStage(store: store, writer: 2 << 40), store)
        #expect(windowed.notices.count == 2)
        #expect(windowed.marks == [.windowsLost])
    }

    // MARK: - Snapshots

    @Test func aSnapshotBringsBackWindowsRecordsAndCheckpoint() throws {
        let path = temporaryPath()
        defer { remove(path) }
        let store = MemoryWindowStore()
        #expect(try store.restore(from: path) == nil)
        try delivered(store, users: 0..<300)
        try store.snapshot(to: path, checkpoint: [1, 2, 3])
        let restored = MemoryWindowStore()
        let snapshot = try #require(try restored.restore(from: path))
        #expect(snapshot.checkpoint == [1, 2, 3])
        #expect(snapshot.problem == nil)
        #expect(restored.count == 300)
        let batch = WindowFixtures.batch([WindowFixtures.record(user: 1, minute: 9)], start: 900)
        let windowed = try WindowFixtures.deliver(
            batch, WindowStage(store: restored, writer: 2 << 40), restored)
        #expect(windowed.marks == [[]])
        #expect(windowed.feature(WindowFixtures.count1h, row: 0) == 3)
        try Data("nonsense".utf8).write(to: URL(filePath: path))
        #expect(throws: WindowStoreError.self) { try restored.restore(from: path) }
    }

    @Test func everyDamageOfASnapshotIsNoticed() throws {
        let path = temporaryPath()
        defer { remove(path) }
        let store = MemoryWindowStore()
        try delivered(store, users: 0..<20)
        try store.snapshot(to: path, checkpoint: [1, 2, 3])
        let whole = [UInt8](try Data(contentsOf: URL(filePath: path)))
        var random = SplitMix(state: 5)
        for turn in 0..<300 {
            var bytes = whole
            if turn % 2 == 0 {
                bytes.removeLast(Int.random(in: 1...(bytes.count - 8), using: &random))
            } else {
                bytes[Int.random(in: 8..<bytes.count, using: &random)] ^=
                    1 << UInt8.random(in: 0..<8, using: &random)
            }
            try Data(bytes).write(to: URL(filePath: path))
            let restored = MemoryWindowStore()
            let snapshot = try #require(try restored.restore(from: path))
            #expect(snapshot.problem != nil)
            // What may be missing is marked.
            let batch = WindowFixtures.batch([WindowFixtures.record(user: 19, minute: 9)], start: 60)
            let windowed = try WindowStage(store: restored, writer: 2 << 40).run(batch)
            #expect(windowed.marks[0].contains(.windowsLost))
        }
        remove(path + ".damaged")
    }

    @Test(arguments: ["", "nonsense", "MLWINDOW\u{1}"])
    func aFileThatIsNoSnapshotIsNamedWithWhatToDo(content: String) throws {
        let path = temporaryPath()
        defer { remove(path) }
        try Data(content.utf8).write(to: URL(filePath: path))
        let error = #expect(throws: WindowStoreError.self) { try MemoryWindowStore().restore(from: path) }
        let text = try #require(error).description
        #expect(text.contains(path) && text.contains("move it away"), "\(text)")
    }

    /// Neither the damaged file nor its copy has the user when the receipt says so.
    @Test func anErasedUserIsInNoDamagedSnapshot() throws {
        let path = temporaryPath()
        defer {
            remove(path)
            remove(path + ".damaged")
        }
        let store = MemoryWindowStore()
        try delivered(store, users: 100..<120)
        try store.snapshot(to: path, checkpoint: [1, 2, 3])
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: URL(filePath: path))
        let restored = MemoryWindowStore()
        #expect(try restored.restore(from: path)?.problem != nil)
        let snapshots = WindowSnapshots(
            restored, path: path, intervalSeconds: 10,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        func holds(_ file: String, _ user: String) -> Bool {
            (try? Data(contentsOf: URL(filePath: file)))?.range(of: Data(user.utf8)) != nil
        }
        // Of some who are before the damage and some who are behind it.
        let lost = try (100..<120).map { "u\($0)" }.filter { try restored.bytes(of: $0) == nil }
        #expect(!lost.isEmpty && lost.count < 20)
        #expect(try snapshots.erase(userID: "nobody") == 0)
        #expect(lost.allSatisfy { holds(path + ".damaged", $0) })
        for user in [lost[0], "u100"] {
            _ = try snapshots.erase(userID: user)
            #expect(!holds(path, user) && !holds(path + ".damaged", user))
        }
        let after = MemoryWindowStore()
        let snapshot = try #require(try after.restore(from: path))
        #expect(snapshot.problem == nil && snapshot.checkpoint == [1, 2, 3])
        #expect(after.count >= 20 - lost.count - 1)
    }
}

func temporaryPath() -> String {
    FileManager.default.temporaryDirectory.appending(path: "windows-\(UUID().uuidString)").path
}

func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }
