import Exact
import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Training

/// Every row of the tables in docs/bad-input.md, in every reader: a value means there what the page says.
@Suite struct BadInputTests {
    private let page: BadInputPage

    init() throws { page = try BadInputPage() }

    /// 2026 of Amsterdam.
    private let amsterdam = PlaceZone(
        name: "Europe/Amsterdam",
        offsets: [
            (.min, 3_600_000), (1_774_746_000_000, 7_200_000), (1_792_890_000_000, 3_600_000),
        ])

    private func check(
        _ rows: [[String]], field: String, text: (String) -> String = { $0 }, expected column: Int = 1,
        zone: PlaceZone? = nil, isRequired: Bool = true
    ) throws {
        let cases = rows.map { InputCase(field: field, text: BadInputPage.text($0[0])) }
        let expected = rows.map { row -> InputOutcome in
            let outcome = InputOutcome(cell: row[column])
            return isRequired && outcome == .missing ? .refused : outcome
        }
        #expect(cases.count > 5, "the page has this table")
        for reader in InputReader.all {
            let found = try reader.read(cases, zone)
            for (row, (found, expected)) in zip(found, expected).enumerated() {
                #expect(found == expected, "\(reader.name): \(field) '\(cases[row].text)'")
            }
        }
    }

    @Test func times() throws {
        let rows = page.rows("Times")
        try check(rows, field: "timestamp")
        try check(rows, field: "timestamp", expected: 2, zone: amsterdam)
    }

    @Test func numbers() throws {
        try check(page.rows("Numbers"), field: "amount")
        try check(page.rows("Numbers"), field: "latitude", isRequired: false)
    }

    @Test func yesAndNo() throws {
        try check(page.rows("Yes and no"), field: "is_fraud", isRequired: false)
    }

    @Test func texts() throws {
        try check(page.rows("Texts"), field: "country", isRequired: false)
    }

    @Test func tablesOfEvaluateReadThemTheSame() throws {
        for row in page.rows("Numbers") {
            let text = BadInputPage.text(row[0])
            let found: InputOutcome =
                try evaluated("x", text) { table in
                    guard let place = table.columns.firstIndex(of: "x") else { return .refused }
                    let value = table.values[place]
                    return value.isNaN ? .missing : .value("\(Double(value))")
                }
            #expect(found == InputOutcome(cell: row[1]), "'\(text)'")
        }
        for row in page.rows("Yes and no") {
            let text = BadInputPage.text(row[0])
            let expected = InputOutcome(cell: row[1])
            let found: InputOutcome = try evaluated("y", text) { .value("\($0.labels?.first ?? false)") }
            #expect(found == (expected == .missing ? .refused : expected), "'\(text)'")
        }
        for (zone, column) in [(nil, 1), (amsterdam, 2)] {
            for row in page.rows("Times") where row[2].hasPrefix("`") && row[0].contains(":") {
                let text = BadInputPage.text(row[0])
                let found: InputOutcome = try evaluated("t", text, zone: zone) { table in
                    .value(TimeText.text(Int64(table.times?.first ?? 0)))
                }
                // Only their order counts there, so that UTC serves where no place is named.
                guard row[column] != "refused" else { continue }
                #expect(found == InputOutcome(cell: row[column]), "'\(text)'")
            }
        }
    }

    /// What a table of one row holds, in CSV and Parquet alike: x a feature, y its label, t its time.
    private func evaluated(
        _ column: String, _ text: String, zone: PlaceZone? = nil, _ value: (NumericTable) -> InputOutcome
    ) throws -> InputOutcome {
        let fields = ["x": "1", "y": "1", "t": "1", "id": "a"].merging([column: text]) { $1 }
        let names = fields.keys.sorted()
        let csv = [names, names.map { fields[$0] ?? "" }].map { line in
            line.map { "\"\($0.replacing("\"", with: "\"\""))\"" }.joined(separator: ",")
        }
        let writer = try ParquetWriter(columns: names.map { ParquetColumn($0, .text) })
        try writer.append(names.map { .text(TextColumn([fields[$0] ?? ""])) })
        let parquet = try writer.finish()
        func outcome(_ read: () throws -> NumericTable) throws -> InputOutcome {
            do {
                return value(try read())
            } catch LakeError.badLine, LakeError.badValue {
                return .refused
            }
        }
        let time = column == "t" ? "t" : nil
        let found = try outcome {
            try readCSVTable(
                Array(csv.joined(separator: "\n").utf8), name: "t.csv", labelColumn: "y", timeColumn: time,
                zone: zone)
        }
        let other = try outcome {
            try readParquetTable(parquet, name: "t", labelColumn: "y", timeColumn: time, zone: zone)
        }
        #expect(found == other, "CSV and Parquet: '\(text)'")
        return found
    }

    @Test func ids() throws {
        let rows = page.rows("Ids")
        #expect(rows.count > 5)
        let folder = try TemporaryFolder()
        for row in rows {
            let expected = InputOutcome(cell: row[3])
            let json = InputCase(field: "user_id", text: BadInputPage.text(row[0]), isBare: true)
            for reader in InputReader.json {
                #expect(try reader.read([json], nil) == [expected], "\(reader.name): \(row[0])")
            }
            if !row[1].isEmpty {
                let csv = InputCase(field: "user_id", text: BadInputPage.text(row[1]))
                #expect(try InputReader.csv.read([csv], nil) == [expected], "CSV: \(row[1])")
            }
            let parts = row[2].split(separator: " ", maxSplits: 1).map(String.init)
            let text = BadInputPage.text(parts[1])
            let column: (ColumnType, ColumnValues) =
                switch parts[0] {
                case "integer": (.integer, .integer(NullableColumn([Int64(text) ?? 0])))
                case "real": (.real, .real([Double(text) ?? 0]))
                default: (.text, .text(TextColumn([text])))
                }
            let writer = try ParquetWriter(columns: [ParquetColumn("user_id", column.0)])
            try writer.append([column.1])
            let lake = folder.store("ids")
            try lake.put("processed/2026/03/01/part.parquet", try writer.finish(), if: .always)
            var found = InputOutcome.refused
            do {
                let day = try #require(LakeDay(parsing: "2026-03-01"))
                try LakeReader(store: lake).scan(days: day...day, columns: ["user_id"]) { batch in
                    found = InputOutcome(try batch.texts("user_id")[0])
                }
            } catch LakeError.badValue {
            }
            #expect(found == expected, "Parquet: \(row[2])")
        }
    }

    @Test func jsonThatIsNoText() throws {
        let rows = page.rows("JSON that is no text")
        #expect(rows.count > 5)
        let cases = rows.map { InputCase(field: $0[1], text: BadInputPage.text($0[0]), isBare: true) }
        for reader in InputReader.json {
            let found = try reader.read(cases, nil)
            for (row, found) in zip(rows, found) where reader.isReading(row[1]) {
                #expect(found == InputOutcome(cell: row[2]), "\(reader.name): \(row[1]) \(row[0])")
            }
        }
    }
}
