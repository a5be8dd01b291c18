import Outcomes
import Transactions

/// Reads one source: cuts it into records, parses them some thousand at a time, and puts them aside or rejects them.
struct SourceReading {
    let key: String
    let index: Int
    private(set) var rejections: RejectedRows
    /// Where labels that came with transactions go, and how long after these they became known; nil: they stay with
    /// them.
    var labels: (writing: LabelWriting, delayMilliseconds: Int64)?
    private var splitter: (any RecordSplitter)?
    private let parser = TransactionParser()
    private var batch = TransactionBatch()

    /// Records that wait to be parsed, one after the other.
    private var waiting: [UInt8] = []
    private var ends: [Int] = []
    private var lines: [Int] = []

    private static let batchRecords = 4096
    private static let batchBytes = 4 << 20

    init(key: String, index: Int, rejections: RejectedRows) {
        self.key = key
        self.index = index
        self.rejections = rejections
        splitter = RecordSplitting.splitter(for: key)
    }

    mutating func read(_ piece: UnsafeBufferPointer<UInt8>, into aside: inout RowsByDay) throws {
        var splitter = self.splitter
        try splitter?.split(piece) { try take($0, into: &aside) }
        self.splitter = splitter
    }

    mutating func finish(into aside: inout RowsByDay) throws {
        var splitter = self.splitter
        try splitter?.finish { try take($0, into: &aside) }
        try parse(into: &aside)
        try labels?.writing.finish()
        try rejections.finish()
    }

    private mutating func take(_ record: RawRecord, into aside: inout RowsByDay) throws {
        if let problem = record.problem {
            return try reject(record.bytes, line: record.line, problem)
        }
        waiting.append(contentsOf: record.bytes)
        ends.append(waiting.count)
        lines.append(record.line)
        if ends.count >= Self.batchRecords || waiting.count >= Self.batchBytes { try parse(into: &aside) }
    }

    private mutating func parse(into aside: inout RowsByDay) throws {
        let waiting = self.waiting
        try waiting.withUnsafeBufferPointer { bytes in
            func message(_ index: Int) -> UnsafeBufferPointer<UInt8> {
                UnsafeBufferPointer(rebasing: bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]])
            }
            batch.removeAll(keepingCapacity: true)
            let rejected = parser.parse(
                ends.indices.map { UnsafeRawBufferPointer(message($0)) }, into: &batch)
            for rejection in rejected {
                let place = rejection.field.map { "\($0): " } ?? ""
                let index = Int(rejection.messageIndex)
                try reject(
                    message(index), line: lines[index],
                    "\(place)\(rejection.reason.rawValue): \(rejection.reason.explanation)")
            }
            for row in 0..<batch.count {
                let index = Int(batch.messageIndex[row])
                if let label = LabelScanner.label(message(index)) {
                    let label = try setAside(label, row)
                    try aside.add(batch, row, source: self.index, label: label)
                } else {
                    try reject(
                        message(index), line: lines[index],
                        "\(TransactionColumns.label): wrong-type: expected true, false or a number")
                }
            }
        }
        self.waiting.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        lines.removeAll(keepingCapacity: true)
    }

    /// - Returns: The label that stays with the transaction.
    private mutating func setAside(_ label: Int8, _ row: Int) throws -> Int8 {
        guard label >= 0, let delay = labels?.delayMilliseconds else { return label }
        try labels?.writing.add(
            Label(
                transactionID: batch.text(.transactionID, row) ?? "", isFraud: label == 1,
                knownMilliseconds: batch.timestampMilliseconds[row] + delay, source: TransactionColumns.label)
        )
        return -1
    }

    private mutating func reject(_ bytes: UnsafeBufferPointer<UInt8>, line: Int, _ reason: String) throws {
        try rejections.add(RejectedRow(source: key, line: line, reason: reason, bytes: bytes))
    }
}
