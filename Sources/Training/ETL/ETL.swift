import Crypto
import DetectorAPI
import Foundation
import Lake
import ObjectStore
import Transactions

/// Brings `raw/` CSV, JSON and JSONL to `processed/yyyy/mm/dd/`, a file for each source and day.
///
/// May be run again: a source gives the same files under the same names, and a transaction that another file of its
/// day holds already is left out. Rows that are no transactions go to `rejected/`, with source, line and reason.
public struct ETL: Sendable {
    private let raw: any ObjectStore
    private let lake: any ObjectStore

    public init(raw: any ObjectStore, lake: any ObjectStore) {
        self.raw = raw
        self.lake = lake
    }

    public struct Result: Sendable, Hashable {
        public var sources = 0
        public var transactions = 0
        public var duplicates = 0
        public var rejected = 0
    }

    /// - Parameter progress: The finished part.
    public func run(progress: (String, Double) -> Void) throws -> Result {
        var result = Result()
        let sources = try raw.listAll(prefix: "raw/")
        for (index, source) in sources.enumerated() {
            progress(source.key, Double(index) / Double(sources.count))
            guard let object = try raw.get(source.key) else { continue }
            try load(source.key, object.bytes, into: &result)
            result.sources += 1
        }
        return result
    }

    private func load(_ key: String, _ bytes: [UInt8], into result: inout Result) throws {
        var rows = try RawRows(key: key)
        try rows.read(bytes)
        // The name depends on the source alone, so that the same source replaces its own files.
        let name = Self.hexadecimal(SHA256.hash(data: Array(key.utf8))).prefix(16)
        var byDay: [LakeDay: [Int]] = [:]
        for row in 0..<rows.transactions.count {
            byDay[LakeDay(epochMilliseconds: rows.transactions.timestampMilliseconds[row]), default: []]
                .append(row)
        }
        for (day, candidates) in byDay.sorted(by: { $0.key < $1.key }) {
            let file = "processed/\(day.path)/part-\(name).parquet"
            var known = try transactionIDs(of: day, except: file)
            let kept = candidates.filter {
                known.insert(rows.transactions.text(.transactionID, $0) ?? "").inserted
            }
            result.duplicates += candidates.count - kept.count
            result.transactions += kept.count
            guard !kept.isEmpty else {
                try lake.delete(file)
                continue
            }
            var batch = TransactionBatch()
            for row in kept { batch.append(rows.transactions.transaction(row)) }
            let labels = kept.map { rows.labels[$0] }
            try lake.put(file, try TransactionColumns.parquetFile(batch, labels: labels), if: .always)
        }
        result.rejected += rows.rejections.count
        let rejected = "rejected/\(name).jsonl"
        if rows.rejections.isEmpty {
            try lake.delete(rejected)
        } else {
            let lines = try rows.rejections.map {
                String(decoding: try JSONEncoder().encode($0), as: UTF8.self)
            }
            try lake.put(rejected, Array((lines.joined(separator: "\n") + "\n").utf8), if: .always)
        }
    }

    private func transactionIDs(of day: LakeDay, except file: String) throws -> Set<String> {
        let reader = LakeReader(store: lake)
        var ids: Set<String> = []
        let files = try reader.files(in: day...day).filter { $0.key != file }
        try reader.scan(files: files, columns: ["transaction_id"]) { batch in
            let column = try batch.texts("transaction_id")
            for row in 0..<batch.count { if let id = column[row] { ids.insert(id) } }
        }
        return ids
    }

    static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}

/// A row that is no transaction.
struct RejectedRow: Codable, Sendable, Hashable {
    let source: String
    let line: Int
    let reason: String
    let row: String
}

/// The transactions of one source.
struct RawRows {
    private enum Format { case csv, jsonLines, jsonArray }

    private let key: String
    private let format: Format
    private let parser = TransactionParser()
    private(set) var transactions = TransactionBatch()
    /// 1 anomalous, 0 not, -1 unknown.
    private(set) var labels: [Int8] = []
    private(set) var rejections: [RejectedRow] = []

    /// - Throws: `TrainingError.invalidRequest` for a source of another kind.
    init(key: String) throws {
        self.key = key
        switch key.split(separator: ".").last?.lowercased() {
        case "csv": format = .csv
        case "jsonl", "ndjson": format = .jsonLines
        case "json": format = .jsonArray
        default:
            throw TrainingError.invalidRequest(
                field: key, reason: "raw files are .csv, .jsonl, .ndjson or .json")
        }
    }

    mutating func read(_ bytes: [UInt8]) throws {
        switch format {
        case .csv: readCSV(bytes)
        case .jsonLines: readLines(bytes)
        case .jsonArray:
            guard let objects = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [Any] else {
                return readLines(bytes)  // one object, or one a line
            }
            for (index, object) in objects.enumerated() {
                let json =
                    JSONSerialization.isValidJSONObject(object)
                    ? (try? JSONSerialization.data(withJSONObject: object, options: .sortedKeys)) : nil
                add(json.map { Array($0) } ?? Array("\(object)".utf8), line: index + 1)
            }
        }
    }

    private mutating func readLines(_ bytes: [UInt8]) {
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            if !line.isEmpty { add(Array(line), line: index + 1) }
        }
    }

    private mutating func readCSV(_ bytes: [UInt8]) {
        var header: [String]?
        var rows: [(line: Int, json: [UInt8], problem: String?)] = []
        var parser = CSVParser()
        func take(_ record: CSVParser.Record) {
            guard let names = header else {
                header = record.fields
                return
            }
            if let problem = record.problem {
                rows.append((record.line, Array(record.raw), "\(problem)"))
            } else if record.count != names.count {
                rows.append(
                    (
                        record.line, Array(record.raw),
                        "it has \(record.count) fields where the header has \(names.count)"
                    ))
            } else {
                rows.append((record.line, Self.json(names, record.fields), nil))
            }
        }
        parser.parse(bytes, take)
        parser.finish(take)
        for row in rows {
            if let problem = row.problem {
                reject(row.json, line: row.line, problem)
            } else {
                add(row.json, line: row.line)
            }
        }
    }

    private static let numbers: Set<String> = ["amount", "latitude", "longitude"]

    /// A CSV row as the JSON that it would be; empty fields are missing.
    private static func json(_ names: [String], _ fields: [String]) -> [UInt8] {
        var object: [String: Any] = [:]
        for (name, text) in zip(names, fields) where !text.isEmpty {
            if numbers.contains(name), let number = Double(text) {
                object[name] = number
            } else if name == "timestamp", let milliseconds = Int64(text) {
                object[name] = milliseconds
            } else {
                object[name] = text
            }
        }
        return (try? JSONSerialization.data(withJSONObject: object)).map { Array($0) } ?? []
    }

    private mutating func add(_ json: [UInt8], line: Int) {
        let found = json.withUnsafeBytes { parser.parse([$0], into: &transactions) }
        if let rejection = found.first { return reject(json, line: line, rejection.description) }
        labels.append(Self.label(json))
    }

    private mutating func reject(_ row: [UInt8], line: Int, _ reason: String) {
        rejections.append(
            RejectedRow(source: key, line: line, reason: reason, row: String(decoding: row, as: UTF8.self)))
    }

    private static func label(_ json: [UInt8]) -> Int8 {
        guard let object = try? JSONSerialization.jsonObject(with: Data(json)) as? [String: Any] else {
            return -1
        }
        switch object[TransactionColumns.label] {
        case let number as NSNumber: return number.doubleValue == 0 ? 0 : 1
        case let text as String: return ["1", "true"].contains(text.lowercased()) ? 1 : 0
        default: return -1
        }
    }
}
