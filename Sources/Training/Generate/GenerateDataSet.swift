import DetectorAPI
import Foundation
import Lake
import ObjectStore
import Outcomes
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
    /// Merchants at a time whose payments are frauds that only labels tell.
    public var mules = 0
    /// Half of it to one and a half times it after a fraud somebody complains: then the lake's transactions are not
    /// labelled, and the complaints are in `labels.jsonl`, by the moment when they became known. nil: no delay.
    public var labelDelayDays: Double?

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
        let generator = TransactionGenerator(users: users, seed: seed, mules: mules)
        var complaints: [Label] = []
        var random = SeededGenerator(seed: seed, stream: 0x1ABE1)
        var stream = try GeneratedStream(
            folder: folder, lateShare: lateShare, malformedShare: malformedShare, seed: seed)
        var result = Result()
        for index in 0..<days {
            let day = start.adding(days: index)
            let transactions = generator.day(day)
            result.frauds += transactions.count { $0.isFraud }
            if let labelDelayDays {
                for labelled in transactions where labelled.isFraud {
                    complaints.append(labelled.complaint(delayDays: labelDelayDays * (0.5 + random.unit())))
                }
            }
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
        if labelDelayDays != nil { try Self.write(complaints, to: folder + "/labels.jsonl") }
        result.streamRecords = stream.count
        return result
    }

    private func parquet(_ transactions: [LabelledTransaction]) throws -> [UInt8] {
        var batch = TransactionBatch()
        for labelled in transactions { batch.append(labelled.transaction) }
        return try TransactionColumns.parquetFile(
            batch, labels: transactions.map { labelDelayDays != nil ? -1 : $0.isFraud ? 1 : 0 })
    }

    private static func write(_ labels: [Label], to path: String) throws {
        let sorted = labels.sorted {
            ($0.knownMilliseconds, $0.transactionID) < ($1.knownMilliseconds, $1.transactionID)
        }
        let lines = sorted.map { $0.json() + "\n" }.joined()
        try Data(lines.utf8).write(to: URL(filePath: path))
    }
}

extension LabelledTransaction {
    /// Somebody's word for it, so many days later.
    fileprivate func complaint(delayDays: Double) -> Label {
        Label(
            transactionID: transaction.transactionID, isFraud: isFraud,
            knownMilliseconds: transaction.timestampMilliseconds + Int64(delayDays * 86_400_000),
            source: "chargeback")
    }
}
