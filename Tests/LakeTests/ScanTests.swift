import ObjectStore
import Testing

@testable import Lake

@Suite struct ScanTests {
    private func users(_ batch: RecordBatch) throws -> [String] {
        let texts = try batch.texts("user_id")
        return (0..<batch.count).compactMap { texts[$0] }
    }

    @Test func onlyRowGroupsThatCanHoldTheUserAreRead() throws {
        // 20 row groups of 50 users with 20 rows each; only every second user number exists.
        let rows = SampleRows(users: 1000, rowsPerUser: 20, seed: 2, step: 2)
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        settings.gapBytes = 0
        let (reader, _) = lake(of: try rows.file(rowGroupRows: 1000), settings: settings)

        var found: [String] = []
        let present = SampleRows.user(2 * 123)
        let statistics = try reader.scan(days: oneDay, columns: ["amount", "user_id"], userID: present) {
            found += try users($0)
        }
        #expect(found == Array(repeating: present, count: 20))
        #expect(statistics.rowGroupsSkippedByStatistics == 19)
        #expect(statistics.rowGroupsRead == 1)
        #expect(statistics.rows == 20)
        #expect(statistics.rowsRead == 1000)

        let all = try reader.scan(days: oneDay, columns: ["amount", "user_id"]) { _ in }
        #expect(statistics.bytesFetched * 3 < all.bytesFetched)

        // Within a row group's range, but not there: the filter says so.
        let absent = try reader.scan(
            days: oneDay, columns: ["amount"], userID: SampleRows.user(2 * 123 + 1)
        ) { _ in Issue.record("nobody's rows") }
        #expect(absent.rowGroupsSkippedByStatistics == 19)
        #expect(absent.rowGroupsSkippedByFilter == 1)
        #expect(absent.rowGroupsRead == 0)

        let outside = try reader.scan(days: oneDay, columns: ["amount"], userID: "zoe") { _ in }
        #expect(outside.rowGroupsSkippedByStatistics == 20)
    }

    @Test func ofSomeUsersOnlyTheirRowGroupsAndRowsAreRead() throws {
        let rows = SampleRows(users: 1000, rowsPerUser: 20, seed: 2, step: 2)
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        settings.gapBytes = 0
        let (reader, _) = lake(of: try rows.file(rowGroupRows: 1000), settings: settings)
        let wanted = Set([6, 246, 248, 247, 1900].map(SampleRows.user))  // nobody is 247

        var found: [String: Int] = [:]
        let files = try reader.files(in: oneDay)
        let statistics = try reader.scan(files: files, columns: ["amount", "user_id"], userIDs: wanted) {
            for user in try users($0) { found[user, default: 0] += 1 }
        }
        #expect(
            found == Dictionary(uniqueKeysWithValues: [6, 246, 248, 1900].map { (SampleRows.user($0), 20) }))
        #expect(statistics.rowGroupsRead == 3)
        #expect(try reader.scan(files: files, columns: ["amount"], userIDs: []) { _ in }.rows == 0)
        // So many that filters would not help.
        let many = Set((0..<500).map { SampleRows.user(2 * $0) })
        #expect(try reader.scan(files: files, columns: ["amount"], userIDs: many) { _ in }.rows == 10_000)
    }

    @Test func whatWasFetchedForOneUserIsNotFetchedAgainForTheNext() throws {
        let rows = SampleRows(users: 1000, rowsPerUser: 20, seed: 2, step: 2)
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        settings.gapBytes = 0
        let (reader, store) = lake(of: try rows.file(rowGroupRows: 1000), settings: settings)
        func scan(_ user: Int, _ reader: LakeReader) throws -> ScanStatistics {
            try reader.scan(days: oneDay, columns: ["amount"], userID: SampleRows.user(2 * user)) { _ in }
        }
        let first = try scan(123, reader)
        #expect(first.rows == 20)
        let again = try scan(124, reader)
        #expect(again.rows == 20)
        #expect(again.requests == 0)
        #expect(again.bytesFetched == 0)
        // Another file under the same name is another file.
        let file = try #require(try reader.files(in: oneDay).first)
        let other = SampleRows(users: 1000, rowsPerUser: 10, seed: 2, step: 2)
        _ = try store.put(file.key, try other.file(rowGroupRows: 1000), if: .always)
        #expect(try scan(123, reader).rows == 10)
        // Without room nothing is kept.
        settings.recentBytes = 0
        let forgetful = LakeReader(store: store, settings: settings)
        #expect(try scan(123, forgetful).requests == scan(123, forgetful).requests)
        #expect(try scan(123, forgetful).requests > 0)
    }

    @Test func bloomFiltersRuleOutNearlyAllUsersThatAreNotThere() throws {
        let rows = SampleRows(users: 2000, rowsPerUser: 1, seed: 3, step: 2)
        let (reader, _) = lake(of: try rows.file())
        var read = 0
        for user in 0..<500 {
            read += try reader.scan(days: oneDay, columns: ["amount"], userID: SampleRows.user(user * 2 + 1))
            { _ in }
            .rowGroupsRead
            let present = try reader.scan(
                days: oneDay, columns: ["amount"], userID: SampleRows.user(user * 2)
            ) { _ in }
            try #require(present.rows == 1)
        }
        #expect(read < 25, "5 of 500 are to be expected at a false positive rate of 1 %")
    }

    @Test(arguments: ["integer_users.parquet", "unsigned_users.parquet"])
    func integerUsersAreFoundByTheirDecimalForm(file: String) throws {
        let (reader, _) = lake(of: try fixture(file))
        let top = file.hasPrefix("unsigned") ? "4294967288" : "-8"
        for (user, amounts, groups) in [
            ("7", [0.0, 1], 1), ("20", [3, 4], 2), ("51", [7, 8], 2), (top, [9, 10], 2), ("07", [], 0),
            ("+7", [], 0),
            ("8", [], 1), ("1000", [], 0), ("x", [], 0), ("", [], 0), ("99999999999999999999", [], 0),
        ] as [(String, [Double], Int)] {
            var found: [Double] = []
            let statistics = try reader.scan(days: oneDay, columns: ["amount", "user_id"], userID: user) {
                batch throws in
                #expect(try users(batch).allSatisfy { $0 == user })
                found += try batch.reals("amount")
            }
            #expect(found == amounts, "user \(user)")
            #expect(statistics.rowGroupsRead <= groups, "user \(user)")
        }
    }

    @Test func daysAndFilesComeInOrder() throws {
        let store = MemoryStore()
        let file = { (user: String) in
            let writer = try ParquetWriter(columns: [ParquetColumn("user_id", .text)])
            try writer.append([.text(TextColumn([user]))])
            return try writer.finish()
        }
        for key in [
            "processed/2018/06/02/b.parquet", "processed/2018/06/02/a.parquet",
            "processed/2018/05/31/z.parquet",
            "processed/2019/01/01/a.parquet", "processed/2018/06/01/a.parquet",
        ] { store[key] = try file(key) }
        for stray in [
            "processed/2018/06/02/_SUCCESS", "processed/2018/06/02/.a.parquet",
            "processed/2018/06/02/_a.parquet",
            "processed/2018/06/31/a.parquet", "processed/2018/06/02/x/a.parquet", "processed/readme.parquet",
            "raw/2018/06/02/a.parquet", "processed/2018/06/02.parquet", "processed2/2018/06/02/a.parquet",
        ] { store[stray] = [1, 2, 3] }
        let reader = LakeReader(store: store)
        #expect(
            try reader.days().map(\.description) == ["2018-05-31", "2018-06-01", "2018-06-02", "2019-01-01"])

        var seen: [String] = []
        let statistics = try reader.scan(days: june1...june1.adding(days: 1), columns: ["user_id"]) {
            seen += try users($0)
        }
        #expect(seen == ["01/a", "02/a", "02/b"].map { "processed/2018/06/\($0).parquet" })
        #expect(statistics.files == 3)
        #expect(statistics.requests == 3, "a small file is one request")
        #expect(try reader.files(in: june1.adding(days: 2)...june1.adding(days: 200)).isEmpty)
    }

    @Test func lakesOfManyFilesAreListedPageByPage() throws {
        let store = MemoryStore()
        for day in 0..<25 {
            for part in 0..<100 { store["l/\(june1.adding(days: day).path)/\(1000 + part).parquet"] = [] }
        }
        let reader = LakeReader(store: store, prefix: "l")
        #expect(try reader.days().count == 25)
        #expect(try reader.files(in: june1.adding(days: 3)...june1.adding(days: 20)).count == 1800)
    }

    @Test func missingColumns() throws {
        let (reader, _) = lake(of: try SampleRows(users: 3, rowsPerUser: 2, seed: 4).file())
        let name = "memory:/processed/2018/06/01/part-0.parquet"
        #expect(throws: LakeError.missingColumn(file: name, column: "price")) {
            try reader.scan(days: oneDay, columns: ["user_id", "price"]) { _ in }
        }
        try reader.scan(days: oneDay, columns: ["user_id"], optionalColumns: ["price", "note", "amount"]) {
            batch throws in
            #expect(batch.isMissing("price"))
            #expect(!batch.isMissing("amount"))
            #expect(try batch.reals("price").allSatisfy(\.isNaN))
            #expect(try batch.reals("price").count == 6)
            #expect(try batch.integers("price")[0] == nil)
            #expect(try batch.booleans("price")[0] == nil)
            #expect(try batch.texts("note")[5] == nil)
            #expect(try batch.reals("amount").allSatisfy { !$0.isNaN })
        }
        // Nothing that the file has is wanted: its rows still count.
        var rows = 0
        try reader.scan(days: oneDay, columns: [], optionalColumns: ["price"]) { rows += $0.count }
        #expect(rows == 6)
    }

    @Test func aStoreThatFailsKeepsItsError() throws {
        let (reader, store) = lake(of: try SampleRows(users: 3, rowsPerUser: 2, seed: 4).file())
        let failure = ObjectStoreError.unavailable(location: "memory:", reason: "gone fishing")
        store.fail(failure)
        #expect(throws: failure) { try reader.scan(days: oneDay, columns: ["user_id"]) { _ in } }
        store.fail(nil)
        #expect(try reader.scan(days: oneDay, columns: ["user_id"]) { _ in }.rows == 6)
    }

    @Test func aStoreThatFailsWithinAFileKeepsItsError() throws {
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        let rows = SampleRows(users: 2000, rowsPerUser: 10, seed: 5)
        let (reader, store) = lake(of: try rows.file(rowGroupRows: 5000), settings: settings)
        let failure = ObjectStoreError.unavailable(location: "memory:", reason: "gone fishing")
        var batches = 0
        #expect(throws: failure) {
            try reader.scan(days: oneDay, columns: ["user_id", "amount"], batchRows: 5000) { _ in
                batches += 1
                if batches == 2 { store.fail(failure) }
            }
        }
        #expect((2..<4).contains(batches))
    }

    @Test func aFileReplacedWhileItIsReadIsNamedSo() throws {
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        let rows = SampleRows(users: 2000, rowsPerUser: 10, seed: 5)
        let (reader, store) = lake(of: try rows.file(rowGroupRows: 1000), settings: settings)
        let key = "processed/2018/06/01/part-0.parquet"
        let other = try SampleRows(users: 2000, rowsPerUser: 10, seed: 6).file(rowGroupRows: 1000)
        #expect(throws: LakeError.changed(file: "memory:/" + key)) {
            try reader.scan(days: oneDay, columns: ["user_id", "amount"]) { _ in
                store[key] = Array(other.dropFirst(7))
            }
        }
        #expect(LakeError.changed(file: key).isRetryable)
    }

    @Test func cancellationAndErrorsOfTheCallerEndTheScan() throws {
        struct Enough: Error {}
        let (reader, _) = lake(of: try SampleRows(users: 100, rowsPerUser: 10, seed: 4).file())
        var batches = 0
        #expect(throws: Enough.self) {
            try reader.scan(days: oneDay, columns: ["user_id"], batchRows: 10) { _ in
                batches += 1
                if batches == 3 { throw Enough() }
            }
        }
        #expect(batches == 3)
        #expect(throws: LakeError.cancelled) {
            let isCancelled = { batches == 5 }
            try reader.scan(days: oneDay, columns: ["user_id"], batchRows: 10, isCancelled: isCancelled) {
                _ in batches += 1
            }
        }
        #expect(batches == 5)
    }

    @Test func batchesOutliveTheScan() throws {
        let rows = SampleRows(users: 100, rowsPerUser: 10, seed: 7)
        var kept: [RecordBatch] = []
        do {
            let (reader, _) = lake(of: try rows.file())
            try reader.scan(days: oneDay, columns: ["amount"], batchRows: 128) { kept.append($0) }
        }
        #expect(try kept.flatMap { try $0.reals("amount") } == rows.amounts)
    }
}
