import DetectorAPI
import Foundation
import Transactions

/// Writes a generated stream's lines and labels as they come: in order of time but for those that come late.
///
/// Memory: the records that are still late.
struct GeneratedStream {
    private let lateShare: Double
    private let malformedShare: Double
    private var random: SeededGenerator
    private var lines: TextFile
    private var labels: TextFile
    private var late: [(place: Int, line: String)] = []
    /// Lines written.
    private(set) var count = 0

    /// A late record comes after at most so many others.
    private static let maximumDelay = 200
    /// One of so many late records is older than the longest window.
    private static let tooLate = 5

    private static let malformed = [
        "garbage", "{\"transaction_id\":\"x\"", "[]",
        "{\"transaction_id\":\"x\",\"user_id\":\"\",\"amount\":1,\"timestamp\":0}",
        "{\"transaction_id\":\"x\",\"user_id\":\"u\",\"amount\":\"ten\",\"timestamp\":1767225600000}",
        "{\"transaction_id\":\"x\",\"user_id\":\"u\",\"amount\":1,\"timestamp\":\"yesterday\"}",
    ]

    init(folder: String, lateShare: Double, malformedShare: Double, seed: UInt64) throws {
        self.lateShare = lateShare
        self.malformedShare = malformedShare
        random = SeededGenerator(seed: seed, stream: 0x1A7E)
        lines = try TextFile(folder + "/stream.jsonl")
        labels = try TextFile(folder + "/labels.csv")
        try labels.write("transaction_id,is_fraud,kind")
    }

    mutating func add(_ transactions: [LabelledTransaction]) throws {
        for labelled in transactions {
            var transaction = labelled.transaction
            try labels.write(
                "\(transaction.transactionID),\(labelled.isFraud ? 1 : 0),\(labelled.fraud?.rawValue ?? "")")
            if random.unit() < lateShare {
                if random.below(Self.tooLate) == 0 { transaction.timestampMilliseconds -= 40 * 86_400_000 }
                late.append((count + 1 + random.below(Self.maximumDelay), transaction.json()))
            } else {
                try write(transaction.json())
            }
            if random.unit() < malformedShare {
                try write(Self.malformed[random.below(Self.malformed.count)])
            }
            while let first = late.firstIndex(where: { $0.place <= count }) {
                try write(late.remove(at: first).line)
            }
        }
    }

    /// What is still late comes last.
    mutating func finish() throws {
        for (_, line) in late { try write(line) }
        late = []
        try lines.close()
        try labels.close()
    }

    private mutating func write(_ line: String) throws {
        try lines.write(line)
        count += 1
    }
}

/// A file that is written line by line.
private struct TextFile {
    private let handle: FileHandle
    private var buffer: [UInt8] = []

    init(_ path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let handle = FileHandle(forWritingAtPath: path)
        else {
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path])
        }
        self.handle = handle
    }

    mutating func write(_ line: String) throws {
        buffer.append(contentsOf: line.utf8)
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count > 1 << 20 { try flush() }
    }

    mutating func close() throws {
        try flush()
        try handle.close()
    }

    private mutating func flush() throws {
        try handle.write(contentsOf: buffer)
        buffer.removeAll(keepingCapacity: true)
    }
}
