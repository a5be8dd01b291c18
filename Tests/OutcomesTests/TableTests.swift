import Features
import Foundation
import ObjectStore
import Testing
import Torture
import Transactions

@testable import Outcomes

@Suite struct TableTests {
    private func bytes(_ count: Int, seed: UInt64 = 1) -> ([UInt8], [UInt64: ReferenceEntry]) {
        var random = TestRandom(seed: seed)
        var things: [UInt64: ReferenceEntry] = [:]
        for _ in 0..<count {
            let number = Double(random.below(1_000))
            things[random.next() | 1] = ReferenceEntry(
                frauds: (number, number + 1, number + 2), counts: (number * 2, number * 3, number * 4),
                amountMean: number / 7, amountDeviation: 0.5, fraudAmount: 2)
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
        #expect(throws: ReferenceTableError.unsupportedFormat(2)) {
            var bytes = good
            bytes[8] = 2
            _ = try table(bytes)
        }
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
