import Lake
import Transactions

/// How transactions lie in the lake's files: one table for reading and writing.
enum TransactionColumns {
    static let transactionID = "transaction_id"
    static let userID = "user_id"
    static let amount = "amount"
    static let timestamp = "timestamp"
    static let latitude = "latitude"
    static let longitude = "longitude"
    /// Whether the transaction is a known fraud: a boolean or a number, in files of training data.
    static let label = "is_fraud"

    static let optionalTexts: [TextField] = [
        .currency, .merchantID, .category, .country, .channel, .deviceID,
    ]

    /// Texts that come again and again within a file: all but the transactions' ids.
    static let repeated = [userID] + optionalTexts.map(\.key)

    static let required = [transactionID, userID, amount, timestamp]
    static let optional = optionalTexts.map(\.key) + [latitude, longitude, label]

    /// The columns of files that we write; files of others may lack the optional ones.
    static let parquet: [ParquetColumn] =
        [
            ParquetColumn(transactionID, .text), ParquetColumn(userID, .text, isSearched: true),
            ParquetColumn(amount, .real), ParquetColumn(timestamp, .timestampMilliseconds),
        ] + optionalTexts.map { ParquetColumn($0.key, .text, isNullable: true) } + [
            ParquetColumn(latitude, .real, isNullable: true),
            ParquetColumn(longitude, .real, isNullable: true),
            ParquetColumn(label, .boolean, isNullable: true),
        ]

    /// One file: sorted by user and time, so that statistics and Bloom filters tell where a user is.
    ///
    /// - Parameter labels: One a transaction: 1 anomalous, 0 not, -1 unknown.
    static func parquetFile(_ transactions: TransactionBatch, labels: [Int8]) throws -> [UInt8] {
        let order = sorted(transactions)
        let rowsOfGroup = rowGroupRows(of: transactions.count)
        let writer = try ParquetWriter(columns: parquet, rowGroupRows: rowsOfGroup)
        // One row group at a time: the columns of all rows would be there once more, beside the batch and the file.
        for start in stride(from: 0, to: order.count, by: rowsOfGroup) {
            try writer.append(
                columns(transactions, labels, order[start..<min(start + rowsOfGroup, order.count)]))
        }
        return try writer.finish()
    }

    /// Some rows, column by column.
    private static func columns(
        _ transactions: TransactionBatch, _ labels: [Int8], _ rows: ArraySlice<Int>
    ) -> [ColumnValues] {
        func texts(_ field: TextField) -> ColumnValues {
            var column = TextColumn()
            for row in rows { transactions.withText(field, row) { column.append(utf8: $0) } }
            return .text(column)
        }
        return [
            texts(.transactionID), texts(.userID), .real(rows.map { transactions.amount[$0] }),
            .timestampMilliseconds(rows.map { transactions.timestampMilliseconds[$0] }),
        ] + optionalTexts.map(texts) + [
            .real(rows.map { transactions.latitude[$0] }),
            .real(rows.map { transactions.longitude[$0] }),
            .boolean(NullableColumn(rows.map { labels[$0] < 0 ? nil : labels[$0] == 1 }, nullAs: false)),
        ]
    }

    /// Rows of a row group, for a file of that many.
    ///
    /// Whoever wants one user reads the footer, of about 1.8 KB a row group of ours, and one row group, of about 18 bytes
    /// a row: together they are least where n groups have 1.8 KB x n = 18 B x rows / n, with 10 x sqrt(rows) rows each. A
    /// file of a million rows has a hundred, one of 25,000 sixteen.
    static func rowGroupRows(of rows: Int) -> Int { max(1_024, Int(10 * Double(rows).squareRoot())) }

    /// Rows by user, ascending by bytes as Parquet's statistics are, then time, then id: the order of the rows in the
    /// batch does not matter.
    private static func sorted(_ transactions: TransactionBatch) -> [Int] {
        let times = transactions.timestampMilliseconds
        func compare(_ field: TextField, _ a: Int, _ b: Int) -> Int {
            transactions.withText(field, a) { a in
                transactions.withText(field, b) { b in
                    guard let a, let b else { return (a == nil ? 0 : 1) - (b == nil ? 0 : 1) }
                    return compareBytes(a, b)
                }
            }
        }
        return (0..<transactions.count).sorted { a, b in
            let users =
                transactions.hash(.userID, a) == transactions.hash(.userID, b) ? 0 : compare(.userID, a, b)
            if users != 0 { return users < 0 }
            if times[a] != times[b] { return times[a] < times[b] }
            let ids = compare(.transactionID, a, b)
            return ids != 0 ? ids < 0 : a < b
        }
    }
}

/// Negative, 0 or positive: the order of unsigned bytes, a prefix first.
private func compareBytes(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Int {
    for index in 0..<min(a.count, b.count) where a[index] != b[index] {
        return Int(a[index]) - Int(b[index])
    }
    return a.count - b.count
}
