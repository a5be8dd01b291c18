import Lake
import Transactions

/// How transactions lie in the lake's files: one table for reading and writing.
enum TransactionColumns {
    static let required = ["transaction_id", "user_id", "amount", "timestamp"]
    static let optionalTexts: [(name: String, field: TextField)] = [
        ("currency", .currency), ("merchant_id", .merchantID), ("category", .category), ("country", .country),
        ("channel", .channel), ("device_id", .deviceID),
    ]
    static let label = "is_fraud"
    static var optional: [String] { optionalTexts.map(\.name) + ["latitude", "longitude", label] }

    static let parquet: [ParquetColumn] =
        [
            ParquetColumn("transaction_id", .text), ParquetColumn("user_id", .text, isSearched: true),
            ParquetColumn("amount", .real), ParquetColumn("timestamp", .timestampMilliseconds),
        ] + optionalTexts.map { ParquetColumn($0.name, .text, isNullable: true) } + [
            ParquetColumn("latitude", .real, isNullable: true),
            ParquetColumn("longitude", .real, isNullable: true),
            ParquetColumn(label, .boolean, isNullable: true),
        ]

    /// Appends the rows of a batch that were read from the lake.
    ///
    /// - Parameter labels: 1 anomalous, 0 not, -1 unknown; grows with `transactions`.
    static func append(_ batch: RecordBatch, to transactions: inout TransactionBatch, labels: inout [Int8])
        throws
    {
        let ids = try batch.texts("transaction_id")
        let users = try batch.texts("user_id")
        let amounts = try batch.reals("amount")
        let times = try batch.timestamps("timestamp")
        let latitudes = try batch.reals("latitude")
        let longitudes = try batch.reals("longitude")
        let isFraud = try batch.isMissing(label) ? nil : labelColumn(batch)
        let texts = try optionalTexts.map { ($0.field, try batch.texts($0.name)) }
        for row in 0..<batch.count where amounts[row].isFinite {
            transactions.append(
                timestampMilliseconds: times[row], amount: amounts[row], latitude: latitudes[row],
                longitude: longitudes[row]
            ) { field, add in
                let column =
                    field == .transactionID
                    ? ids : field == .userID ? users : texts.first { $0.0 == field }?.1
                column?.withBytes(row) { bytes in
                    if let bytes { add(bytes) }
                }
            }
            labels.append(isFraud.map { $0[row] } ?? -1)
        }
    }

    /// Labels may be booleans or numbers.
    private static func labelColumn(_ batch: RecordBatch) throws -> [Int8] {
        if let booleans = try? batch.booleans(label) {
            return (0..<batch.count).map { booleans[$0].map { $0 ? 1 : 0 } ?? -1 }
        }
        return try batch.reals(label).map { $0.isNaN ? -1 : $0 == 0 ? 0 : 1 }
    }

    /// One day's file: sorted by user and time, so that statistics and Bloom filters tell where a user is.
    static func parquetFile(_ transactions: TransactionBatch, labels: [Int8]) throws -> [UInt8] {
        let order = (0..<transactions.count).map { (transactions.text(.userID, $0) ?? "", $0) }.sorted {
            a, b in
            (a.0, transactions.timestampMilliseconds[a.1], a.1) < (
                b.0, transactions.timestampMilliseconds[b.1], b.1
            )
        }.map(\.1)
        func texts(_ field: TextField) -> ColumnValues {
            var column = TextColumn()
            for row in order { transactions.withText(field, row) { column.append(utf8: $0) } }
            return .text(column)
        }
        let writer = try ParquetWriter(columns: parquet)
        try writer.append(
            [
                texts(.transactionID), texts(.userID), .real(order.map { transactions.amount[$0] }),
                .timestampMilliseconds(order.map { transactions.timestampMilliseconds[$0] }),
            ] + optionalTexts.map { texts($0.field) } + [
                .real(order.map { transactions.latitude[$0] }),
                .real(order.map { transactions.longitude[$0] }),
                .boolean(NullableColumn(order.map { labels[$0] < 0 ? nil : labels[$0] == 1 }, nullAs: false)),
            ])
        return try writer.finish()
    }
}
