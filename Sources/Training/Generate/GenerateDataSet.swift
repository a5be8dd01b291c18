import DetectorAPI
import Foundation
import Lake
import ObjectStore
import Transactions

/// Writes a generated lake and stream into a folder: `lake/processed/yyyy/mm/dd/part-0.parquet` for the first days,
/// `stream.jsonl` for the last ones, and `labels.csv` with the stream's frauds.
public struct GenerateDataSet: Sendable {
    public var users: Int
    public var days: Int
    public var seed: UInt64
    public var start: LakeDay
    /// Days at the end that go to the stream.
    public var streamDays: Int
    /// Shares of the stream's records that come hours or weeks late, and that are no transactions.
    public var lateShare = 0.0
    public var malformedShare = 0.0

    public init(users: Int, days: Int, seed: UInt64, start: LakeDay, streamDays: Int) {
        self.users = users
        self.days = days
        self.seed = seed
        self.start = start
        self.streamDays = streamDays
    }

    public struct Result: Sendable {
        public var lakeDays: ClosedRange<LakeDay>?
        public var lakeTransactions = 0
        public var streamRecords = 0
        public var frauds = 0
    }

    /// - Parameter progress: The finished part.
    public func write(to folder: String, progress: (Double) -> Void) throws -> Result {
        try FileManager.default.createDirectory(atPath: folder + "/lake", withIntermediateDirectories: true)
        let store = DirectoryObjectStore(root: folder + "/lake")
        let generator = TransactionGenerator(users: users, seed: seed)
        var result = Result()
        var stream = StreamWriter(lateShare: lateShare, malformedShare: malformedShare, seed: seed)
        for index in 0..<days {
            let day = start.adding(days: index)
            let transactions = generator.day(day)
            result.frauds += transactions.count { $0.isFraud }
            if index < days - streamDays {
                try store.put("processed/\(day.path)/part-0.parquet", try parquet(transactions), if: .always)
                result.lakeTransactions += transactions.count
                result.lakeDays = (result.lakeDays?.lowerBound ?? day)...day
            } else {
                stream.add(transactions)
            }
            progress(Double(index + 1) / Double(days))
        }
        stream.finish()
        result.streamRecords = stream.lines.count
        try Data((stream.lines.joined(separator: "\n") + "\n").utf8).write(
            to: URL(filePath: folder + "/stream.jsonl"))
        try Data(stream.labels.utf8).write(to: URL(filePath: folder + "/labels.csv"))
        return result
    }

    private func parquet(_ transactions: [LabelledTransaction]) throws -> [UInt8] {
        var batch = TransactionBatch()
        for labelled in transactions { batch.append(labelled.transaction) }
        return try TransactionColumns.parquetFile(batch, labels: transactions.map { $0.isFraud ? 1 : 0 })
    }
}

/// The stream's lines: in order of time but for those that come late.
private struct StreamWriter {
    let lateShare: Double
    let malformedShare: Double
    private var random: SeededGenerator
    private(set) var lines: [String] = []
    private(set) var labels = "transaction_id,is_fraud\n"
    private var late: [(place: Int, line: String)] = []

    private static let malformed = [
        "garbage", "{\"transaction_id\":\"x\"", "[]",
        "{\"transaction_id\":\"x\",\"user_id\":\"\",\"amount\":1,\"timestamp\":0}",
        "{\"transaction_id\":\"x\",\"user_id\":\"u\",\"amount\":\"ten\",\"timestamp\":0}",
        "{\"transaction_id\":\"x\",\"user_id\":\"u\",\"amount\":1,\"timestamp\":\"yesterday\"}",
    ]

    init(lateShare: Double, malformedShare: Double, seed: UInt64) {
        self.lateShare = lateShare
        self.malformedShare = malformedShare
        random = SeededGenerator(seed: seed ^ 0x1A7E)
    }

    mutating func add(_ transactions: [LabelledTransaction]) {
        for labelled in transactions {
            labels += "\(labelled.transaction.transactionID),\(labelled.isFraud ? 1 : 0)\n"
            if random.unit() < lateShare {
                // Most come some records late; one in five is older than the longest window.
                var transaction = labelled.transaction
                if random.below(5) == 0 { transaction.timestampMilliseconds -= 40 * 86_400_000 }
                late.append((lines.count + 1 + random.below(200), transaction.json()))
            } else {
                lines.append(labelled.transaction.json())
            }
            if random.unit() < malformedShare {
                lines.append(Self.malformed[random.below(Self.malformed.count)])
            }
            while let first = late.firstIndex(where: { $0.place <= lines.count }) {
                lines.append(late.remove(at: first).line)
            }
        }
    }

    /// What is still late comes last.
    mutating func finish() {
        lines += late.map(\.line)
        late = []
    }
}
