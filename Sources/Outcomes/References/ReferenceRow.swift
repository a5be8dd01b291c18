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

/// The rows of a lake's files as references see them: few columns, no text kept.
struct ReferenceRowReader {
    private static let required = ["transaction_id", "user_id", "amount", "timestamp"]
    private static let label = "is_fraud"
    private static let optional = ["merchant_id", "device_id", "country", "category", label]

    let reader: LakeReader

    /// - Parameter body: Told each row, and its own label: true for a fraud, nil for none.
    @discardableResult
    func read(
        _ files: [LakeFile], isCancelled: () -> Bool, _ body: (ReferenceRow, Bool?) throws -> Void
    ) throws -> ScanStatistics {
        try reader.scan(
            files: files, columns: Self.required, optionalColumns: Self.optional, isCancelled: isCancelled
        ) { batch in
            let transactions = try Self.hashes(batch, "transaction_id")
            let users = try Self.hashes(batch, "user_id")
            let amounts = try batch.reals("amount")
            let times = try batch.timestamps("timestamp")
            let merchants = try Self.hashes(batch, "merchant_id")
            let devices = try Self.hashes(batch, "device_id")
            let countries = try Self.hashes(batch, "country")
            let categories = try Self.hashes(batch, "category")
            let labels = batch.isMissing(Self.label) ? nil : try batch.reals(Self.label)
            for row in 0..<batch.count where amounts[row].isFinite && users[row] != 0 {
                let keys = ReferenceKeys(
                    merchant: merchants[row], device: devices[row], country: countries[row],
                    category: categories[row], user: users[row])
                let label = labels.flatMap { $0[row].isNaN ? nil : $0[row] != 0 }
                try body(
                    ReferenceRow(
                        transaction: transactions[row], milliseconds: times[row], amount: amounts[row],
                        keys: keys), label)
            }
        }
    }

    private static func hashes(_ batch: RecordBatch, _ name: String) throws -> [UInt64] {
        let texts = try batch.texts(name)
        return (0..<batch.count).map { row in
            texts.withBytes(row) { text in
                text.flatMap { $0.isEmpty ? nil : TextHash.hash(UnsafeRawBufferPointer($0)) } ?? 0
            }
        }
    }
}
