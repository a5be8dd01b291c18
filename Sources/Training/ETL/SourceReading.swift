import Exact
import Transactions

/// Reads one source: cuts it into records, parses them some thousand at a time, and puts them aside or rejects them.
struct SourceReading {
    let key: String
    let index: Int
    private(set) var rejections: RejectedRows
    private var splitter: (any RecordSplitter)?
    /// Rows that are transactions.
    private(set) var accepted = 0
    private let parser: TransactionParser
    private var batch = TransactionBatch()

    /// Records that wait to be parsed, one after the other.
    private var waiting: [UInt8] = []
    private var ends: [Int] = []
    private var lines: [Int] = []
    /// What stands in the source for each of them, where that is no JSON.
    private var originals: [UInt8] = []
    private var originalEnds: [Int] = []

    private static let batchRecords = 4096
    private static let batchBytes = 4 << 20

    init(key: String, index: Int, rejections: RejectedRows, zone: PlaceZone?) {
        parser = TransactionParser(zone: zone)
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
        try rejections.finish()
    }

    private mutating func take(_ record: RawRecord, into aside: inout RowsByDay) throws {
        if let problem = record.problem {
            return try reject(record.source, line: record.line, problem)
        }
        waiting.append(contentsOf: record.bytes)
        ends.append(waiting.count)
        lines.append(record.line)
        if record.source.baseAddress != record.bytes.baseAddress {
            originals.append(contentsOf: record.source.prefix(RecordSplitting.maximumBytes))
            originalEnds.append(originals.count)
        }
        if ends.count >= Self.batchRecords || waiting.count >= Self.batchBytes { try parse(into: &aside) }
    }

    private mutating func parse(into aside: inout RowsByDay) throws {
        var (waiting, originals): ([UInt8], [UInt8]) = ([], [])
        swap(&waiting, &self.waiting)
        swap(&originals, &self.originals)
        try waiting.withUnsafeBufferPointer { bytes in
            try originals.withUnsafeBufferPointer { originals in
                try parse(
                    bytes, originals: originalEnds.isEmpty ? (bytes, ends) : (originals, originalEnds),
                    into: &aside)
            }
        }
        waiting.removeAll(keepingCapacity: true)
        originals.removeAll(keepingCapacity: true)
        swap(&waiting, &self.waiting)
        swap(&originals, &self.originals)
        ends.removeAll(keepingCapacity: true)
        lines.removeAll(keepingCapacity: true)
        originalEnds.removeAll(keepingCapacity: true)
    }

    private mutating func parse(
        _ bytes: UnsafeBufferPointer<UInt8>, originals: (bytes: UnsafeBufferPointer<UInt8>, ends: [Int]),
        into aside: inout RowsByDay
    ) throws {
        func piece(_ all: UnsafeBufferPointer<UInt8>, _ ends: [Int], _ index: Int) -> UnsafeBufferPointer<
            UInt8
        > {
            UnsafeBufferPointer(rebasing: all[(index == 0 ? 0 : ends[index - 1])..<ends[index]])
        }
        batch.removeAll(keepingCapacity: true)
        let messages = ends.indices.map { UnsafeRawBufferPointer(piece(bytes, ends, $0)) }
        for rejection in parser.parse(messages, into: &batch) {
            let index = Int(rejection.messageIndex)
            try reject(
                piece(originals.bytes, originals.ends, index), line: lines[index], Self.reason(rejection))
        }
        for row in 0..<batch.count {
            let index = Int(batch.messageIndex[row])
            if let label = LabelScanner.label(piece(bytes, ends, index)) {
                accepted += 1
                try aside.add(batch, row, source: self.index, line: lines[index], label: label)
            } else {
                try reject(
                    piece(originals.bytes, originals.ends, index), line: lines[index],
                    "\(TransactionColumns.label): wrong-type: expected true or false, yes or no, or a number")
            }
        }
    }

    /// With column and value.
    private static func reason(_ rejection: Rejection) -> String {
        let place = rejection.field.map { "\($0): " } ?? ""
        let value = rejection.value.map { "; it holds '\($0)'" } ?? ""
        return "\(place)\(rejection.reason.rawValue): \(rejection.reason.explanation)\(value)"
    }

    private mutating func reject(_ bytes: UnsafeBufferPointer<UInt8>, line: Int, _ reason: String) throws {
        try rejections.add(RejectedRow(source: key, line: line, reason: reason, bytes: bytes))
    }
}
