import Foundation
import Lake
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// Different transactions of one day that have one id: the first is in the lake, the others are in rejected/.
@Suite struct RepeatedIDTests {
    private let folder: TemporaryFolder
    private let raw: DirectoryObjectStore
    private let lake: DirectoryObjectStore

    init() throws {
        folder = try TemporaryFolder()
        raw = folder.store("in")
        lake = folder.store("lake")
    }

    private static let header = "transaction_id,user_id,amount,timestamp,is_fraud"
    private static let time = "2026-01-01T10:00:00Z"

    private func put(_ key: String, _ rows: [String]) throws {
        let text = ([Self.header] + rows).joined(separator: "\n")
        try raw.put("raw/\(key).csv", Array(text.utf8), if: .always)
    }

    private func run(delayDays: Int64? = nil, dayIDs: Int = 1 << 20) throws -> ETL.Result {
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        limits.dayIDs = dayIDs
        return try ETL(
            raw: raw, lake: lake, limits: limits, labelDelay: delayDays.map { $0 * 86_400_000 },
            now: { Workshop.start.adding(days: 30).startMilliseconds }
        ).run { _, _ in }
    }

    /// Id, user and amount.
    private func rows() throws -> [String] {
        var found: [String] = []
        try LakeReader(store: lake).scan(
            days: Workshop.start...Workshop.start.adding(days: 1),
            columns: ["transaction_id", "user_id", "amount"]
        ) { batch in
            let (ids, users) = (try batch.texts("transaction_id"), try batch.texts("user_id"))
            let amounts = try batch.reals("amount")
            for row in 0..<batch.count {
                found.append("\(ids[row] ?? "") \(users[row] ?? "") \(amounts[row])")
            }
        }
        return found.sorted()
    }

    private func rejected() throws -> [RejectedRow] {
        try lake.listAll(prefix: "rejected/").flatMap { summary in
            String(decoding: try lake.get(summary.key)?.bytes ?? [], as: UTF8.self).split(separator: "\n")
        }.map { try JSONDecoder().decode(RejectedRow.self, from: Data($0.utf8)) }
    }

    @Test(arguments: [1, 1 << 20])
    func theFirstIsKeptAndTheOthersAreNamed(dayIDs: Int) throws {
        try put(
            "a",
            [
                "a,u,1,\(Self.time),", "a,v,3,\(Self.time),1", "a,u,9,\(Self.time),", "b,u,1,\(Self.time),",
                "a,u,1.0,2026-01-01T11:00:00+01:00,", "a,u,1,2026-01-01T10:00:01Z,",
            ])
        try put("b", ["b,u,1,\(Self.time),", "a,u,1,2026-01-02T10:00:00Z,"])
        let result = try run(dayIDs: dayIDs)
        #expect(result.transactions == 3 && result.duplicates == 2)
        #expect(
            result.conflicting == 3 && result.rejected == 3 && result.firstConflicting == "raw/a.csv, line 3")
        #expect(try rows() == ["a u 1.0", "a u 1.0", "b u 1.0"])
        let rejected = try rejected()
        #expect(rejected.map(\.line) == [3, 4, 7])
        #expect(rejected.allSatisfy { $0.source == "raw/a.csv" && $0.reason.contains("another transaction") })
        #expect(
            rejected[0].row
                == #"{"transaction_id":"a","user_id":"v","amount":3.0,"timestamp":"2026-01-01T10:00:00.000Z","is_fraud":true}"#
        )
        let files = try lake.listAll(prefix: "")
        #expect(try run(dayIDs: dayIDs) == result)
        #expect(try lake.listAll(prefix: "") == files)
        // With ids of their own all are there, and nothing is said any more.
        try put("a", ["a,u,1,\(Self.time),", "c,v,3,\(Self.time),1", "d,u,9,\(Self.time),"])
        #expect(try run(dayIDs: dayIDs).conflicting == 0)
        #expect(try rows() == ["a u 1.0", "a u 1.0", "b u 1.0", "c v 3.0", "d u 9.0"])
        #expect(try self.rejected().isEmpty)
    }

    @Test func aCorrectedRowOfTheSameSourceReplacesTheOldOne() throws {
        try put("a", ["a,u,1,\(Self.time),"])
        _ = try run()
        try put("a", ["a,u,2,\(Self.time),"])
        #expect(try run().conflicting == 0)
        #expect(try rows() == ["a u 2.0"])
    }

    @Test func aFileFromElsewhereGoesFirst() throws {
        func foreign(_ columns: [ParquetColumn], _ values: [ColumnValues]) throws {
            let writer = try ParquetWriter(columns: columns)
            try writer.append(values)
            try lake.put(
                "processed/\(Workshop.start.path)/other.parquet", try writer.finish(), if: .always)
        }
        let id = ParquetColumn("transaction_id", .text)
        try put("a", ["a,u,1,\(Self.time),", "b,u,1,\(Self.time),", "c,u,1,\(Self.time),"])
        let time = Workshop.start.startMilliseconds + 10 * 3_600_000
        try foreign(
            [
                id, ParquetColumn("user_id", .text), ParquetColumn("amount", .real),
                ParquetColumn("timestamp", .timestampMilliseconds),
            ],
            [
                .text(TextColumn(["a", "b"])), .text(TextColumn(["u", "w"])), .real([1, 1]),
                .timestampMilliseconds([time, time]),
            ])
        let result = try run()
        #expect(result.duplicates == 1 && result.conflicting == 1 && result.transactions == 1)
        #expect(result.firstConflicting == "raw/a.csv, line 3")
        // One that has nothing but ids may be of the same transactions.
        try foreign([id], [.text(TextColumn(["a", "b"]))])
        #expect(try run().duplicates == 2)
    }

    /// Its id would give the label to the transaction that is kept.
    @Test func theLabelOfARefusedOneIsNotTaken() throws {
        try put(
            "a",
            ["a,u,1,\(Self.time),0", "a,v,3,\(Self.time),1", "b,u,1,\(Self.time),", "b,u,1,\(Self.time),1"])
        #expect(try run(delayDays: 2).labels == 2)
        let index = try LabelIndex(LabelFiles(lake: lake), asOf: .max)
        #expect(index.isFraud(TextHash.hash("a")) == false)
        // That of a repeated one is: the first came without.
        #expect(index.isFraud(TextHash.hash("b")) == true)
    }
}
