import Foundation
import ObjectStore
import Signing
import Synchronization
import Testing
import Torture
import Transactions

@testable import Features
@testable import Outcomes

@Suite struct TableTests {
    private func bytes(_ count: Int, seed: UInt64 = 1) -> ([UInt8], [UInt64: ReferenceEntry]) {
        var random = TestRandom(seed: seed)
        var things: [UInt64: ReferenceEntry] = [:]
        for _ in 0..<count {
            let number = Double(random.below(1_000))
            things[random.next() | 1] = ReferenceEntry(
                frauds: (number, number + 1, number + 2), counts: (number * 2, number * 3, number * 4),
                amountMean: number / 7, amountDeviation: 0.5, fraudAmount: 2,
                fraudHours: random.below(2) == 0 ? nil : Int64(number))
        }
        return (
            ReferenceTable.encode(
                things.map { (key: $0.key, entry: $0.value) }, step: 500_000, prior: 0.25, lagSteps: 48,
                fraudCount: 9), things
        )
    }

    private func table(_ bytes: [UInt8]) throws -> ReferenceTable {
        let memory = NSMutableData(bytes: bytes, length: bytes.count)
        memory.append(Data(count: ReferenceTable.checksumSize))
        return try ReferenceTable(
            UnsafeRawBufferPointer(start: memory.bytes, count: memory.length), owner: memory)
    }

    @Test(arguments: [0, 1, 3, 4, 5, 1_000, 20_000]) func everyThingIsFoundAndNoOther(count: Int) throws {
        let (bytes, things) = bytes(count)
        let table = try table(bytes)
        #expect(table.count == things.count)
        #expect(table.step == 500_000 && table.prior == 0.25 && table.lagSteps == 48 && table.fraudCount == 9)
        for (key, entry) in things { #expect(table.entry(key) == entry) }
        var random = TestRandom(seed: 99)
        for _ in 0..<1_000 { #expect(table.entry(random.next() & ~1) == .unknown) }
    }

    /// Sizes that the issue promises: a million merchants in 48 MB.
    @Test func aMillionMerchantsAreSmallEnough() throws {
        let (bytes, _) = bytes(100_000)
        #expect(bytes.count * 10 <= 48_000_000)
    }

    @Test func tortureReferenceTables() throws {
        let (good, _) = bytes(50)
        try Torture("reference tables").run(rounds: 3_000) { random in
            // Either an error or a table that can be asked.
            guard let table = try? table(Mutation.apply(to: good, &random)) else { return .refused }
            _ = table.entry(random.next())
            return .accepted
        }
    }

    @Test func anotherFormatOrLengthIsRefused() throws {
        let (good, _) = bytes(50)
        #expect(throws: ReferenceTableError.self) { _ = try table(Array(good.dropLast())) }
        #expect(throws: ReferenceTableError.unsupportedFormat(3)) {
            var bytes = good
            bytes[8] = 3
            _ = try table(bytes)
        }
    }

    /// Tables that an earlier version made: what they do not say is missing.
    @Test func tablesOfFormat1AreRead() throws {
        let (second, things) = bytes(500)
        let directory = second.count - 500 * 44
        var first = Array(second[..<directory])
        first[8] = 1
        for start in stride(from: directory, to: second.count, by: 44) {
            first += second[start..<start + 40]
        }
        let table = try table(first)
        for (key, entry) in things {
            var expected = entry
            expected.fraudHours = -1
            #expect(table.entry(key) == expected)
        }
        var features = [Float](repeating: 0, count: UserWindow.featureCount)
        let merchant = try #require(things.keys.first)
        let keys = ReferenceKeys(keys: (merchant, 0, 0, 0, 0))
        features.withUnsafeMutableBufferPointer { table.entries(keys).writeFeatures(into: $0) }
        #expect(features[try #require(FeatureSchema.index(of: "merchant_fraud_days"))].isNaN)
    }

    // MARK: In the store

    @Test func aWrongChecksumIsRefusedAndThePresentTableGoesOn() throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let store = ReferenceStore(objects: objects, cacheFolder: folder.path + "/cache")
        let first = try store.publish(bytes(20).0)
        let current = CurrentReferences(store: store, logger: .init(label: "test"))
        current.refresh()
        #expect(current.current?.version == first.version)

        let second = try store.publish(bytes(30, seed: 2).0)
        #expect(second.version == first.version + 1)
        var damaged = try #require(try objects.get("references/v\(second.version).table")).bytes
        damaged[100] ^= 1
        try objects.put("references/v\(second.version).table", damaged, if: .always)
        current.refresh()
        #expect(current.current?.version == first.version)
        #expect(current.trouble?.contains("checksum") == true)
        #expect(throws: ReferenceError.self) { _ = try store.load(second.version) }

        try store.use(first.version)
        current.refresh()
        #expect(current.trouble == nil)
        #expect(throws: ReferenceError.notFound(version: 77)) { try store.use(77) }
    }

    /// A table that cannot serve is not made to: the present one would go on, and somebody think otherwise.
    @Test func aDamagedTableIsNotMadeToServe() throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let cache = folder.path + "/cache"
        let store = ReferenceStore(objects: objects, cacheFolder: cache)
        for seed in 1...2 { _ = try store.publish(bytes(20, seed: UInt64(seed)).0) }
        _ = try store.load(1)  // a sound copy in the cache is no reason
        try store.use(1)
        var damaged = try #require(try objects.get("references/v2.table")).bytes
        damaged[100] ^= 1
        try objects.put("references/v2.table", damaged, if: .always)
        let error = #expect(throws: ReferenceError.self) { try store.use(2) }
        #expect(error.map { "\($0)".contains("checksum") } == true)
        #expect(try store.latest() == 1)
    }

    /// Numbers beyond every version: whoever adds one to them would trap.
    @Test(arguments: ["9223372036854775807", "1000000001", "0", "-1", #"{"version":9223372036854775807}"#])
    func aVersionThatCannotBeIsDamage(latest: String) throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let store = ReferenceStore(objects: objects)
        let first = try store.publish(bytes(20).0)
        let whole = try #require(try objects.get("references/v1.table")).bytes
        try objects.put("references/v9223372036854775807.table", whole, if: .always)
        #expect(throws: ReferenceError.notFound(version: .max)) { try store.use(.max) }
        #expect(try store.versions() == [1])
        try objects.put("references/latest", Array(latest.utf8), if: .always)
        let current = CurrentReferences(store: store, logger: .init(label: "test"))
        current.refresh()
        #expect(current.trouble?.contains("references use sets it") == true)
        let error = #expect(throws: ReferenceError.self) { try store.publish(bytes(30, seed: 2).0) }
        #expect(error.map { "\($0)".contains("references/latest is damaged") } == true)
        try store.use(first.version)
        #expect(try store.publish(bytes(30, seed: 2).0).version == 2)
    }

    @Test func afterTheLastPossibleVersionNoneIsWritten() throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let store = ReferenceStore(objects: objects)
        _ = try store.publish(bytes(20).0)
        let whole = try #require(try objects.get("references/v1.table")).bytes
        try objects.put("references/v1000000000.table", whole, if: .always)
        try store.use(1_000_000_000)
        let error = #expect(throws: ReferenceError.self) { try store.publish(bytes(30, seed: 2).0) }
        #expect(error.map { "\($0)".contains("references use") } == true)
        #expect(try store.versions() == [1, 1_000_000_000])
    }

    @Test func aTableThatNobodySignedIsRefusedAndThePresentOneGoesOn() throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let cache = folder.path + "/cache"
        let sealing = Sealing(keys: SigningKeys(newest: "key"), seen: Memory())
        let store = ReferenceStore(objects: objects, cacheFolder: cache, sealing: sealing)
        let first = try store.publish(bytes(20).0)
        let current = CurrentReferences(store: store, logger: .init(label: "test"))
        current.refresh()
        #expect(current.current?.version == first.version && current.trouble == nil)

        // A whole table, with a checksum that is right, by somebody without the key.
        let stranger = try ReferenceStore(objects: folder.store("other")).publish(bytes(30, seed: 2).0)
        let foreign = try #require(try folder.store("other").get("references/v\(stranger.version).table"))
        let key = "references/v\(first.version).table"
        let sound = try #require(try objects.get(key)).bytes
        try objects.put(key, foreign.bytes, if: .always)
        #expect(throws: ReferenceError.self) {
            try ReferenceStore(objects: objects, sealing: sealing).load(first.version)
        }
        #expect(try ReferenceStore(objects: objects).load(first.version).sha256 == stranger.sha256)
        try objects.put(key, sound, if: .always)

        let second = try store.publish(bytes(30, seed: 2).0)
        let newest = try #require(try objects.get("references/latest")).bytes
        for wrong in ["\(second.version)\n", #"{"version":\#(first.version)}"#] {
            try objects.put("references/latest", Array(wrong.utf8), if: .always)
            current.refresh()
            #expect(current.current?.version == first.version && current.trouble != nil)
        }
        try objects.put("references/latest", newest, if: .always)
        current.refresh()
        #expect(current.current?.version == second.version && current.trouble == nil)
    }

    @Test func anOlderTableIsMadeToServeByThoseWithTheKeyOnly() throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let sealing = Sealing(keys: SigningKeys(newest: "key"), seen: Memory())
        let store = ReferenceStore(objects: objects, sealing: sealing)
        for seed in 1...2 { _ = try store.publish(bytes(20, seed: UInt64(seed)).0) }
        try store.use(1)
        let older = try #require(try objects.get("references/latest")).bytes
        try store.use(2)
        #expect(try store.latest() == 2)
        try objects.put("references/latest", older, if: .always)
        let error = #expect(throws: ReferenceError.self) { try store.latest() }
        #expect(error.map { "\($0)".contains("older") } == true)
        try store.use(1)
        #expect(try store.latest() == 1)
        try objects.delete("references/latest")
        #expect(throws: ReferenceError.self) { try store.latest() }
    }

    @Test func tablesAreSignedByTheKeyThatFollows() throws {
        let folder = try TemporaryFolder()
        let objects = folder.store("tables")
        let plain = ReferenceStore(objects: objects)
        for seed in 1...3 { _ = try plain.publish(bytes(20, seed: UInt64(seed)).0) }
        func store(_ newest: String, _ older: String...) -> ReferenceStore {
            ReferenceStore(
                objects: objects,
                sealing: Sealing(keys: SigningKeys(newest: newest, older: older), seen: nil))
        }
        #expect(throws: ReferenceError.self) { try store("old").load(2) }
        let refused = try store("old").resign(signsUnsigned: false, isRestored: false)
        #expect(refused.signed == 0 && refused.refused.count == 4)
        #expect(try store("old").resign(signsUnsigned: true, isRestored: false).signed == 4)
        #expect(try store("old").load(2).version == 2 && store("old").latest() == 3)
        #expect(try store("new", "old").resign(signsUnsigned: false, isRestored: false) == (4, []))
        #expect(try store("new").load(1).version == 1 && store("new").latest() == 3)
        #expect(throws: ReferenceError.self) { try store("old").load(1) }
        #expect(try store("new").resign(signsUnsigned: false, isRestored: false) == (0, []))
    }

    @Test func aDamagedCacheIsMendedFromTheStore() throws {
        let folder = try TemporaryFolder()
        let cache = folder.path + "/cache"
        let store = ReferenceStore(objects: folder.store("tables"), cacheFolder: cache)
        let (bytes, things) = bytes(40)
        let published = try store.publish(bytes)
        #expect(try store.load(published.version).sha256 == published.sha256)
        let file = cache + "/v\(published.version).table"
        var cached = try #require(FileManager.default.contents(atPath: file))
        cached[200] ^= 4
        try cached.write(to: URL(filePath: file))
        let mended = try store.load(published.version)
        for (key, entry) in things { #expect(mended.table.entry(key) == entry) }
    }

    @Test func theSameTableIsNotWrittenTwice() throws {
        let folder = try TemporaryFolder()
        let store = ReferenceStore(objects: folder.store("tables"))
        let (bytes, _) = bytes(10)
        #expect(try store.publish(bytes).version == 1)
        #expect(try store.publish(bytes).version == 1)
        #expect(try store.publish(self.bytes(10, seed: 3).0).version == 2)
        #expect(try store.versions() == [1, 2])
        #expect(try store.latest() == 2)
    }
}

/// What one machine has seen.
private final class Memory: SeenGenerations {
    private let seen = Mutex<[String: Int64]>([:])

    func newestGeneration(of name: String) -> Int64? { seen.withLock { $0[name] } }
    func note(_ generation: Int64, of name: String) {
        seen.withLock { $0[name] = max(generation, $0[name] ?? generation) }
    }
}
