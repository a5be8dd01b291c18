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
    private var lines: [UInt8] = []
    private var files = 0
    private(set) var count = 0

    private static let fileBytes = 8 << 20

    init(store: any ObjectStore, name: String) {
        self.store = store
        self.name = name
    }

    mutating func add(_ row: RejectedRow) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        lines.append(contentsOf: try encoder.encode(row))
        lines.append(UInt8(ascii: "\n"))
        count += 1
        if lines.count > Self.fileBytes { try write() }
    }

    /// Writes the rest, and removes what an earlier run had more.
    mutating func finish() throws {
        if !lines.isEmpty { try write() }
        let written = Set((0..<files).map(key))
        for summary in try store.listAll(prefix: "rejected/\(name)") where !written.contains(summary.key) {
            try store.delete(summary.key)
        }
    }

    private mutating func write() throws {
        try store.putIfDifferent(key(files), lines)
        files += 1
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
