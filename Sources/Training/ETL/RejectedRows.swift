import Foundation
import ObjectStore

/// A row of `rejected/`: what is no transaction, whole, and why.
struct RejectedRow: Codable, Sendable, Hashable {
    /// Key of the raw object.
    let source: String
    /// From 1.
    let line: Int
    let reason: String
    /// As it stands in the source, cut off at 64 KiB; bytes that are no UTF-8 are replaced.
    let row: String
    /// The very bytes, when `row` could not hold them.
    let base64: String?

    init(source: String, line: Int, reason: String, bytes: UnsafeBufferPointer<UInt8>) {
        self.source = source
        self.line = line
        self.reason = reason
        row = String(decoding: bytes, as: UTF8.self)
        base64 = row.utf8.elementsEqual(bytes) ? nil : Data(buffer: bytes).base64EncodedString()
    }
}

/// Writes one source's rejected rows: `rejected/<name>.jsonl`, and further files where it gets too long for one.
struct RejectedRows {
    private let store: any ObjectStore
    private let name: String
    private let limitBytes: Int
    private var lines: [UInt8] = []
    private var writtenBytes = 0
    private var files = 0
    /// Those that are kept and those beyond the limit.
    private(set) var count = 0
    private var countBeyond = 0
    /// What is wrong with the first row.
    private(set) var first: String?
    private var last: RejectedRow?

    private static let fileBytes = 8 << 20

    /// - Parameter limitBytes: Of all files together; further rows are counted, and the last line says how many.
    init(store: any ObjectStore, name: String, limitBytes: Int) {
        self.store = store
        self.name = name
        self.limitBytes = limitBytes
    }

    mutating func add(_ row: RejectedRow) throws {
        count += 1
        if first == nil { first = "line \(row.line): \(row.reason)" }
        guard writtenBytes + lines.count < limitBytes else {
            countBeyond += 1
            last = row
            return
        }
        try append(row)
    }

    private mutating func append(_ row: RejectedRow) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        lines.append(contentsOf: try encoder.encode(row))
        lines.append(UInt8(ascii: "\n"))
        if lines.count > Self.fileBytes { try write() }
    }

    /// Writes the rest, and removes what an earlier run had more.
    mutating func finish() throws {
        if let last {
            let reason = "\(countBeyond) more rows, up to this line, are rejected and not kept"
            try [].withUnsafeBufferPointer {
                try append(RejectedRow(source: last.source, line: last.line, reason: reason, bytes: $0))
            }
        }
        if !lines.isEmpty { try write() }
        let written = Set((0..<files).map(key))
        for summary in try store.listAll(prefix: "rejected/\(name)") where !written.contains(summary.key) {
            try store.delete(summary.key)
        }
    }

    private mutating func write() throws {
        try store.putIfDifferent(key(files), lines)
        files += 1
        writtenBytes += lines.count
        lines.removeAll(keepingCapacity: true)
    }

    private func key(_ file: Int) -> String { "rejected/\(name)\(file == 0 ? "" : "-\(file + 1)").jsonl" }
}

extension ObjectStore {
    /// Writes an object unless it has these bytes already: a rerun that changes nothing writes nothing, and readers of
    /// the object are not disturbed.
    func putIfDifferent(_ key: String, _ bytes: [UInt8]) throws {
        if let summary = try head(key), summary.sizeBytes == bytes.count, try get(key)?.bytes == bytes {
            return
        }
        try put(key, bytes, if: .always)
    }
}
