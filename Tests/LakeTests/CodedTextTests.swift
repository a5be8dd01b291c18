import Testing

@testable import Lake

/// Columns of texts that come again and again are read by number: the same texts as of any other column.
@Suite struct CodedTextTests {
    private static let columns = ["user_id", "merchant_id", "transaction_id", "amount"]

    private func texts(_ column: TextColumn) -> [String?] { (0..<column.count).map { column[$0] } }

    /// - Returns: For each column the texts of all rows; by number where the batch has them so.
    private func read(
        _ reader: LakeReader, coded: [String], users: Set<String>? = nil, batchRows: Int = 8_192
    ) throws -> (texts: [String: [String?]], codedColumns: Set<String>) {
        var found: [String: [String?]] = [:]
        var codedColumns: Set<String> = []
        try reader.scan(
            files: reader.files(in: oneDay), columns: Self.columns, optionalColumns: ["nowhere"],
            codedColumns: coded, userIDs: users, batchRows: batchRows
        ) { batch in
            #expect(try batch.codedTexts("nowhere") == nil)
            #expect(try batch.codedTexts("amount") == nil)
            for column in ["user_id", "merchant_id", "transaction_id"] {
                let plain = texts(try batch.texts(column))
                if let coded = try batch.codedTexts(column) {
                    codedColumns.insert(column)
                    let all = texts(coded.texts)
                    #expect(coded.codes.map { $0 < 0 ? nil : all[Int($0)] } == plain)
                }
                found[column, default: []] += plain
            }
        }
        return (found, codedColumns)
    }

    @Test func theyAreTheSameTexts() throws {
        let rows = SampleRows(users: 90, rowsPerUser: 20, seed: 8)
        let (reader, _) = lake(of: try rows.file(rowGroupRows: 500))
        let plain = try read(reader, coded: [])
        #expect(plain.codedColumns.isEmpty)
        #expect(plain.texts["merchant_id"] == rows.merchants)
        let coded = try read(reader, coded: ["user_id", "merchant_id", "amount", "nowhere"])
        #expect(coded.codedColumns == ["user_id", "merchant_id"])
        #expect(coded.texts == plain.texts)
        // Of some users: the numbers are those of the rows that are kept.
        let users = Set([3, 40, 77].map(SampleRows.user))
        let some = try read(reader, coded: ["user_id", "merchant_id"], users: users)
        #expect(some.texts == (try read(reader, coded: [], users: users).texts))
        #expect(some.texts["user_id"]?.count == 60)
    }

    /// Whoever would have to look at all texts of a long row group for each short batch is given none.
    @Test func aDictionaryThatIsMuchLongerThanABatchIsNotUsed() throws {
        let rows = SampleRows(users: 2_000, rowsPerUser: 2, seed: 8)
        let (reader, _) = lake(of: try rows.file(rowGroupRows: 4_000))
        let few = try read(reader, coded: ["user_id", "merchant_id"], batchRows: 100)
        #expect(few.codedColumns == ["merchant_id"])
        #expect(few.texts == (try read(reader, coded: []).texts))
    }
}
