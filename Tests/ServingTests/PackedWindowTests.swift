import Features
import Lake
import Testing
import Training
import Transactions

@testable import Serving

@Suite struct PackedWindowTests {
    /// A store whose windows are packed as soon as they may be.
    private func packingStore() -> MemoryWindowStore { MemoryWindowStore(hotBytes: 0) }

    private func keys(_ ids: [String]) -> UserKeys {
        var keys = UserKeys()
        for id in ids { keys.append(id) }
        return keys
    }

    private func blobs(_ store: MemoryWindowStore, _ ids: [String]) throws -> [[UInt8]] {
        var found: [[UInt8]] = Array(repeating: [], count: ids.count)
        try store.read(
            keys(ids), partitions: [], partition: { _, _ in },
            user: { index, stored in
                if case .blob(let bytes) = stored { found[index] = Array(bytes) }
            })
        return found
    }

    private func write(
        _ blobs: [[UInt8]], of ids: [String], expecting: [WindowExpectation], to store: MemoryWindowStore
    ) throws -> Bool {
        var ends: [Int] = []
        for blob in blobs { ends.append((ends.last ?? 0) + blob.count) }
        return try store.write(
            WindowWrites(users: keys(ids), expected: expecting, bytes: blobs.flatMap { $0 }, ends: ends))
    }

    /// Windows of generated users after so many days, with a token of their own each.
    private func generated(users: Int, days: Int) -> [(id: String, window: UserWindow)] {
        let generator = TransactionGenerator(users: users, seed: 11)
        var windows: [String: UserWindow] = [:]
        let first = LakeDay(dayNumber: 20_454)
        for day in 0..<days {
            for made in generator.day(first.adding(days: day)) {
                let transaction = made.transaction
                windows[transaction.userID, default: UserWindow()].fold(
                    WindowEvent(
                        timestampMilliseconds: transaction.timestampMilliseconds, amount: transaction.amount,
                        merchant: TextHash.hash(transaction.merchantID ?? ""),
                        country: TextHash.hash(transaction.country ?? ""),
                        device: TextHash.hash(transaction.deviceID ?? ""),
                        latitude: transaction.latitude ?? .nan, longitude: transaction.longitude ?? .nan))
            }
        }
        return windows.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func blob(_ user: (id: String, window: UserWindow), sequence: UInt64, offset: Int64) -> [UInt8] {
        WindowBlob.encoded(
            user.window, token: WindowToken(writer: 7 << 40, sequence: sequence),
            owner: TextHash.hash(user.id), epoch: 3, partition: 5, baseOffset: offset, endOffset: offset + 9)
    }

    @Test func whatIsPackedIsReadAsItWasWrittenAndCanBeReplaced() throws {
        let store = packingStore()
        let users = generated(users: 300, days: 40)
        let ids = users.map(\.id)
        let written = users.enumerated().map { blob($1, sequence: UInt64($0), offset: Int64($0) * 1_000) }
        #expect(try write(written, of: ids, expecting: ids.map { _ in .nothing }, to: store))
        let plain = MemoryWindowStore()
        #expect(try write(written, of: ids, expecting: ids.map { _ in .nothing }, to: plain))
        #expect(store.liveBytes < plain.liveBytes * 8 / 10, "\(store.liveBytes) \(plain.liveBytes)")
        #expect(try blobs(store, ids) == written)

        // Another writer's token is refused, the right one is not, and what comes then is packed again.
        let others = written.map { _ in WindowExpectation.token(WindowToken(writer: 1, sequence: 1)) }
        #expect(try !write(written, of: ids, expecting: others, to: store))
        let next = users.enumerated().map { blob($1, sequence: 1_000 + UInt64($0), offset: 70_000) }
        let right = written.map { blob in blob.withUnsafeBytes { WindowExpectation(of: $0) } }
        #expect(try write(next, of: ids, expecting: right, to: store))
        #expect(try blobs(store, ids) == next)
        #expect(try store.remove(userID: ids[0]) == 1)
        #expect(try blobs(store, [ids[0], ids[1]]) == [[], next[1]])
        store.forgetOffsets()
        let forgotten = try blobs(store, [ids[1]])[0]
        let parsed = try forgotten.withUnsafeBytes { bytes in
            let blob = try WindowBlob(bytes, owner: TextHash.hash(ids[1]))
            return (blob.baseOffset, blob.endOffset, try blob.window(foldingBelow: .max))
        }
        #expect(parsed.0 == 0 && parsed.1 == 0 && parsed.2 == users[1].window)
    }

    /// What cannot be packed stays as it is, and keeps nobody else from it.
    @Test func damagedAndForeignBlobsStay() throws {
        let store = packingStore()
        let users = generated(users: 5, days: 30)
        var written = users.map { blob($0, sequence: 1, offset: 0) }
        written[0][70] ^= 1
        written[1] = Array("no window at all".utf8)
        let ids = users.map(\.id)
        #expect(try write(written, of: ids, expecting: ids.map { _ in .nothing }, to: store))
        #expect(try blobs(store, ids) == written)
        let same = written.map { blob in blob.withUnsafeBytes { WindowExpectation(of: $0) } }
        #expect(try write(written, of: ids, expecting: same, to: store))
        #expect(try blobs(store, ids) == written)
    }

    /// The bound that is promised for a million users, who differ in nothing but their ids from these: what a further one
    /// takes, as the table counts it.
    @Test func aGeneratedUserTakesAtMostFourHundredBytes() throws {
        let users = generated(users: 3_000, days: 45)
        let store = packingStore()
        var sizes: [Int] = []
        for (number, user) in users.enumerated() {
            let bytes = blob(user, sequence: UInt64(number / 100), offset: 40_000_000 + Int64(number))
            #expect(try write([bytes], of: [user.id], expecting: [.nothing], to: store))
            if number + 1 == 1_500 || number + 1 == 3_000 { sizes.append(store.liveBytes) }
        }
        #expect(sizes.count == 2)
        let bytes = Double(sizes[1] - sizes[0]) / 1_500
        #expect(bytes <= 400, "\(bytes)")
        let plain = Double(users.reduce(0) { $0 + blob($1, sequence: 0, offset: 0).count }) / 3_000
        print("\(bytes) bytes a user, of blobs of \(plain)")
    }
}
