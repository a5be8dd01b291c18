import Exact
import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Training

/// The rows of the table of files in docs/bad-input.md: each has a test of its name here, and none is without a row.
@Suite struct BadFileTests {
    private let folder: TemporaryFolder
    private let raw: DirectoryObjectStore
    private let lake: DirectoryObjectStore

    init() throws {
        folder = try TemporaryFolder()
        raw = folder.store("in")
        lake = folder.store("lake")
    }

    @Test func everyRowOfThePageIsTried() throws {
        let tests: [String: () throws -> Void] = [
            "a byte order mark": byteOrderMark, "UTF-16": utf16, "ends of lines": endsOfLines,
            "a header that ends in commas": { try self.reads(self.header + ",,\n" + self.row("a") + ",,\n") },
            "a column twice": columnTwice, "semicolons for commas": semicolons,
            "too few or too many fields": fieldCounts, "an open quote": openQuote,
            "a column of another name": {
                try self.reads(self.header + ",colour\n" + self.row("a") + ",red\n")
            },
            "hidden files and folders": hidden, "a file of another kind": otherKind,
            "a source without any transaction": sourceWithout,
            "a source that has become unreadable": becomesUnreadable,
            "Parquet in capitals and Hive's folders": foldersOfLakes, "other files in the lake": otherFiles,
            "a Parquet file that becomes a thousand times its size": bomb,
            "a file that is replaced while it is read": replaced,
            "a compressed file": compressed, "a compressed file that is damaged or cut off": cutOff,
            "a compressed file that becomes 200 times its size": blownUp,
            "a file that cannot be read, with `lake.onbadfile: skip`": leftOut,
        ]
        let rows = try BadInputPage().rows("Files").map { $0[0] }
        #expect(Set(rows) == Set(tests.keys))
        for row in rows {
            for key in try raw.listAll(prefix: "").map(\.key) { try raw.delete(key) }
            for key in try lake.listAll(prefix: "").map(\.key) { try lake.delete(key) }
            try tests[row]?()
        }
    }

    private let header = "transaction_id,user_id,amount,timestamp"

    private func row(_ id: String) -> String { "\(id),u,1,2026-03-01T12:00:00Z" }

    private func json(_ id: String) -> String {
        #"{"transaction_id":"\#(id)","user_id":"u","amount":1,"timestamp":"2026-03-01T12:00:00Z"}"#
    }

    private func put(_ key: String, _ bytes: [UInt8]) throws { try raw.put("raw/\(key)", bytes, if: .always) }

    private func put(_ key: String, _ text: String) throws { try put(key, Array(text.utf8)) }

    private func run(_ change: (inout ETL.Limits) -> Void = { _ in }) throws -> ETL.Result {
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        change(&limits)
        return try ETL(raw: raw, lake: lake, limits: limits).run { _, _ in }
    }

    private func ids() throws -> [String] {
        var found: [String] = []
        let reader = LakeReader(store: lake)
        for day in try reader.days() {
            try reader.scan(days: day...day, columns: ["transaction_id"]) { batch in
                let texts = try batch.texts("transaction_id")
                found += (0..<batch.count).compactMap { texts[$0] }
            }
        }
        return found.sorted()
    }

    private func reasons() throws -> [String] {
        try lake.listAll(prefix: "rejected/").flatMap { summary in
            String(decoding: try lake.get(summary.key)?.bytes ?? [], as: UTF8.self).split(separator: "\n")
        }.map { try JSONDecoder().decode(RejectedRow.self, from: Data($0.utf8)).reason }
    }

    /// A CSV file whose one row is read.
    private func reads(_ csv: String) throws {
        try put("a.csv", csv)
        #expect(try run().transactions == 1)
        #expect(try ids() == ["a"])
        #expect(try reasons() == [])
    }

    private func byteOrderMark() throws {
        let mark = "\u{FEFF}"
        try put("a.csv", mark + header + "\n" + row("a") + "\n")
        try put("b.jsonl", mark + json("b") + "\n" + json("c") + "\n")
        try put("c.json", mark + "[\(json("d")),\(json("e"))]")
        #expect(try run().rejected == 0)
        #expect(try ids() == ["a", "b", "c", "d", "e"])
        var batch = TransactionBatch()
        let rejections = Array((mark + json("f")).utf8).withUnsafeBytes {
            TransactionParser().parse([$0], into: &batch)
        }
        #expect(rejections.isEmpty)
        let table = try readCSVTable(Array((mark + "x\n1\n").utf8), name: "t", labelColumn: nil)
        #expect(table.columns == ["x"])
    }

    private func utf16() throws {
        func utf16(_ text: String) -> [UInt8] {
            text.utf16.reduce(into: [0xFF, 0xFE]) { $0 += [UInt8(truncatingIfNeeded: $1), 0] }
        }
        try put("a.csv", utf16(header + "\n" + row("a")))
        try put("b.jsonl", utf16(json("b")))
        try put("c.jsonl", json("c"))
        #expect(try run().rejected == 2)
        #expect(try ids() == ["c"])
        #expect(try reasons().allSatisfy { $0.contains("UTF-16") })
    }

    private func endsOfLines() throws {
        for (index, end) in ["\n", "\r\n", "\r"].enumerated() {
            try put("\(index).csv", header + end + row("\(index)") + end)
        }
        #expect(try run().rejected == 0)
        #expect(try ids() == ["0", "1", "2"])
    }

    private func columnTwice() throws {
        try put("a.csv", header + ",amount\n" + row("x") + ",2\n")
        try put("b.csv", header + ",note,note\n" + row("a") + ",1,2\n")
        #expect(try run().refused.count == 1)
        #expect(try ids() == ["a"])
        #expect(try reasons().first?.contains("amount twice") == true)
    }

    private func semicolons() throws {
        let text = header + "\n" + row("x") + "\n"
        try put("a.csv", text.replacing(",", with: ";"))
        try put("b.jsonl", json("b"))
        #expect(try run().rejected == 1)
        #expect(try reasons().first?.contains("not by ';'") == true)
    }

    private func fieldCounts() throws {
        try put(
            "a.csv", [header, "x,u,1", row("y") + ",more", row("a") + ",", row("b")].joined(separator: "\n"))
        #expect(try run().rejected == 2)
        #expect(try ids() == ["a", "b"])
    }

    private func openQuote() throws {
        try put("a.csv", [header, row("a"), "\"x,u,1,2026-03-01T12:00:00Z"].joined(separator: "\n"))
        #expect(try run().rejected == 1)
        #expect(try ids() == ["a"])
        #expect(try reasons().first?.contains("quotes") == true)
    }

    private func hidden() throws {
        let keys = [
            "_SUCCESS", ".a.csv.crc", "_temporary/0/b.csv", ".ipynb_checkpoints/c.csv", "sales_$folder$",
            "empty.txt",
        ]
        for key in keys {
            try put(key, key == "empty.txt" || key.hasPrefix("sales") ? "" : header + "\n" + row("x"))
        }
        try put("sales/a.csv", header + "\n" + row("a"))
        #expect(try run().passedOver.count == keys.count)
        #expect(try ids() == ["a"])
    }

    private func otherKind() throws {
        try put("a.jsonl", json("a"))
        try put("b.xlsx", "PK")
        #expect { try run() } throws: { error in
            guard case TrainingError.invalidRequest(let field, _) = error else { return false }
            return field == "raw/b.xlsx"
        }
        #expect(try ids() == [])
    }

    private func sourceWithout() throws {
        try put("a.csv", header + "\n" + row("a"))
        try put("b.csv", "something;else\n")
        #expect(try run().refused.count == 1)
        try raw.delete("raw/a.csv")
        #expect { try run() } throws: { error in
            guard case TrainingError.noData(let reason) = error else { return false }
            return reason.contains("raw/b.csv, line 1")
        }
        #expect(try ids() == ["a"])
    }

    private func becomesUnreadable() throws {
        try put("a.csv", header + "\n" + row("a"))
        try put("b.csv", header + "\n" + row("b"))
        _ = try run()
        try put("a.csv", "garbage\n")
        #expect(try run().refused.count == 1)
        #expect(try ids() == ["a", "b"])
    }

    private func parquet(_ ids: [String]) throws -> [UInt8] {
        let writer = try ParquetWriter(columns: [ParquetColumn("transaction_id", .text)])
        try writer.append([.text(TextColumn(ids))])
        return try writer.finish()
    }

    private func foldersOfLakes() throws {
        let keys = [
            "2026/03/01/A.PARQUET", "year=2026/month=3/day=1/b.parquet",
            "year=2026/month=03/day=01/c.parquet",
            "date=2026-03-01/d.parquet", "dt=2026-03-01/e.parquet",
        ]
        for key in keys { try lake.put("processed/\(key)", try parquet([key]), if: .always) }
        #expect(try ids() == keys.sorted())
        #expect(try LakeReader(store: lake).unreadKeys() == [])
    }

    private func otherFiles() throws {
        let keys = ["processed/2026/03/a.parquet", "processed/notes.txt", "processed/2026-03-01/b.parquet"]
        for key in keys { try lake.put(key, [1], if: .always) }
        #expect(try LakeReader(store: lake).days() == [])
        #expect(try Set(LakeReader(store: lake).unreadKeys()) == Set(keys))
    }

    private func bomb() throws {
        let writer = try ParquetWriter(columns: [ParquetColumn("amount", .real)])
        try writer.append([.real(Array(repeating: 0, count: 2_000_000))])
        try lake.put("processed/2026/03/01/a.parquet", try writer.finish(), if: .always)
        let reader = LakeReader(store: lake)
        let day = try #require(LakeDay(parsing: "2026-03-01"))
        #expect { try reader.scan(days: day...day, columns: ["amount"]) { _ in } } throws: { error in
            guard case LakeError.tooLarge(let file, _) = error else { return false }
            return file.hasSuffix("2026/03/01/a.parquet")
        }
    }

    private func compressed() throws {
        try put("a.jsonl.gz", Array(CompressedSourceTests.gzip))
        #expect(try run().transactions == 12)
    }

    private func cutOff() throws {
        try put("a.jsonl.gz", Array(CompressedSourceTests.gzip.dropLast()))
        #expect { try run() } throws: { "\($0)".contains("a.jsonl.gz") }
        #expect(try ids() == [])
    }

    private func blownUp() throws {
        try put("a.csv.zst", Array(CompressedSourceTests.bomb))
        #expect {
            try run { $0.inflatedBytes = 1 << 18 }
        } throws: { error in
            guard case LakeError.tooLarge(let file, _) = error else { return false }
            return file.hasSuffix("a.csv.zst")
        }
    }

    private func leftOut() throws {
        try put("a.jsonl.gz", Array(CompressedSourceTests.gzip.dropLast()))
        try put("b.csv", header + "\n" + row("b"))
        let result = try run { $0.badFiles = .skip }
        #expect(result.skipped.count == 1 && result.skipped[0].contains("a.jsonl.gz"))
        #expect(try ids() == ["b"])
    }

    /// In parts, so that some of them are of one file and some of the other.
    private func replaced() throws {
        let key = "processed/2026/03/01/a.parquet"
        try lake.put(key, try parquet((0..<20_000).map { "\($0 &* 7_919)" }), if: .always)
        var settings = ReadSettings()
        settings.wholeFileBytes = 0
        settings.footerBytes = 1_000
        let reader = LakeReader(store: lake, settings: settings)
        let day = try #require(LakeDay(parsing: "2026-03-01"))
        #expect {
            try reader.scan(days: day...day, columns: ["transaction_id"], batchRows: 1_000) { batch in
                if batch.fileRow(0) == 0 { try lake.put(key, try parquet(["other"]), if: .always) }
            }
        } throws: { error in
            if case LakeError.changed = error { true } else { false }
        }
    }
}
