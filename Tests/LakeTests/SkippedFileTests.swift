import ObjectStore
import Testing

@testable import Lake

/// A file that cannot be read ends a scan, or is left out whole and named.
@Suite struct SkippedFileTests {
    private static let columns = ["transaction_id", "user_id", "amount"]

    /// A lake of one day with sound files and some that are not.
    private func lake() throws -> MemoryStore {
        let store = MemoryStore()
        let sound = try SampleRows(users: 10, rowsPerUser: 20, seed: 1).file(rowGroupRows: 50)
        store["processed/2018/06/01/a.parquet"] = sound
        store["processed/2018/06/01/z.parquet"] = sound
        var damaged = sound
        // The pages of the third of four row groups: what is before them is sound.
        for place in sound.count / 2..<sound.count / 2 + 300 { damaged[place] ^= 0x5A }
        store["processed/2018/06/01/b-damaged.parquet"] = damaged
        store["processed/2018/06/01/c-cut.parquet"] = Array(sound.prefix(sound.count / 2))
        store["processed/2018/06/01/d-empty.parquet"] = []
        let bare = try ParquetWriter(columns: [ParquetColumn("transaction_id", .text)])
        try bare.append([.text(TextColumn(["t"]))])
        store["processed/2018/06/01/e-bare.parquet"] = try bare.finish()
        let other = try ParquetWriter(columns: [
            ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text),
            ParquetColumn("amount", .boolean),
        ])
        try other.append([
            .text(TextColumn(["t"])), .text(TextColumn(["u"])),
            .boolean(NullableColumn([true], nullAs: false)),
        ])
        store["processed/2018/06/01/f-other.parquet"] = try other.finish()
        return store
    }

    private func scan(
        _ store: MemoryStore, _ badFiles: BadFiles, users: Set<String>? = nil
    ) throws -> (statistics: ScanStatistics, ids: [String]) {
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        settings.footerBytes = 1_000
        let reader = LakeReader(store: store, settings: settings).onBadFile(badFiles)
        var ids: [String] = []
        let statistics = try reader.scan(
            files: try reader.files(in: oneDay), columns: Self.columns, userIDs: users
        ) { batch in
            let texts = try batch.texts("transaction_id")
            if batch.file.contains("f-other") {
                throw LakeError.wrongType(file: batch.file, column: "amount", reason: "holds no numbers")
            }
            ids += (0..<batch.count).compactMap { texts[$0] }
        }
        return (statistics, ids)
    }

    @Test func aBadFileIsLeftOutWholeAndNamed() throws {
        let store = try lake()
        let (statistics, ids) = try scan(store, .skip)
        #expect(ids.count == 400 && Set(ids).count == 200)
        #expect(statistics.rows == 400 && statistics.files == 2)
        #expect(statistics.skippedFiles == 5)
        for name in ["b-damaged", "c-cut", "d-empty", "e-bare", "f-other"] {
            #expect(statistics.skipReasons.contains { $0.contains(name) }, "\(name)")
        }
        // For some users only what concerns them is looked at.
        let some = try scan(store, .skip, users: [SampleRows.user(0)])
        #expect(some.ids.count >= 40)
        #expect(some.statistics.skipReasons.contains { $0.contains("c-cut") })
    }

    @Test func unlessToldSoTheFirstBadFileEndsTheScan() throws {
        let error = #expect(throws: LakeError.self) { try scan(try lake(), .fail) }
        #expect("\(String(describing: error))".contains("b-damaged"))
    }

    @Test func aStoreThatFailsIsNoBadFile() throws {
        let store = try lake()
        store.fail(.failed(location: "memory:", reason: "away"))
        #expect(throws: ObjectStoreError.self) { try scan(store, .skip) }
    }

    @Test func soManyAreNamedAndTheRestCounted() throws {
        let store = MemoryStore()
        for number in 0..<50 { store["processed/2018/06/01/\(number).parquet"] = [1, 2, 3] }
        let (statistics, ids) = try scan(store, .skip)
        #expect(ids.isEmpty && statistics.skippedFiles == 50)
        #expect(statistics.skipReasons.count == ScanStatistics.maximumReasons)
    }
}
