import Testing

@testable import Lake

@Suite struct RoundTripTests {
    private let rows = SampleRows(users: 300, rowsPerUser: 10, seed: 1)

    @Test(arguments: [7, 1000, 65_536])
    func whatIsWrittenIsReadBitForBit(rowGroupRows: Int) throws {
        let (reader, _) = lake(of: try rows.file(rowGroupRows: rowGroupRows))
        var read = SampleRows(users: 0, rowsPerUser: 0, seed: 0)
        let statistics = try reader.scan(
            days: oneDay, columns: SampleRows.columns.map(\.name), batchRows: 333
        ) { batch throws in
            #expect(batch.count <= 333)
            let transactions = try batch.texts("transaction_id")
            let users = try batch.texts("user_id")
            let merchants = try batch.texts("merchant_id")
            let points = try batch.integers("points")
            let frauds = try batch.booleans("is_fraud")
            for row in 0..<batch.count {
                read.transactions.append(try #require(transactions[row]))
                read.users.append(try #require(users[row]))
                read.merchants.append(merchants[row])
                read.points.append(points[row])
                read.frauds.append(frauds[row])
            }
            read.amounts += try batch.reals("amount")
            read.latitudes += try batch.reals("latitude")
            read.times += try batch.timestamps("timestamp")
        }
        #expect(read.transactions == rows.transactions)
        #expect(read.users == rows.users)
        #expect(read.amounts.map(\.bitPattern) == rows.amounts.map(\.bitPattern))
        #expect(read.times == rows.times)
        #expect(read.merchants == rows.merchants)
        #expect(zip(read.latitudes, rows.latitudes).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN })
        #expect(read.points == rows.points)
        #expect(read.frauds == rows.frauds)
        #expect(statistics.rows == rows.users.count)
        #expect(statistics.rowsRead == rows.users.count)
        #expect(statistics.rowGroupsRead == (rows.users.count + rowGroupRows - 1) / rowGroupRows)
    }

    @Test func sameRowsGiveTheSameBytesHoweverTheyAreCut() throws {
        let whole = try rows.file(rowGroupRows: 1000)
        let writer = try ParquetWriter(columns: SampleRows.columns, rowGroupRows: 1000)
        for user in 0..<300 {
            let cut = user * 10..<user * 10 + 10
            try writer.append([
                .text(TextColumn(rows.transactions[cut])), .text(TextColumn(rows.users[cut])),
                .real(Array(rows.amounts[cut])), .timestampMilliseconds(Array(rows.times[cut])),
                .text(TextColumn(rows.merchants[cut])), .real(Array(rows.latitudes[cut])),
                .integer(NullableColumn(rows.points[cut], nullAs: 5)),
                .boolean(NullableColumn(rows.frauds[cut], nullAs: true)),
            ])
        }
        #expect(try writer.finish() == whole)
    }

    @Test func specialNumbersKeepTheirBits() throws {
        let numbers = [
            0, -0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0.1,
        ]
        let writer = try ParquetWriter(columns: [ParquetColumn("x", .real)])
        try writer.append([.real(numbers)])
        let (reader, _) = lake(of: try writer.finish())
        try reader.scan(days: oneDay, columns: ["x"]) { batch throws in
            #expect(try batch.reals("x").map(\.bitPattern) == numbers.map(\.bitPattern))
        }
    }

    @Test func aFileWithoutRowsIsAFile() throws {
        let (reader, _) = lake(of: try ParquetWriter(columns: SampleRows.columns).finish())
        let statistics = try reader.scan(days: oneDay, columns: ["user_id"]) { _ in Issue.record("no rows") }
        #expect(statistics.files == 1)
        #expect(statistics.rows == 0)
    }

    @Test func textsOfAnyBytesComeBack() throws {
        let texts: [String?] = ["", "a\u{0}b", nil, String(repeating: "ä", count: 70_000), "x"]
        let writer = try ParquetWriter(
            columns: [ParquetColumn("t", .text, isNullable: true)], rowGroupRows: 2)
        try writer.append([.text(TextColumn(texts))])
        let (reader, _) = lake(of: try writer.finish())
        var read: [String?] = []
        try reader.scan(days: oneDay, columns: ["t"]) { batch throws in
            let column = try batch.texts("t")
            read += (0..<batch.count).map { column[$0] }
        }
        #expect(read == texts)
    }

    @Test func rowsThatDoNotFitAreRefused() throws {
        let columns = [ParquetColumn("u", .text), ParquetColumn("x", .real)]
        let writer = try ParquetWriter(columns: columns)
        let text = ColumnValues.text(TextColumn(["a"]))
        #expect(throws: LakeError.self) { try writer.append([text]) }
        #expect(throws: LakeError.self) { try writer.append([text, text]) }
        #expect(throws: LakeError.self) { try writer.append([text, .real([1, 2])]) }
        #expect(throws: LakeError.self) { try writer.append([.text(TextColumn([nil])), .real([1])]) }
        try writer.append([text, .real([1])])
        let (reader, _) = lake(of: try writer.finish())
        #expect(try reader.scan(days: oneDay, columns: ["u", "x"]) { _ in }.rows == 1)

        #expect(throws: LakeError.self) { try ParquetWriter(columns: columns + columns) }
        #expect(throws: LakeError.self) {
            try ParquetWriter(columns: [ParquetColumn("t", .timestampMilliseconds, isNullable: true)])
        }
        #expect(throws: LakeError.self) {
            try ParquetWriter(columns: [ParquetColumn("b", .boolean, isSearched: true)])
        }
    }
}
