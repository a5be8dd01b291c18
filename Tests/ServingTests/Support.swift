import CoreMetrics
import Features
import Kafka
import Transactions

@testable import Serving

/// Randomness with a seed that a failure can name.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Transactions of a few users, and batches of them.
enum WindowFixtures {
    static let count1h = FeatureSchema.index(of: "count_1h")!
    static let count30d = FeatureSchema.index(of: "count_30d")!
    static let epoch: Int64 = 1_700_000_000_000

    static func record(
        user: Int, minute: Int, amount: Double = 10, milliseconds: Int64? = nil
    ) -> Transaction {
        Transaction(
            transactionID: "t\(minute)", userID: "u\(user)", amount: amount,
            timestampMilliseconds: milliseconds ?? epoch + Int64(minute) * 60_000, currency: "EUR",
            merchantID: "m\(minute % 5)", category: nil, country: "NL", channel: nil, deviceID: nil,
            latitude: nil, longitude: nil)
    }

    static func batch(
        _ records: [Transaction], start: Int64, partition: Int32 = 0, isAtBeginning: Bool? = nil,
        recordMilliseconds: [Int64]? = nil
    ) -> ConsumedBatch {
        var transactions = TransactionBatch()
        for record in records { transactions.append(record) }
        let slice = PartitionSlice(
            source: TopicPartition(topic: "transactions", partition: partition), start: start,
            end: start + Int64(records.count), isAtBeginning: isAtBeginning)
        return ConsumedBatch(
            transactions: transactions, offsets: records.indices.map { start + Int64($0) },
            sliceIndex: records.map { _ in 0 }, slices: [slice], deadLetters: [], assignment: 0,
            wronglyKeyed: 0, recordTimes: recordMilliseconds)
    }

    /// Takes a batch through the stage and writes its windows.
    static func deliver(_ batch: ConsumedBatch, _ stage: WindowStage, _ store: any WindowStore) throws
        -> WindowedBatch
    {
        let windowed = try stage.run(batch)
        guard try store.write(windowed.writes) else { throw WindowStoreError.damaged("a conflict") }
        return windowed
    }
}

extension WindowedBatch {
    func feature(_ index: Int, row: Int) -> Float { features[row * UserWindow.featureCount + index] }

    /// The bits of each row's features.
    var featureBits: [[UInt32]] {
        let width = UserWindow.featureCount
        return (0..<count).map { features[$0 * width..<($0 + 1) * width].map(\.bitPattern) }
    }
}

extension WindowStore {
    /// A user's stored bytes.
    func bytes(of user: String) throws -> [UInt8]? {
        var keys = UserKeys()
        keys.append(user)
        var found: [UInt8]?
        try read(keys, partitions: []) { _, _ in
        } user: { _, stored in
            if case .blob(let bytes) = stored { found = Array(bytes) }
        }
        return found
    }
}

/// Metrics of which a test keeps one kind, and nobody the others.
protocol SilentMetrics: MetricsFactory {}

extension SilentMetrics {
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        NOOPMetricsHandler.instance
    }
    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        NOOPMetricsHandler.instance
    }
    func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        NOOPMetricsHandler.instance
    }
    func destroyTimer(_ handler: any TimerHandler) {}
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
}
