import Features
import Foundation
import Kafka
import Redis
import Testing
import Transactions

@testable import Serving

/// Windows in a real Redis: what happens when it forgets, is shared, or holds what is no window.
@Suite struct WindowsInRedisTests {
    private let prefix = "test-\(UUID().uuidString):"
    private let redis: RedisConnection
    private static let count1h = FeatureSchema.index(of: "count_1h")!

    init() throws { redis = RedisConnection(address: try RedisAddress(parsing: try Stack.redis)) }

    private func store(_ service: String = "group/topic") throws -> RedisWindowStore {
        var settings = RedisWindowStore.Settings()
        settings.prefix = prefix
        settings.service = service
        return RedisWindowStore(
            connection: RedisConnection(address: try RedisAddress(parsing: try Stack.redis)),
            settings: settings)
    }

    private func batch(_ users: [String], start: Int64, partition: Int32 = 0) -> ConsumedBatch {
        var transactions = TransactionBatch()
        for (index, user) in users.enumerated() {
            transactions.append(
                Transaction(
                    transactionID: "t\(start + Int64(index))", userID: user, amount: 5,
                    timestampMilliseconds: 1_700_000_000_000 + start * 1_000, currency: nil, merchantID: nil,
                    category: nil, country: nil, channel: nil, deviceID: nil, latitude: nil, longitude: nil))
        }
        let slice = PartitionSlice(
            source: TopicPartition(topic: "topic", partition: partition), start: start,
            end: start + Int64(users.count))
        return ConsumedBatch(
            transactions: transactions, offsets: users.indices.map { start + Int64($0) },
            sliceIndex: users.map { _ in 0 }, slices: [slice], deadLetters: [], assignment: 0, wronglyKeyed: 0
        )
    }

    /// Delivers, as the worker does: once more after a conflict.
    private func deliver(_ batch: ConsumedBatch, _ store: RedisWindowStore, writer: UInt64 = 1 << 40) throws
        -> WindowedBatch
    {
        let stage = WindowStage(store: store, writer: writer)
        for _ in 0..<3 {
            let windowed = try stage.run(batch)
            if try store.write(windowed.writes) { return windowed }
        }
        throw WindowStoreError.damaged("conflicts")
    }

    private func count(_ windowed: WindowedBatch, row: Int) -> Float {
        windowed.features[row * UserWindow.featureCount + Self.count1h]
    }

    @Test func windowsExpireAndPartitionsDoNot() throws {
        let store = try store()
        _ = try deliver(batch(["a", "b"], start: 0), store)
        let left = try #require(try redis.command(["PTTL", .text(store.key(of: "a"))]).integer)
        #expect((34 * 86_400_000...35 * 86_400_000).contains(left))
        let keys =
            try redis.command(["KEYS", .text("\(prefix)partitions:*")]).array?.compactMap(\.text) ?? []
        #expect(keys.count == 1)
        #expect(try redis.command(["PTTL", .text(keys.first ?? "")]).integer == -1)
    }

    @Test func aKeyOfAnotherTypeIsMovedAsideAndTheOthersGoOn() throws {
        let store = try store()
        _ = try deliver(batch(["a", "b"], start: 0), store)
        try redis.command(["DEL", .text(store.key(of: "a"))])
        try redis.command(["RPUSH", .text(store.key(of: "a")), "x"])
        let windowed = try deliver(batch(["a", "b"], start: 2), store)
        #expect(windowed.marks == [.windowDamaged, []])
        #expect(count(windowed, row: 1) == 1)
        #expect(try redis.command(["TYPE", .text("\(prefix)damaged:a")]).text == "list")
        #expect(try deliver(batch(["a"], start: 4), store).marks == [.windowDamaged])
        // Gone without a trace, what was set aside too.
        #expect(try store.remove(userID: "a") == 2)
        #expect(try redis.command(["EXISTS", .text("\(prefix)damaged:a")]).integer == 0)
    }

    @Test func damagedBytesAreMovedAside() throws {
        let store = try store()
        _ = try deliver(batch(["a", "b"], start: 0), store)
        for damage in [
            "", "x", "nonsense, and much longer than the head of a window's blob would have been.....",
        ] {
            try redis.command(["SET", .text(store.key(of: "a")), .text(damage)])
            let stage = WindowStage(store: store, writer: 9 << 40)
            let windowed = try stage.run(batch(["a"], start: 2))
            #expect(windowed.marks == [.windowDamaged])
            #expect(try store.write(windowed.writes))
            #expect(try redis.command(["GET", .text("\(prefix)damaged:a")]).text == damage)
        }
    }

    @Test func aPartitionsKeyOfAnotherTypeIsALossAndNoStandstill() throws {
        let store = try store()
        _ = try deliver(batch(["a"], start: 0), store)
        let keys =
            try redis.command(["KEYS", .text("\(prefix)partitions:*")]).array?.compactMap(\.text) ?? []
        let key = try #require(keys.first)
        try redis.command(["DEL", .text(key)])
        try redis.command(["RPUSH", .text(key), "x"])
        #expect(try deliver(batch(["a"], start: 1), store, writer: 2 << 40).marks == [.windowsLost])
        #expect(try deliver(batch(["a"], start: 2), store, writer: 2 << 40).notices.isEmpty)
    }

    @Test func twoServicesOnOnePrefixKeepApart() throws {
        let (first, second) = (try store("one/topic"), try store("two/topic"))
        _ = try deliver(batch(["a", "a"], start: 0), first)
        let other = try deliver(batch(["a"], start: 0), second)
        #expect(other.marks == [[]])
        #expect(count(other, row: 0) == 0)
        #expect(count(try deliver(batch(["a"], start: 2), first), row: 0) == 2)
    }

    @Test func anEmptiedRedisIsNoticedAtTheNextBatch() throws {
        let store = try store()
        _ = try deliver(batch(["a", "b"], start: 0), store)
        for key in try redis.command(["KEYS", .text("\(prefix)*")]).array?.compactMap(\.text) ?? [] {
            try redis.command(["DEL", .text(key)])
        }
        let windowed = try deliver(batch(["a"], start: 2), store)
        #expect(windowed.notices == [.lost(partition: 0, watermark: nil, committed: 2)])
        #expect(windowed.marks == [.windowsLost])
    }

    /// Format 1 had one name for all services that share a prefix, and neither records nor checksums.
    @Test func windowsOfFormat1AreTakenOver() throws {
        let store = try store()
        var window = UserWindow()
        window.fold(WindowEvent(timestampMilliseconds: 1_700_000_000_000, amount: 3))
        var base: [UInt8] = []
        window.encode(into: &base)
        var blob: [UInt8] = [1]
        blob.appendWord(UInt64(7))
        blob.appendWord(UInt64(7))
        blob.appendWord(Int32(0))
        blob.appendWord(Int64(1))
        blob.appendWord(Int64(2))
        blob.appendWord(UInt32(1))
        blob.appendWord(UInt32(base.count))
        blob += base
        WindowEvent(timestampMilliseconds: 1_700_000_001_000, amount: 4).encode(into: &blob)
        for user in ["a", "b"] { try redis.command(["SET", .text("\(prefix)window:\(user)"), .bytes(blob)]) }

        let first = try deliver(batch(["a", "new"], start: 2), store)
        #expect(first.marks == [[], []])
        #expect(first.notices == [.adopted(users: 1)])
        #expect(count(first, row: 0) == 2)
        // Those that come later are found too.
        let second = try deliver(batch(["b", "a"], start: 4), store)
        #expect(second.marks == [[], []])
        #expect(count(second, row: 0) == 2)
        #expect(count(second, row: 1) == 3)
    }

    @Test func saysHowItIs() throws {
        let condition = try store().condition()
        #expect(condition.identity != 0)
        #expect(try store().condition().identity == condition.identity)
    }
}
