import Exact
import Foundation
import Lake
import ObjectStore
import Outcomes
import Transactions

@testable import Training

/// A transaction of which one field is something else.
struct InputCase: Sendable {
    let field: String
    let text: String
    /// Stands in JSON without quotes.
    var isBare = false

    private static let plain = [
        "user_id": "u", "amount": "1", "timestamp": "2026-03-01T12:00:00Z",
    ]

    static let fields = [
        "transaction_id", "user_id", "amount", "timestamp", "country", "latitude", "is_fraud",
    ]

    /// - Parameter id: Tells the transactions of a file apart.
    func values(id: Int) -> [String: String] {
        Self.plain.merging(["transaction_id": "r\(id)", field: text]) { $1 }
    }

    func json(id: Int) throws -> String {
        let members = try values(id: id).map { name, value in
            let isPlain = isBare && name == field
            return "\"\(name)\":"
                + (isPlain ? value : String(decoding: try JSONEncoder().encode(value), as: UTF8.self))
        }
        return "{\(members.sorted().joined(separator: ","))}"
    }
}

enum InputOutcome: Sendable, Equatable {
    case value(String)
    case missing
    case refused

    init(_ text: String?) { self = text.map { .value($0) } ?? .missing }

    /// As the page has it.
    init(cell: String) {
        switch cell {
        case "missing": self = .missing
        case "refused": self = .refused
        default: self = .value(BadInputPage.text(cell))
        }
    }
}

/// One way into the service: what it makes of each case's field.
struct InputReader: Sendable {
    let name: String
    let read: @Sendable ([InputCase], PlaceZone?) throws -> [InputOutcome]

    /// The stream knows no labels.
    func isReading(_ field: String) -> Bool { name != "stream" || field != "is_fraud" }

    static let json = [stream, etl("json"), etl("jsonl")]
    static let csv = etl("csv")
    static let all = json + [csv, lake]

    static let stream = InputReader(name: "stream") { cases, zone in
        let parser = TransactionParser(zone: zone)
        return try cases.enumerated().map { id, input in
            if input.field == "is_fraud" { return try lake.read([input], zone)[0] }
            var batch = TransactionBatch()
            let message = Array(try input.json(id: id).utf8)
            let rejections = message.withUnsafeBytes { parser.parse([$0], into: &batch) }
            guard rejections.isEmpty else { return .refused }
            return value(input.field, batch.transaction(0), label: nil)
        }
    }

    /// A raw file of all cases, through ETL, and what the lake has of it.
    private static func etl(_ kind: String) -> InputReader {
        InputReader(name: "etl, \(kind)") { cases, zone in
            let folder = try TemporaryFolder()
            let (raw, store) = (folder.store("in"), folder.store("lake"))
            try raw.put("raw/a.\(kind)", Array(try source(cases, kind).utf8), if: .always)
            // So that the run does not fail where every case is refused.
            try raw.put(
                "raw/b.jsonl", Array(try InputCase(field: "country", text: "").json(id: -1).utf8), if: .always
            )
            var limits = ETL.Limits()
            limits.scratchFolder = folder.path
            limits.zone = zone
            _ = try ETL(raw: raw, lake: store, limits: limits).run { _, _ in }
            var found = [InputOutcome](repeating: .refused, count: cases.count)
            let reader = LakeReader(store: store)
            for day in try reader.days() {
                try reader.scan(
                    days: day...day, columns: TransactionColumns.required,
                    optionalColumns: TransactionColumns.optional
                ) { batch in
                    for (row, outcome) in try outcomes(batch, cases) where row >= 0 { found[row] = outcome }
                }
            }
            return found
        }
    }

    private static func source(_ cases: [InputCase], _ kind: String) throws -> String {
        switch kind {
        case "csv":
            let rows = cases.enumerated().map { id, input in
                let values = input.values(id: id)
                return InputCase.fields.map { "\"\((values[$0] ?? "").replacing("\"", with: "\"\""))\"" }
                    .joined(separator: ",")
            }
            return ([InputCase.fields.joined(separator: ",")] + rows).joined(separator: "\n")
        case "json":
            return "[\(try cases.enumerated().map { try $1.json(id: $0) }.joined(separator: ",\n"))]"
        default: return try cases.enumerated().map { try $1.json(id: $0) }.joined(separator: "\n")
        }
    }

    /// A Parquet file whose columns are all of texts.
    static let lake = InputReader(name: "lake") { cases, zone in
        let writer = try ParquetWriter(
            columns: InputCase.fields.map { ParquetColumn($0, .text, isNullable: true) })
        try writer.append(
            InputCase.fields.map { name in
                .text(TextColumn(cases.enumerated().map { $1.values(id: $0)[name] }))
            })
        let folder = try TemporaryFolder()
        let store = folder.store("lake")
        try store.put("processed/2026/03/01/part.parquet", try writer.finish(), if: .always)
        var found = [InputOutcome](repeating: .refused, count: cases.count)
        let reader = LakeReader(store: store, zone: zone)
        let days = try reader.days()
        try reader.scan(
            days: days[0]...days[0], columns: TransactionColumns.required,
            optionalColumns: TransactionColumns.optional
        ) { batch in
            for (row, outcome) in try outcomes(batch, cases) { found[row] = outcome }
        }
        return found
    }

    /// What training makes of the rows of a batch: the case that a row is of, and its outcome.
    private static func outcomes(
        _ batch: RecordBatch, _ cases: [InputCase]
    ) throws -> [(Int, InputOutcome)] {
        let ids = try batch.texts(TransactionColumns.userID)
        let transactions = try batch.texts(TransactionColumns.transactionID)
        let amounts = try batch.readReals(TransactionColumns.amount)
        let times = try batch.readTimestamps(TransactionColumns.timestamp)
        let latitudes = try batch.readReals(TransactionColumns.latitude)
        let longitudes = try batch.readReals(TransactionColumns.longitude)
        let labels = try batch.readLabels(TransactionColumns.label)
        let countries = try batch.texts(TextField.country.key)
        var passedOver = PassedOverRows()
        return (0..<batch.count).map { row in
            let id = transactions[row].flatMap { Int($0.dropFirst()) } ?? -1
            guard id >= 0 else { return (-1, .refused) }
            let isTransaction = ids.withBytes(row) {
                RowCheck(batch: batch, row: row).isTransaction(
                    $0, amounts, times, latitudes, longitudes, labels, &passedOver)
            }
            guard isTransaction else { return (id, .refused) }
            let country = countries.withBytes(row) { text -> String? in
                guard let text, !ValueText.isMissing(text) else { return nil }
                return String(decoding: text, as: UTF8.self)
            }
            let transaction = Transaction(
                transactionID: "", userID: ids[row] ?? "", amount: amounts.values[row],
                timestampMilliseconds: times.values[row], country: country,
                latitude: latitudes.hasValue(row) ? latitudes.values[row] : nil)
            let label = labels.hasValue(row) ? labels.values[row] == 1 : nil
            return (id, value(cases[id].field, transaction, label: label))
        }
    }

    private static func value(
        _ field: String, _ transaction: Transaction, label: Bool?
    ) -> InputOutcome {
        switch field {
        case "timestamp": .value(TimeText.text(transaction.timestampMilliseconds))
        case "amount": .value("\(transaction.amount)")
        case "latitude": InputOutcome(transaction.latitude.map { "\($0)" })
        case "country": InputOutcome(transaction.country)
        case "is_fraud": InputOutcome(label.map { "\($0)" })
        default: .value(transaction.userID)
        }
    }
}
