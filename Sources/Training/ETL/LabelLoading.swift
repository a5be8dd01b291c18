import Foundation
import Lake
import ObjectStore
import Outcomes
import Transactions

/// Brings `raw/labels/` to `labels/yyyy/mm/dd/`: CSV whose header names the fields of a label, JSON and JSONL. What is
/// no label goes to `rejected/`. May be run again: the same sources give the same files.
struct LabelLoading {
    let raw: any ObjectStore
    let lake: any ObjectStore
    let limits: ETL.Limits
    /// Milliseconds since 1970 UTC.
    let now: Int64

    /// Where labels are, below the raw store.
    static let prefix = "raw/labels/"

    struct Result {
        var sources = 0
        var labels = 0
        var rejected = 0
        var skipped: [String] = []
    }

    func run(
        _ sources: [ObjectSummary], isCancelled: () -> Bool, progress: (String, Double) -> Void
    ) throws -> Result {
        var result = Result()
        let pieces = SourcePieces(raw: raw, limits: limits)
        for (index, source) in sources.enumerated() {
            if let problem = try pieces.problem(of: source, isCancelled: isCancelled) {
                result.skipped.append(problem)
                continue
            }
            let name = ETL.name(ofSource: source.key)
            var writing = LabelWriting(lake: lake, name: "raw-\(name)")
            var rejections = RejectedRows(store: lake, name: name, limitBytes: limits.rejectedBytes)
            let parser = LabelParser(defaultSource: "etl", now: now)
            var rows = try LabelRows(key: source.key, parser: parser)
            func take(_ row: LabelRows.Row) throws {
                switch row.label {
                case .success(let label): try writing.add(label)
                case .failure(let rejection):
                    try row.bytes.withUnsafeBufferPointer {
                        try rejections.add(
                            RejectedRow(source: source.key, line: row.line, reason: "\(rejection)", bytes: $0)
                        )
                    }
                }
            }
            try pieces.read(
                source, isCancelled: isCancelled, body: { try rows.read($0, take) })
            try rows.finish(take)
            try writing.finish()
            try rejections.finish()
            result.sources += 1
            result.labels += writing.count
            result.rejected += rejections.count
            progress(source.key, Double(index + 1) / Double(sources.count))
        }
        return result
    }
}

/// Writes labels of one source, some at a time.
struct LabelWriting {
    private let files: LabelFiles
    private let name: String
    private var labels: [Label] = []
    private var number = 0
    private(set) var count = 0

    private static let fileLabels = 500_000

    init(lake: any ObjectStore, name: String) {
        files = LabelFiles(lake: lake)
        self.name = name
    }

    mutating func add(_ label: Label) throws {
        labels.append(label)
        count += 1
        if labels.count == Self.fileLabels { try finish() }
    }

    mutating func finish() throws {
        guard !labels.isEmpty else { return }
        number += 1
        try files.write(labels, name: number == 1 ? name : "\(name)-\(number)", isReplacing: true)
        labels.removeAll(keepingCapacity: true)
    }
}

/// Cuts a source into labels.
private struct LabelRows {
    struct Row {
        let line: Int
        let bytes: [UInt8]
        let label: Result<Label, LabelRejection>
    }

    private enum Form {
        case json(any RecordSplitter)
        case csv(CSVParser)
    }

    private var form: Form
    private let parser: LabelParser
    private var columns: [String: Int]?
    private var isUnusable = false

    private static let required = ["transaction_id", "label", "known_at"]

    init(key: String, parser: LabelParser) throws {
        self.parser = parser
        if RecordSplitting.form(of: key) == "csv" {
            form = .csv(CSVParser())
        } else if let splitter = RecordSplitting.splitter(for: key) {
            form = .json(splitter)
        } else {
            throw TrainingError.invalidRequest(
                field: key, reason: "raw files are .csv, .json, .jsonl or .ndjson; move it away")
        }
    }

    mutating func read(_ piece: UnsafeBufferPointer<UInt8>, _ body: (Row) throws -> Void) throws {
        switch form {
        case .json(var splitter):
            try splitter.split(piece) { try body(json($0)) }
            form = .json(splitter)
        case .csv(var parser):
            try parser.parse(piece) { try take($0, body) }
            form = .csv(parser)
        }
    }

    mutating func finish(_ body: (Row) throws -> Void) throws {
        switch form {
        case .json(var splitter): try splitter.finish { try body(json($0)) }
        case .csv(var parser): try parser.finish { try take($0, body) }
        }
    }

    private func json(_ record: RawRecord) -> Row {
        let bytes = Array(record.bytes)
        if let problem = record.problem {
            return Row(
                line: record.line, bytes: bytes, label: .failure(LabelRejection(field: "", reason: problem)))
        }
        do {
            return Row(line: record.line, bytes: bytes, label: .success(try parser.label(Data(bytes))))
        } catch {
            return Row(line: record.line, bytes: bytes, label: .failure(error))
        }
    }

    private mutating func take(_ record: CSVParser.Record, _ body: (Row) throws -> Void) throws {
        if isUnusable { return }
        func refuse(_ reason: String) throws {
            try body(
                Row(
                    line: record.line, bytes: Array(record.raw.prefix(RecordSplitting.maximumBytes)),
                    label: .failure(LabelRejection(field: "", reason: reason))))
        }
        if let problem = record.problem { return try refuse("\(problem)") }
        guard let columns else {
            let names = record.fields
            self.columns = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
            let missing = Self.required.filter { !names.contains($0) }
            if !missing.isEmpty {
                isUnusable = true
                try refuse("the header lacks \(missing.joined(separator: ", "))")
            }
            return
        }
        func field(_ name: String) -> String? {
            guard let index = columns[name], index < record.count else { return nil }
            return String(decoding: record.bytes(index), as: UTF8.self)
        }
        let knownAt = field("known_at") ?? ""
        do {
            let label = try parser.label(
                transactionID: field("transaction_id") ?? "", label: field("label") ?? "",
                knownAt: LabelParser.time(knownAt), source: field("source"))
            try body(Row(line: record.line, bytes: [], label: .success(label)))
        } catch let rejection as LabelRejection {
            try body(Row(line: record.line, bytes: Array(record.raw), label: .failure(rejection)))
        }
    }
}
