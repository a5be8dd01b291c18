import Foundation
import Lake
import ObjectStore
import Transactions

/// Writes a generated lake and stream into a folder: `lake/processed/yyyy/mm/dd/part-0.parquet` for the first days,
/// labelled; `stream.jsonl` for the last ones, and `labels.csv` with what each record of the stream is.
///
/// The same options give the same bytes. Memory: the transactions of one day.
public struct GenerateDataSet: Sendable {
    public var users: Int
    public var days: Int
    public var seed: UInt64
    public var start: LakeDay
    /// Days at the end that go to the stream; 0 to `days`.
    public var streamDays: Int
    /// Share of the stream's records that come up to 200 records late, a fifth of them 40 days old. 0 to 1.
    public var lateShare = 0.0
    /// Share of further lines in the stream that are no transactions. 0 to 1.
    public var malformedShare = 0.0

    public init(users: Int, days: Int, seed: UInt64, start: LakeDay, streamDays: Int) {
        self.users = users
        self.days = days
        self.seed = seed
        self.start = start
        self.streamDays = streamDays
    }

    public struct Result: Sendable, Hashable {
        public var lakeDays: ClosedRange<LakeDay>?
        public var lakeTransactions = 0
        /// Lines of the stream, malformed ones included.
        public var streamRecords = 0
        /// In lake and stream.
        public var frauds = 0
    }

    /// - Parameter progress: The finished part.
    /// - Throws: `ObjectStoreError` or Foundation's errors when the folder cannot be written.
    public func write(to folder: String, progress: (Double) -> Void) throws -> Result {
        try FileManager.default.createDirectory(atPath: folder + "/lake", withIntermediateDirectories: true)
        let store = DirectoryObjectStore(root: folder + "/lake")
        let generator = TransactionGenerator(users: users, seed: seed)
        var stream = try GeneratedStream(
            folder: folder, lateShare: lateShare, malformedShare: malformedShare, seed: seed)
        var result = Result()
        for index in 0..<days {
            let day = start.adding(days: index)
            let transactions = generator.day(day)
            result.frauds += transactions.count { $0.isFraud }
            if index < days - streamDays {
                try store.put("processed/\(day.path)/part-0.parquet", try parquet(transactions), if: .always)
                result.lakeTransactions += transactions.count
                result.lakeDays = (result.lakeDays?.lowerBound ?? day)...day
            } else {
                try stream.add(transactions)
            }
            progress(Double(index + 1) / Double(days))
        }
        try stream.finish()
        result.streamRecords = stream.count
        return result
    }

    private func parquet(_ transactions: [LabelledTransaction]) throws -> [UInt8] {
        var batch = TransactionBatch()
        for labelled in transactions { batch.append(labelled.transaction) }
        return try TransactionColumns.parquetFile(batch, labels: transactions.map { $0.isFraud ? 1 : 0 })
    }
}
