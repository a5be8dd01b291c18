import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Training

/// Raw files come into the lake once, whatever is run again, and nothing is dropped in silence.
@Suite struct ETLTests {
    private let folder: TemporaryFolder
    private let raw: DirectoryObjectStore
    private let lake: DirectoryObjectStore

    init() throws {
        folder = try TemporaryFolder()
        raw = folder.store("in")
        lake = folder.store("lake")
    }

    private func put(_ key: String, _ text: String) throws {
        try raw.put("raw/\(key)", Array(text.utf8), if: .always)
    }

    private func line(_ id: String, _ day: Int = 1, user: String = "u", amount: Int = 1) -> String {
        #"{"transaction_id":"\#(id)","user_id":"\#(user)","amount":\#(amount),"timestamp":"2026-01-0\#(day)T10:00:00Z"}"#
            + "\n"
    }

    @discardableResult
    private func run(_ change: (inout ETL.Limits) -> Void = { _ in }) throws -> ETL.Result {
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        change(&limits)
        return try ETL(raw: raw, lake: lake, limits: limits).run { _, part in #expect((0...1).contains(part))
        }
    }

    private func rows() throws -> [String] {
        let reader = LakeReader(store: lake)
        guard let first = try reader.days().first, let last = try reader.days().last else { return [] }
        var found: [String] = []
        try reader.scan(
            days: first...last, columns: ["transaction_id", "user_id", "amount", "timestamp"],
            optionalColumns: ["is_fraud", "merchant_id", "latitude"]
        ) { batch in
            let ids = try batch.texts("transaction_id")
            let amounts = try batch.reals("amount")
            let labels = try batch.booleans("is_fraud")
            for row in 0..<batch.count {
                found.append("\(ids[row] ?? "") \(amounts[row]) \(labels[row].map { "\($0)" } ?? "-")")
            }
        }
        return found.sorted()
    }

    private func rejected() throws -> [RejectedRow] {
        try lake.listAll(prefix: "rejected/").flatMap { summary in
            String(decoding: try lake.get(summary.key)?.bytes ?? [], as: UTF8.self).split(separator: "\n")
        }.map { try JSONDecoder().decode(RejectedRow.self, from: Data($0.utf8)) }
    }

    private func files() throws -> [ObjectSummary] { try lake.listAll(prefix: "") }

    @Test func threeFormatsBecomeOneLake() throws {
        try put(
            "a.csv",
            """
            amount,transaction_id,colour,user_id,timestamp,merchant_id,is_fraud,latitude
            10.5,t1,red,u1,2026-01-01T10:00:00Z,"m ""1"", 2",0,52.1
            +7,t2,,u2,1767348000000,,1,

            """)
        try put("b.jsonl", line("t3", 2, user: "u1", amount: 3) + "\n")
        try put(
            "deep/c.json",
            """
            [ {"transaction_id":"t4","user_id":"u9","amount":4,"timestamp":"2026-01-03T00:00:00Z","is_fraud":true,
               "extra":{"is_fraud":false,"list":["]",{"a":"\\"}"}]}},
              {"is_fraud":0,"transaction_id":"t5","user_id":"u9","amount":5,"timestamp":"2026-01-03T00:00:01Z"} ]
            """)
        try put("_SUCCESS", "")
        var expected = ETL.Result(sources: 3, transactions: 5)
        expected.passedOver = ["raw/_SUCCESS"]
        #expect(try run() == expected)
        #expect(try rows() == ["t1 10.5 false", "t2 7.0 true", "t3 3.0 -", "t4 4.0 true", "t5 5.0 false"])
        #expect(
            try LakeReader(store: lake).days().map { "\($0)" } == ["2026-01-01", "2026-01-02", "2026-01-03"])
        #expect(try rejected().isEmpty)
    }

    @Test func everyFieldComesThrough() throws {
        let transaction = Transaction(
            transactionID: "t", userID: "ü", amount: -3.25, timestampMilliseconds: 1_767_225_600_123,
            currency: "EUR", merchantID: "m\"\\", category: "c", country: "NL", channel: "pos", deviceID: "d",
            latitude: 52.5, longitude: -4.25)
        try put("a.jsonl", transaction.json())
        try run()
        var found: [Transaction] = []
        try LakeReader(store: lake).scan(
            days: Workshop.start...Workshop.start, columns: TransactionColumns.required,
            optionalColumns: TransactionColumns.optional
        ) { batch in
            func text(_ field: TextField) throws -> String? { try batch.texts(field.key)[0] }
            found.append(
                Transaction(
                    transactionID: try text(.transactionID) ?? "", userID: try text(.userID) ?? "",
                    amount: try batch.reals("amount")[0],
                    timestampMilliseconds: try batch.timestamps("timestamp")[0],
                    currency: try text(.currency), merchantID: try text(.merchantID),
                    category: try text(.category), country: try text(.country), channel: try text(.channel),
                    deviceID: try text(.deviceID), latitude: try batch.reals("latitude")[0],
                    longitude: try batch.reals("longitude")[0]))
        }
        #expect(found == [transaction])
    }

    @Test func runAgainItAddsAndWritesNothing() throws {
        try put("a.jsonl", line("t1") + "garbage\n")
        // The same transaction once more in another file, and twice in one.
        try put("b.jsonl", line("t1") + line("t2", amount: 2) + line("t2", amount: 2))
        try run()
        let before = try files()
        for _ in 0..<2 {
            let result = try run()
            #expect(result == .init(sources: 2, transactions: 2, duplicates: 2, rejected: 1))
            #expect(try rows() == ["t1 1.0 -", "t2 2.0 -"])
            #expect(try files() == before)
        }
    }

    @Test func aNewSourceThatRepeatsAnOldOneAddsOnlyWhatIsNew() throws {
        try put("b.jsonl", line("t1") + line("t2", 2))
        try run()
        // Its key comes first, so its rows do.
        try put("a.jsonl", line("t1") + line("t3", 2))
        let result = try run()
        #expect(result.transactions == 3)
        #expect(result.duplicates == 1)
        #expect(try rows() == ["t1 1.0 -", "t2 1.0 -", "t3 1.0 -"])
        // One id on two days is two transactions.
        try put("c.jsonl", line("t1", 5))
        #expect(try run().transactions == 4)
    }

    @Test func whatASourceNoLongerHasLeavesTheLakeAndOthersFilesStay() throws {
        let workshop = try Workshop(lake: lake)
        try workshop.generate(users: 1, days: 1)
        let generated = try rows().count
        try put("a.jsonl", line("t1") + line("t2", 2) + "bad\n")
        try run()
        #expect(try rows().count == generated + 2)
        try put("a.jsonl", line("t1"))
        try run()
        #expect(try rows().count == generated + 1)
        #expect(try rejected().isEmpty)
        // A source that is gone from raw/ leaves its rows; one that has the same rows adds none.
        try raw.delete("raw/a.jsonl")
        try put("z.jsonl", line("t1"))
        #expect(try run() == .init(sources: 1, transactions: 0, duplicates: 1))
        #expect(try rows().count == generated + 1)
    }

    @Test func badRowsAreKeptWithTheirReason() throws {
        try put(
            "a.csv",
            """
            transaction_id,user_id,amount,timestamp,is_fraud
            t1,u1,ten,2026-01-01T00:00:00Z,
            t2,u1
            t3,u1,3,2026-01-01T00:00:00Z,maybe
            t4,u1,3,2026-01-01T00:00:00Z,no"quote
            t5,u1,3,2026-01-01T00:00:00Z,1

            """)
        try put("b.jsonl", "garbage\n\n{\"transaction_id\":\"t4\"}\n")
        try put("c.json", "[{\"transaction_id\":1}, 5")
        try put("d.csv", "id,amount\n1,2\n")
        try put("e.json", "[]\n and more")
        let result = try run()
        #expect(result.transactions == 1)
        let kept = try rejected()
        #expect(result.rejected == kept.count)
        func reason(_ source: String, _ line: Int) -> String {
            kept.filter { $0.source == "raw/\(source)" && $0.line == line }.map(\.reason).joined(
                separator: "|")
        }
        #expect(reason("a.csv", 2).hasPrefix("amount: wrong-type"))
        #expect(reason("a.csv", 3).contains("2 fields where the header has 5"))
        #expect(reason("a.csv", 4).hasPrefix("is_fraud: wrong-type"))
        #expect(reason("a.csv", 5).contains("quote"))
        #expect(reason("b.jsonl", 1).hasPrefix("not-json"))
        #expect(reason("b.jsonl", 3).hasPrefix("user_id: missing-field"))
        #expect(reason("c.json", 1).contains("user_id: missing-field"))
        #expect(reason("c.json", 1).contains("not-an-object"))
        #expect(reason("c.json", 1).contains("ends before its array"))
        #expect(reason("d.csv", 1).contains("the header lacks transaction_id, user_id, timestamp"))
        #expect(reason("e.json", 2).hasPrefix("not-json"))
        #expect(kept.count == 11)
        #expect(kept.first { $0.source == "raw/b.jsonl" }?.row == "garbage")
    }

    @Test func bytesThatAreNoUTF8AreKeptAsTheyAre() throws {
        let bytes: [UInt8] = Array("{\"transaction_id\":\"".utf8) + [0xFF, 0xFE] + Array("\"}".utf8)
        try raw.put("raw/a.jsonl", bytes, if: .always)
        #expect(throws: TrainingError.self) { try run() }
        let row = try #require(try rejected().first)
        #expect(row.base64.flatMap { Data(base64Encoded: $0) } == Data(bytes))
    }

    /// What exporters write of the same two transactions.
    @Test func exportersFormsAreReadAlike() throws {
        let header = "transaction_id,user_id,amount,timestamp,country,latitude,longitude,is_fraud"
        let rows = [
            "t1,42,12.5,1772366400000.0,NULL,NULL,NULL,0", #"t2,42.0,12.5,1.7723664E+12,\N,\N,\N,false"#,
            "t3,42,12.50,1772366400,,,,f", "t4,42,+12.5,2026-03-01 12:00:00+00,NaN,NaN,NaN,no",
            "t5,42,12.5,2026-03-01 13:00:00.000 +0100,,,,0.0", "t6,42,1.25e1,2026-03-01 12:00:00 UTC,,,,N",
        ]
        try put("a.csv", "\u{FEFF}" + ([header + ",,"] + rows.map { $0 + ",," }).joined(separator: "\r\n"))
        try put(
            "b.jsonl",
            "\u{FEFF}"
                + #"{"transaction_id":"t7","user_id":42,"amount":"12.5","timestamp":1772366400000.0,"is_fraud":"0"}"#
        )
        try put(
            "c.csv",
            "transaction_id,user_id,amount,timestamp,note,note\nt8,42,12.5,2026-03-01T12:00:00Z,a,b\n")
        let result = try run()
        #expect(result == .init(sources: 3, transactions: 8))
        #expect(
            try self.rows() == (1...8).map { "t\($0) 12.5 \($0 == 8 ? "-" : "false")" })
        try LakeReader(store: lake).scan(
            days: LakeDay(
                epochMilliseconds: 1_772_366_400_000)...LakeDay(epochMilliseconds: 1_772_366_400_000),
            columns: ["user_id", "timestamp"], optionalColumns: ["country"]
        ) { batch in
            #expect(try batch.timestamps("timestamp").allSatisfy { $0 == 1_772_366_400_000 })
            let (users, countries) = (try batch.texts("user_id"), try batch.texts("country"))
            #expect((0..<batch.count).allSatisfy { users[$0] == "42" && countries[$0] == nil })
        }
    }

    @Test func namesThatAreNoDataArePassedOverAndSaid() throws {
        try put("sales/part-0.csv", "transaction_id,user_id,amount,timestamp\nt1,u,1,2026-01-01T00:00:00Z\n")
        let others = [
            "sales/_temporary/0/part-1.csv", ".ipynb_checkpoints/part.csv", "_delta_log/0.json",
            "sales_$folder$", "sales/.part-0.csv.crc",
        ]
        for key in others { try put(key, line("x")) }
        let result = try run()
        #expect(result.transactions == 1 && result.sources == 1)
        #expect(Set(result.passedOver) == Set(others.map { "raw/\($0)" }))
    }

    @Test func aSourceThatCannotBeReadAnyMoreLeavesTheLakeAsItWas() throws {
        let good = "transaction_id,user_id,amount,timestamp\nt1,u1,12.5,2026-01-01T12:00:00Z\n"
        try put("day.csv", good)
        try run()
        let before = try rows()
        try put("day.csv", good.replacing(",", with: ";"))
        #expect {
            try run()
        } throws: { error in
            guard case TrainingError.noData(let reason) = error else { return false }
            return reason.contains("raw/day.csv, line 1") && reason.contains("';'")
        }
        #expect(try rows() == before)
        // Beside a sound source it is said, and its transactions are still known.
        try put("other.csv", good + "t2,u1,1,2026-01-01T13:00:00Z\n")
        let result = try run()
        #expect(result.refused.count == 1 && result.duplicates == 1)
        #expect(try rows() == ["t1 12.5 -", "t2 1.0 -"])
    }

    @Test func rejectsKeepTheSourcesLineAndAreBounded() throws {
        try put(
            "a.csv",
            "transaction_id,user_id,amount,timestamp\nt0,u,1,2026-01-01T00:00:00Z\n"
                + (1...500).map { "t\($0),u,\"ten\",2026-01-01T00:00:00Z\n" }.joined())
        let result = try run { $0.rejectedBytes = 10_000 }
        #expect(result.rejected == 500)
        let kept = try rejected()
        #expect(kept[0].row == "t1,u,\"ten\",2026-01-01T00:00:00Z" && kept[0].reason.contains("'ten'"))
        #expect(kept.count < 100)
        #expect(kept.last?.reason.hasPrefix("\(500 - kept.count + 1) more rows") == true)
    }

    @Test func anUnknownKindOfFileIsNamedBeforeAnythingIsWritten() throws {
        try put("a.jsonl", line("t1"))
        try put("b.xls", "x")
        do {
            try run()
            Issue.record("it was read")
        } catch TrainingError.invalidRequest(let field, _) {
            #expect(field == "raw/b.xls")
        }
        #expect(try files().isEmpty)
    }

    @Test func sourcesWithoutARowAreNamed() throws {
        try put("a.csv", "transaction_id,user_id,amount,timestamp\n")
        try put("b.csv", "")
        try put("c.json", "")
        try put("d.jsonl", line("t1"))
        let result = try run()
        #expect(result.transactions == 1 && result.rejected == 0)
        #expect(result.refused.map { $0.prefix(10) } == ["raw/a.csv,", "raw/b.csv,", "raw/c.json"])
    }

    @Test func howPiecesAreCutAndWhatIsSpilledChangesNothing() throws {
        var random = TestRandom(seed: 11)
        var jsonl = ""
        var csv = "user_id,transaction_id,timestamp,amount,merchant_id\r\n"
        var json = "["
        for index in 0..<300 {
            let text = line("j\(index)", 1 + random.below(5), user: "u\(random.below(9))")
            jsonl += text
            json += (index == 0 ? "" : ",") + text.replacing("\"j", with: "\"a")
            csv += "u\(random.below(9)),c\(index),2026-01-0\(1 + random.below(5))T01:02:03+02:00,\(index),"
            csv += "\"m,\n\"\"\(index)\"\r\n"
        }
        try put("a.jsonl", jsonl)
        try put("b.csv", csv)
        try put("c.json", json + "]")
        #expect(try run() == .init(sources: 3, transactions: 900))
        let before = try files()
        let bytes = try before.map { try lake.get($0.key)?.bytes }
        for pieceBytes in [1, 7, 1000] {
            let result = try run {
                $0.pieceBytes = pieceBytes
                $0.memoryBytes = 5_000
            }
            #expect(result == .init(sources: 3, transactions: 900))
            #expect(try files().map(\.key) == before.map(\.key))
            #expect(try before.map { try lake.get($0.key)?.bytes } == bytes)
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(!left.contains { $0.hasPrefix("ml-service-") })
    }

    @Test func aLongDayBecomesSeveralFilesAndNoneIsLeftOver() throws {
        try put("a.jsonl", (0..<25).map { line("t\($0)") }.joined())
        try run { $0.fileRows = 10 }
        #expect(try files().count == 3)
        #expect(try rows().count == 25)
        try run()
        #expect(try files().count == 1)
        #expect(try rows().count == 25)
    }

    @Test func filesAreSortedByUserAndTime() throws {
        try put(
            "a.jsonl",
            (0..<50).map {
                #"{"transaction_id":"t\#($0)","user_id":"u\#($0 * 7 % 10)","amount":1,"timestamp":\#(1_767_225_600_000 + $0 * 13 % 50)}"#
            }
            .joined(separator: "\n"))
        try run()
        var order: [String] = []
        try LakeReader(store: lake).scan(
            days: Workshop.start...Workshop.start, columns: ["user_id", "timestamp"]
        ) {
            let users = try $0.texts("user_id")
            for (row, time) in try $0.timestamps("timestamp").enumerated() {
                order.append("\(users[row] ?? "") \(time)")
            }
        }
        #expect(order.count == 50)
        #expect(order == order.sorted())
    }

    @Test func hugeRecordsDoNotFillTheMemory() throws {
        let long = String(repeating: "x", count: 3_000_000)
        try put("a.jsonl", "{\"a\":\"\(long)\"}\n" + line("t1"))
        try put("b.json", "[{\"a\":\"\(long)\"}," + line("t2") + "]")
        let result = try run { $0.pieceBytes = 100_000 }
        #expect(result == .init(sources: 2, transactions: 2, rejected: 2))
        for row in try rejected() {
            #expect(row.reason.hasPrefix("too-large"))
            #expect(row.row.utf8.count <= RecordSplitting.maximumBytes)
        }
    }

    @Test func aCancelledRunStops() throws {
        try put("a.jsonl", line("t1"))
        #expect(throws: TrainingError.cancelled) {
            try ETL(raw: raw, lake: lake).run(isCancelled: { true }, progress: { _, _ in })
        }
    }

    // MARK: Labels

    @Test(arguments: [
        (#"{"is_fraud":1}"#, 1), (#"{"is_fraud": false }"#, 0), (#"{"is_fraud":"1"}"#, 1),
        (#"{"is_fraud":null}"#, -1), (#"{"a":{"is_fraud":1}}"#, -1), (#"{"a":"is_fraud","b":1}"#, -1),
        (#"{"a":"\"is_fraud\":1"}"#, -1), (#"{"a":["is_fraud",1],"is_fraud":0.0}"#, 0),
        (#"{"is_fraud":0,"is_fraud":true}"#, 1), (#"{"a":"{","is_fraud":1}"#, 1), ("{}", -1),
    ])
    func labelsAreFoundWhereTheyAre(json: String, label: Int) {
        let found = Array(json.utf8).withUnsafeBufferPointer { LabelScanner.label($0) }
        #expect(found.map(Int.init) == label)
    }

    @Test func aLabelOfAnotherTypeIsNone() {
        for json in [#"{"is_fraud":"maybe"}"#, #"{"is_fraud":[1]}"#, #"{"is_fraud":{}}"#] {
            #expect(Array(json.utf8).withUnsafeBufferPointer { LabelScanner.label($0) } == nil)
        }
    }
}
