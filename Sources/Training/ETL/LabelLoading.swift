import Foundation
import Lake
import ObjectStore
import Outcomes

/// Brings `raw/labels/` to `labels/yyyy/mm/dd/`: CSV whose header names the fields of a label, JSON and JSONL. What is
/// no label goes to `rejected/`. May be run again: the same sources give the same files.
struct LabelLoading {
    let raw: any ObjectStore
    let lake: any ObjectStore
    let earlier: EarlierLabels
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
        /// Sources that gave no label, with the first reason.
        var refused: [String] = []
        var kept: [String] = []
    }

    func run(
        _ sources: [ObjectSummary], isCancelled: () -> Bool, progress: (String, Double) -> Void
    ) throws -> Result {
        var result = Result()
        let pieces = SourcePieces(raw: raw, limits: limits)
        for (index, source) in sources.enumerated() {
            let name = ETL.name(ofSource: source.key)
            var writing = LabelWriting(lake: lake, name: "raw-\(name)")
            if let problem = try pieces.problem(of: source, isCancelled: isCancelled) {
                result.skipped.append(problem)
                result.kept += try earlier.removeStale(of: "raw-\(name)", written: [], isDamaged: true)
                continue
            }
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
            if writing.count == 0 {
                result.refused.append("\(source.key), \(rejections.first ?? ETL.emptySource)")
            }
            result.kept += try earlier.removeStale(
                of: "raw-\(name)", written: writing.keys,
                isDamaged: rejections.count > 0 || writing.count == 0)
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
    /// Of the files that hold them.
    private(set) var keys: Set<String> = []

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
        keys.formUnion(
            try files.write(labels, name: number == 1 ? name : "\(name)-\(number)", isReplacing: true))
        labels.removeAll(keepingCapacity: true)
    }
}

/// The files of labels that the lake had before a run, by the source that gave them.
struct EarlierLabels {
    private let lake: any ObjectStore
    private var keys: [String: [String]] = [:]

    /// `raw-` of a file of labels, `own-` of labels that came with their transactions.
    private static let markLength = 4

    init(lake: any ObjectStore) throws {
        self.lake = lake
        for object in try lake.listAll(prefix: "labels/") {
            let name = object.key.split(separator: "/").last ?? ""
            guard name.hasPrefix("raw-") || name.hasPrefix("own-") else { continue }
            keys[String(name.prefix(Self.markLength + ETL.nameLength)), default: []].append(object.key)
        }
    }

    /// Removes what a source gave earlier and gives no longer, but not of a damaged one: it may be among its rows that
    /// cannot be read.
    ///
    /// - Parameter name: What the names of the source's files begin with.
    /// - Returns: The keys of those that stay.
    func removeStale(of name: String, written: Set<String>, isDamaged: Bool) throws -> [String] {
        let stale = keys[name, default: []].filter { !written.contains($0) }
        if isDamaged { return stale }
        for key in stale { try lake.delete(key) }
        return []
    }
}
