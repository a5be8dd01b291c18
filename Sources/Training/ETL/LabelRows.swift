import Exact
import Foundation
import Lake
import Outcomes

/// Cuts a source into labels.
struct LabelRows {
    struct Row {
        let line: Int
        /// What stands in the source, of one that is refused.
        let bytes: [UInt8]
        let label: Result<Label, LabelRejection>
    }

    private enum Form {
        case json(any RecordSplitter)
        case csv(CSVRows)
    }

    private var form: Form
    private let parser: LabelParser

    private static let transactionID = "transaction_id"
    private static let required = [transactionID, "label", "known_at"]
    private static let columns = required + ["source"]

    init(key: String, parser: LabelParser) throws {
        self.parser = parser
        if RecordSplitting.form(of: key) == "csv" {
            form = .csv(CSVRows(columns: Self.columns, required: Self.required))
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
        case .csv(var rows):
            try rows.read(piece) { try body(csv($0)) }
            form = .csv(rows)
        }
    }

    mutating func finish(_ body: (Row) throws -> Void) throws {
        switch form {
        case .json(var splitter): try splitter.finish { try body(json($0)) }
        case .csv(var rows): try rows.finish { try body(csv($0)) }
        }
    }

    private func json(_ record: RawRecord) -> Row {
        let bytes = Array(record.bytes)
        if let problem = record.problem {
            return Row(
                line: record.line, bytes: bytes, label: .failure(LabelRejection(field: "", reason: problem)))
        }
        return Row(line: record.line, bytes: bytes, label: parser.result(Data(bytes)))
    }

    private func csv(_ row: CSVRows.Row) -> Row {
        let record = row.record
        do throws(LabelRejection) {
            let label = try label(row)
            return Row(line: record.line, bytes: [], label: .success(label))
        } catch {
            let bytes = Array(record.raw.prefix(RecordSplitting.maximumBytes))
            return Row(line: record.line, bytes: bytes, label: .failure(error))
        }
    }

    private func label(_ row: CSVRows.Row) throws(LabelRejection) -> Label {
        if let problem = row.problem { throw LabelRejection(field: "", reason: problem) }
        var fields = [String?](repeating: nil, count: Self.columns.count)
        for column in row.columns {
            let bytes = row.record.bytes(column.index)
            let isID = column.name == Self.transactionID
            guard
                let text = isID ? CSVIdentifier.text(bytes) : String(validating: bytes, as: UTF8.self)
            else {
                throw LabelRejection(
                    field: column.name,
                    reason: isID ? CSVIdentifier.problem : "it is no UTF-8; write the file as UTF-8")
            }
            fields[column.number] = text
        }
        return try parser.label(
            transactionID: fields[0] ?? "", label: fields[1] ?? "",
            knownAt: LabelParser.time(fields[2] ?? ""), source: fields[3])
    }
}
