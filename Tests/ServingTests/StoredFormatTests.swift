import Features
import Foundation
import Testing
import Transactions

@testable import Serving

/// What was once written to Redis or to a snapshot must be read for ever, by its bytes.
///
/// `Fixtures/` is written anew by `ML_SERVICE_REGENERATE=1 swift test --filter StoredFormatTests`; for formats that are
/// there that must never be needed again.
@Suite struct StoredFormatTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "Fixtures")
    private static let regenerates = ProcessInfo.processInfo.environment["ML_SERVICE_REGENERATE"] == "1"

    private func fixture(_ name: String, _ made: @autoclosure () throws -> [UInt8]) throws -> [UInt8] {
        let file = Self.folder.appending(path: name)
        if Self.regenerates { try Data(try made()).write(to: file) }
        return [UInt8](try Data(contentsOf: file))
    }

    private let owner = TextHash.hash("user-1")
    private let token = WindowToken(writer: 0x0102_0304_0506_0708, sequence: 9)
    private let missing = MissingHistory(.windowsLost, before: 1_700_000_000_000)
    private let events = (0..<5).map { (index: Int) -> WindowEvent in
        WindowEvent(
            timestampMilliseconds: 1_700_000_000_000 + Int64(index) * 3_000_000, amount: Double(index) + 0.25,
            merchant: UInt64(index % 2 + 1), country: 7, device: 0, latitude: 52.25, longitude: 4.75)
    }

    private func window(_ count: Int) -> UserWindow {
        var window = UserWindow()
        for event in events.prefix(count) { window.fold(event) }
        return window
    }

    /// Three events in the base window, two pending.
    private func blob(format: UInt8) -> [UInt8] {
        var base: [UInt8] = []
        window(3).encode(into: &base)
        var bytes: [UInt8] = []
        if format < 3 {
            bytes.append(format)
            token.withBytes { bytes.append(contentsOf: $0) }
            if format == 2 {
                bytes.appendWord(UInt32(0))
                bytes.appendWord(UInt32(5))
            }
            bytes.appendWord(Int32(3))
            bytes.appendWord(Int64(40))
            bytes.appendWord(Int64(42))
            if format == 2 { missing.append(to: &bytes) }
            bytes.appendWord(UInt32(2))
            bytes.appendWord(UInt32(base.count))
        } else {
            WindowBlob.appendHeader(
                to: &bytes, token: token, epoch: 5, partition: 3, baseOffset: 40, endOffset: 42,
                missing: missing, pendingOffsets: [40, 41], baseSize: base.count)
        }
        bytes += base
        for event in events[3...] { event.encode(into: &bytes) }
        if format > 1 { WindowChecksum.seal(&bytes, from: 0, owner: owner) }
        return bytes
    }

    @Test(arguments: [1, 2, 3] as [UInt8])
    func blobsOfEveryFormatAreRead(format: UInt8) throws {
        let bytes = try fixture("blob-v\(format).bin", blob(format: format))
        try bytes.withUnsafeBytes { bytes in
            let blob = try WindowBlob(bytes, owner: owner)
            #expect(blob.format == format)
            #expect(blob.token == token)
            #expect((blob.partition, blob.baseOffset, blob.endOffset) == (3, 40, 42))
            #expect(blob.epoch == (format == 1 ? 0 : 5))
            #expect(blob.missing == (format == 1 ? .none : missing))
            #expect(blob.pendingCount == 2)
            #expect(try blob.window(foldingBelow: .min) == window(3))
            #expect(try blob.window(foldingBelow: 40) == window(3))
            // Before offsets were kept they counted all or none.
            #expect(try blob.window(foldingBelow: 41) == window(format < 3 ? 3 : 4))
            #expect(try blob.window(foldingBelow: 42) == window(5))
            #expect(try blob.window(foldingBelow: .max) == window(5))
            // On another base they count as they did.
            let again = blob.replacingBase(with: window(2), missing: .none, owner: owner)
            try again.withUnsafeBytes { bytes in
                let again = try WindowBlob(bytes, owner: owner)
                #expect(again.format == WindowBlob.format)
                #expect(try again.window(foldingBelow: .min) == window(2))
                for (limit, count) in [(41, format < 3 ? 2 : 4), (42, 5)] {
                    #expect(
                        try again.window(foldingBelow: Int64(limit)).lastEventMilliseconds
                            == window(count).lastEventMilliseconds)
                }
            }
        }
        #expect(blob(format: format) == bytes)
    }

    private var record: PartitionRecord {
        var clock = EventClock()
        _ = clock.isFuture(
            eventMilliseconds: 1_700_000_000_000, recordMilliseconds: nil, skewMilliseconds: 1_000)
        var later = clock
        _ = later.isFuture(
            eventMilliseconds: 1_800_000_000_000, recordMilliseconds: nil, skewMilliseconds: 1_000)
        return PartitionRecord(
            epoch: 5, storeIdentity: 77, baseOffset: 40, endOffset: 42, committedOffset: 41, baseClock: clock,
            endClock: later, missing: missing)
    }

    @Test func partitionsRecordsOfFormat1AreRead() throws {
        let bytes = try fixture("partition-v1.bin", record.encoded(token, partition: 3))
        #expect(bytes.count == PartitionRecord.sizeBytes)
        #expect(try bytes.withUnsafeBytes { try PartitionRecord($0, partition: 3) } == record)
        #expect(record.encoded(token, partition: 3) == bytes)
        #expect(throws: WindowStoreError.self, "another partition's") {
            try bytes.withUnsafeBytes { _ = try PartitionRecord($0, partition: 4) }
        }
    }

    private let checkpoint = Array(#"{"input":"in.jsonl","offset":42}"#.utf8)

    /// Format 1: the checkpoint and the users, each its length and its bytes.
    private func snapshotOfFormat1() -> [UInt8] {
        var bytes = Array("MLWINDOW".utf8)
        for part in [checkpoint, Array("user-1".utf8), blob(format: 1)] {
            bytes.appendWord(UInt32(part.count))
            bytes += part
        }
        return bytes
    }

    private func snapshotOfFormat2() throws -> [UInt8] {
        let store = MemoryWindowStore()
        store.state.withLock { state in
            state.partitions[3] = record.encoded(token, partition: 3)
            state.damaged[Array("user-2".utf8)] = [1, 2, 3]
            blob(format: 2).withUnsafeBytes { blob in
                Array("user-1".utf8).withUnsafeBytes { state.table.set(blob, of: $0, minute: 0) }
            }
        }
        let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try store.snapshot(to: path, checkpoint: checkpoint)
        return [UInt8](try Data(contentsOf: URL(filePath: path)))
    }

    @Test(arguments: [1, 2])
    func snapshotsOfEveryFormatAreRead(format: Int) throws {
        let bytes = try fixture(
            "snapshot-v\(format).bin", format == 1 ? snapshotOfFormat1() : try snapshotOfFormat2())
        let store = MemoryWindowStore()
        let path = Self.folder.appending(path: "snapshot-v\(format).bin").path
        let snapshot = try #require(try store.restore(from: path))
        #expect(snapshot.problem == nil)
        #expect(snapshot.checkpoint == checkpoint)
        #expect(try store.bytes(of: "user-1") == blob(format: UInt8(format)))
        #expect(store.count == 1)
        #expect(try store.partitions() == (format == 1 ? [] : [3]))
        if format == 2 {
            #expect(store.state.withLock { $0.damaged } == [Array("user-2".utf8): [1, 2, 3]])
            #expect(try snapshotOfFormat2() == bytes)
        }
    }
}
