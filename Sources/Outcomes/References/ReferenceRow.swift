import Exact
import Features
import Lake
import Transactions

/// What references take of a transaction. Trivially copyable.
public struct ReferenceRow: Sendable, BitwiseCopyable {
    /// `TextHash` of the transaction's id.
    public var transaction: UInt64
    public var milliseconds: Int64
    public var amount: Double
    public var keys: ReferenceKeys

    public init(transaction: UInt64, milliseconds: Int64, amount: Double, keys: ReferenceKeys) {
        self.transaction = transaction
        self.milliseconds = milliseconds
        self.amount = amount
        self.keys = keys
    }
}

/// The rows of a lake's files as references see them: few columns, no text kept. Rows that are no transactions are
/// passed over, as training does.
struct ReferenceRowReader {
    private static let required = ["transaction_id", "user_id", "amount", "timestamp"]
    private static let optional = [
        "merchant_id", "device_id", "country", "category", "latitude", "longitude", "is_fraud",
    ]

    let reader: LakeReader

    /// - Parameter body: Told each row, and its own label: true for a fraud, nil for none.
    func read(
        _ files: [LakeFile], isCancelled: () -> Bool, _ body: (ReferenceRow, Bool?) throws -> Void
    ) throws -> (reading: ScanStatistics, passedOver: PassedOverRows) {
        var passedOver = PassedOverRows()
        let reading = try reader.scan(
            files: files, columns: Self.required, optionalColumns: Self.optional, isCancelled: isCancelled
        ) { batch in
            let users = try batch.texts("user_id")
            let userHashes = Self.hashes(users)
            let transactions = Self.hashes(try batch.texts("transaction_id"))
            let amounts = try batch.readReals("amount")
            let times = try batch.readTimestamps("timestamp")
            let latitudes = try batch.readReals("latitude")
            let longitudes = try batch.readReals("longitude")
            let labels = try batch.readLabels("is_fraud")
            let merchants = Self.hashes(try batch.texts("merchant_id"))
            let devices = Self.hashes(try batch.texts("device_id"))
            let countries = Self.hashes(try batch.texts("country"))
            let categories = Self.hashes(try batch.texts("category"))
            let isSound = RowCheck.areSound(amounts, times, latitudes, longitudes, labels)
            // Arrays at hand: asked row by row the columns would be counted as many times.
            let (amountValues, timeValues, labelValues) = (amounts.values, times.values, labels.values)
            for row in 0..<batch.count {
                let isTransaction = users.withBytes(row) { id in
                    if isSound, let id, RowCheck.isUserID(id) { return true }
                    return RowCheck(batch: batch, row: row).isTransaction(
                        id, amounts, times, latitudes, longitudes, labels, &passedOver)
                }
                guard isTransaction else { continue }
                let keys = ReferenceKeys(
                    merchant: merchants[row], device: devices[row], country: countries[row],
                    category: categories[row], user: userHashes[row])
                try body(
                    ReferenceRow(
                        transaction: transactions[row], milliseconds: timeValues[row],
                        amount: amountValues[row], keys: keys),
                    labelValues[row] < 0 ? nil : labelValues[row] == 1)
            }
        }
        return (reading, passedOver)
    }

    /// Of each row's text; 0: there is none.
    private static func hashes(_ texts: TextColumn) -> [UInt64] {
        (0..<texts.count).map { row in
            texts.withBytes(row) { text in
                text.flatMap {
                    ValueText.isMissing($0) ? nil : TextHash.hash(UnsafeRawBufferPointer($0))
                } ?? 0
            }
        }
    }
}
