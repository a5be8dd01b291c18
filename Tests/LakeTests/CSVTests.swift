import Testing

@testable import Lake

@Suite struct CSVTests {
    private struct Read: Equatable {
        var fields: [String]
        var line: Int
        var problem: CSVParser.Problem?

        init(_ fields: [String], _ line: Int, _ problem: CSVParser.Problem? = nil) {
            self.fields = fields
            self.line = line
            self.problem = problem
        }
    }

    /// Reads the text in pieces of one size.
    private func read(_ text: String, pieceBytes: Int, maximumRecordBytes: Int = 1 << 20) -> [Read] {
        var parser = CSVParser(maximumRecordBytes: maximumRecordBytes)
        var records: [Read] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            parser.parse(Array(bytes[start..<min(bytes.count, start + pieceBytes)])) {
                records.append(Read($0.fields, $0.line, $0.problem))
            }
        }
        parser.finish { records.append(Read($0.fields, $0.line, $0.problem)) }
        return records
    }

    @Test(arguments: [1, 2, 3, 1000])
    func readsRecordsHoweverTheyAreCut(pieceBytes: Int) {
        let cases: [(String, [Read])] = [
            ("", []),
            ("a,b\r\n1,2\r\n", [Read(["a", "b"], 1), Read(["1", "2"], 2)]),
            ("a,b\n1,2", [Read(["a", "b"], 1), Read(["1", "2"], 2)]),
            ("a\rb\r", [Read(["a"], 1), Read(["b"], 2)]),
            ("\u{FEFF}a,b\n", [Read(["a", "b"], 1)]),
            ("é", [Read(["é"], 1)]),
            ("a,\n,\n", [Read(["a", ""], 1), Read(["", ""], 2)]),
            ("a\n\n\r\n\nb\n", [Read(["a"], 1), Read(["b"], 5)]),
            ("\"a,b\",\"c\"\"d\"\n\"\",\"\"\"\"\n", [Read(["a,b", "c\"d"], 1), Read(["", "\""], 2)]),
            ("\"\"\n", [Read([""], 1)]),
            ("\"two\r\nlines\",x\r\ny,z", [Read(["two\r\nlines", "x"], 1), Read(["y", "z"], 3)]),
            ("\"a\nb\n\nc\"\nd", [Read(["a\nb\n\nc"], 1), Read(["d"], 5)]),
            ("grüße,日本", [Read(["grüße", "日本"], 1)]),
        ]
        for (text, expected) in cases {
            #expect(read(text, pieceBytes: pieceBytes) == expected, "\(text.debugDescription)")
        }
    }

    @Test(arguments: [1, 2, 5, 1000])
    func brokenRecordsAreHandedOverAndTheNextIsSound(pieceBytes: Int) {
        let cases: [(String, [Read])] = [
            ("a\"b,c\nd,e\n", [Read(["a"], 1, .strayQuote), Read(["d", "e"], 2)]),
            ("x,\"a\"b,c\nd\n", [Read(["x", "a"], 1, .textAfterQuote), Read(["d"], 2)]),
            ("a\n\"b\nc\n", [Read(["a"], 1), Read(["b\nc\n"], 2, .unclosedQuote)]),
            ("a,\"", [Read(["a", ""], 1, .unclosedQuote)]),
        ]
        for (text, expected) in cases {
            #expect(read(text, pieceBytes: pieceBytes) == expected, "\(text.debugDescription)")
        }
    }

    @Test(arguments: [1, 3, 1000])
    func recordsThatAreTooLongEndAtTheirLine(pieceBytes: Int) {
        let records = read(
            "\"abcdefghijklm\nno\nx,y\n,,,,,,,,,,,,,\nz\n", pieceBytes: pieceBytes, maximumRecordBytes: 10)
        #expect(records.map(\.problem) == [.tooLong, nil, nil, .tooLong, nil])
        #expect(records.map(\.line) == [1, 2, 3, 4, 5])
    }

    @Test(arguments: [1, 4, 1000])
    func theRawRecordIsKept(pieceBytes: Int) {
        let text = "\u{FEFF}a,\"b\r\nc\"\r\n\r\nx\"y,z\nlast"
        var parser = CSVParser()
        var raw: [String] = []
        let take = { (record: CSVParser.Record) in raw.append(String(decoding: record.raw, as: UTF8.self)) }
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            parser.parse(Array(bytes[start..<min(bytes.count, start + pieceBytes)]), take)
        }
        parser.finish(take)
        #expect(raw == ["a,\"b\r\nc\"", "x\"y,z", "last"])
    }

    @Test func anyBytesAreReadTheSameHoweverTheyAreCut() {
        let seed: UInt64 = 11
        var random = SeededGenerator(seed: seed)
        let alphabet: [Character] = ["a", "b", ",", "\"", "\n", "\r", "\u{FEFF}"]
        for _ in 0..<3000 {
            let text = String(
                (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                    alphabet.randomElement(using: &random) ?? "a"
                })
            let limit = Int.random(in: 1..<50, using: &random)
            let whole = read(text, pieceBytes: 1000, maximumRecordBytes: limit)
            let cut = read(text, pieceBytes: Int.random(in: 1..<5, using: &random), maximumRecordBytes: limit)
            #expect(whole == cut, "seed \(seed): \(text.debugDescription)")
        }
    }
}

@Suite struct TableTests {
    @Test func readsTheNumericColumnsOfCSV() throws {
        let text = "name,x,y,label\r\nann,1,0.5,0\r\nbob,,-2e3,1\r\n\"c,d\",NA, 7 ,true\r\n"
        let table = try readCSVTable(Array(text.utf8), name: "t.csv", labelColumn: "label")
        #expect(table.columns == ["x", "y"])
        #expect(table.skippedColumns == ["name"])
        #expect(table.count == 3)
        #expect(table.labels == [false, true, true])
        #expect(
            table.values.map(\.bitPattern)
                == [1, 0.5, .nan, -2000, .nan, 7].map { (x: Float) in x.bitPattern })
        #expect(
            try readCSVTable(Array(text.utf8), name: "t.csv", labelColumn: nil).skippedColumns == [
                "name", "label",
            ])
    }

    @Test(arguments: [
        ("x,label\n1,0\n2\n", 3, "1 fields"), ("x,label\n1,0\n\n2,0,3\n", 4, "3 fields"),
        ("x,label\n1,maybe\n", 2, "maybe"), ("x,label\n1,\n", 2, "label"), ("x,label\n1,nan\n", 2, "label"),
        ("label,label\n", 1, "two columns"), ("", 1, "header"), ("x,label\n\"1\n,0\n", 2, "within quotes"),
        ("x,label\n\"a\n\nb\",0\n1\"2,0\n", 5, "quote"),
    ])
    func namesTheLineOfABadRecord(_ text: String, _ line: Int, _ reason: String) {
        #expect {
            try readCSVTable(
                Array(text.utf8), name: "t.csv", labelColumn: "label")
        } throws: { error in
            guard case LakeError.badLine("t.csv", line, let found) = error else { return false }
            return found.contains(reason)
        }
    }

    @Test func columnsWithoutANameAndNamesThatComeTwiceLoseNothing() throws {
        let text = "a,b,a,y,,\n1,2,3,yes,,\n4,5,6,F,,\n7,8,9,0"
        let table = try readCSVTable(Array((text + ",,\n").utf8), name: "t.csv", labelColumn: "y")
        #expect(table.columns == ["a", "b", "a.1"])
        #expect(table.values == [1, 2, 3, 4, 5, 6, 7, 8, 9])
        #expect(table.labels == [true, false, false])
    }

    /// As 32-bit floats 128 seconds of our days are one number.
    @Test func timesAsFeaturesKeepTheirDifferences() throws {
        let rows = (0..<200).map { "\(1_700_000_000 + $0).25,\($0),1" }
        let table = try readCSVTable(
            Array((["t,x,c"] + rows).joined(separator: "\n").utf8), name: "t.csv", labelColumn: nil)
        #expect(table.offsets == [1_700_000_100, 0, 0])
        #expect((0..<200).allSatisfy { table.values[3 * $0] == Float($0) - 99.75 })
        #expect(
            (0..<200).allSatisfy { table.values[3 * $0 + 1] == Float($0) && table.values[3 * $0 + 2] == 1 })
    }

    @Test func aLabelThatIsNotThereIsNamed() {
        #expect(throws: LakeError.missingColumn(file: "t.csv", column: "z", existing: ["x", "y"])) {
            try readCSVTable(Array("x,y\n".utf8), name: "t.csv", labelColumn: "z")
        }
    }

    @Test func readsTheNumericColumnsOfParquet() throws {
        let writer = try ParquetWriter(
            columns: [
                ParquetColumn("x", .real), ParquetColumn("name", .text), ParquetColumn("n", .integer),
                ParquetColumn("is_anomaly", .boolean), ParquetColumn("b", .boolean),
            ], rowGroupRows: 2)
        try writer.append([
            .real([1, .nan, 3]), .text(TextColumn(["a", "b", "c"])), .integer(NullableColumn([10, 20, 30])),
            .boolean(NullableColumn([false, true, false])), .boolean(NullableColumn([true, true, false])),
        ])
        let bytes = try writer.finish()
        let table = try readParquetTable(bytes, name: "t.parquet", labelColumn: "is_anomaly")
        #expect(table.columns == ["x", "n", "b"])
        #expect(table.skippedColumns == ["name"])
        #expect(table.labels == [false, true, false])
        #expect(
            table.values.map(\.bitPattern)
                == [1, 10, 1, .nan, 20, 1, 3, 30, 0].map { (x: Float) in x.bitPattern })
        #expect(
            try readParquetTable(bytes, name: "t", labelColumn: nil).columns == ["x", "n", "is_anomaly", "b"])
        let existing = ["x", "name", "n", "is_anomaly", "b"]
        #expect(throws: LakeError.missingColumn(file: "t", column: "z", existing: existing)) {
            try readParquetTable(bytes, name: "t", labelColumn: "z")
        }
        #expect(throws: LakeError.self) {
            try readParquetTable(Array("x,y\n1,2\n".utf8), name: "t", labelColumn: nil)
        }
        #expect(throws: LakeError.self) { try readTable(path: "/nowhere/t.parquet", labelColumn: nil) }
    }

    @Test func timesAreReadAsPeopleWriteThem() throws {
        let text = """
            t,x
            1970-01-01T00:00:01Z,1
            1970-01-01 00:00:02.5,2
            1970-01-02,3
            1970-01-01T01:00:00+01:00,4
            86400001,5

            """
        let table = try readCSVTable(Array(text.utf8), name: "t.csv", labelColumn: nil, timeColumn: "t")
        #expect(table.times == [1000, 2500, 86_400_000, 0, 86_400_001])
        #expect(table.columns == ["x"])
        #expect(table.skippedColumns == [])
        for bad in ["", "yesterday", "nan", "1970-02-30"] {
            #expect {
                try readCSVTable(
                    Array("t,x\n1,1\n\(bad),1\n".utf8), name: "t.csv", labelColumn: nil, timeColumn: "t")
            } throws: { error in
                guard case LakeError.badLine("t.csv", 3, _) = error else { return false }
                return "\(error)".contains("'\(bad)'")
            }
        }
    }

    @Test func timesOfParquetMayBeNumbersTimestampsOrText() throws {
        let writer = try ParquetWriter(
            columns: [
                ParquetColumn("x", .real), ParquetColumn("at", .timestampMilliseconds),
                ParquetColumn("text", .text), ParquetColumn("gap", .real),
            ], rowGroupRows: 2)
        try writer.append([
            .real([3, 1, 2]), .timestampMilliseconds([1_700_000_000_001, 1_700_000_000_000, 5]),
            .text(TextColumn(["2026-01-01", "2026-01-01T00:00:00.001Z", "2025-12-31 23:59:59"])),
            .real([1, .nan, 2]),
        ])
        let bytes = try writer.finish()
        func times(_ column: String) throws -> [Double]? {
            try readParquetTable(bytes, name: "t", labelColumn: nil, timeColumn: column).times
        }
        #expect(try times("x") == [3, 1, 2])
        #expect(try times("at") == [1_700_000_000_001, 1_700_000_000_000, 5])
        let midnight = 1_767_225_600_000.0
        #expect(try times("text") == [midnight, midnight + 1, midnight - 1000])
        #expect(throws: LakeError.badValue(file: "t", column: "gap", row: 1, reason: "there is no time")) {
            try times("gap")
        }
        let table = try readParquetTable(bytes, name: "t", labelColumn: nil, timeColumn: "at")
        #expect(table.columns == ["x", "gap"])
        #expect(table.skippedColumns == ["text"])
    }
}
