import Foundation
import Lake
import ObjectStore
import Outcomes
import Testing
import Transactions

@testable import Training

/// Labels that come as files, by `etl`.
@Suite struct LabelLoadingTests {
    private let folder: TemporaryFolder
    private let raw: DirectoryObjectStore
    private let lake: DirectoryObjectStore
    private let now = Workshop.start.adding(days: 30).startMilliseconds

    init() throws {
        folder = try TemporaryFolder()
        raw = folder.store("in")
        lake = folder.store("lake")
    }

    private func put(_ key: String, _ text: String) throws {
        try raw.put("raw/\(key)", Array(text.utf8), if: .always)
    }

    private func run(delayDays: Int64? = nil) throws -> ETL.Result {
        try ETL(raw: raw, lake: lake, labelDelay: delayDays.map { $0 * 86_400_000 }, now: { [now] in now })
            .run { _, _ in }
    }

    private func isFraud(_ id: String, asOf: Int64 = .max) throws -> Bool? {
        try LabelIndex(LabelFiles(lake: lake), asOf: asOf).isFraud(TextHash.hash(id))
    }

    private func rejected() throws -> [RejectedRow] {
        try lake.listAll(prefix: "rejected/").flatMap { summary in
            String(decoding: try lake.get(summary.key)?.bytes ?? [], as: UTF8.self).split(separator: "\n")
        }.map { try JSONDecoder().decode(RejectedRow.self, from: Data($0.utf8)) }
    }

    @Test func csvAndJSONLAreTakenAndARerunChangesNothing() throws {
        try put(
            "labels/a.csv",
            "source,known_at,label,transaction_id\nbank,2026-01-05T10:00:00Z,fraud,t1\n,1767607200000,genuine,t2\n"
        )
        try put(
            "labels/b.jsonl",
            #"{"transaction_id":"t2","label":"fraud","known_at":"2026-01-09T00:00:00Z"}"# + "\n")
        for _ in 0..<2 {
            let result = try run()
            #expect(result.labels == 3 && result.rejected == 0 && result.sources == 2)
            #expect(try LabelFiles(lake: lake).files(in: LabelFiles.allDays).count == 2)
        }
        #expect(try isFraud("t1") == true)
        #expect(try isFraud("t2") == true)
        #expect(try isFraud("t2", asOf: Workshop.start.adding(days: 7).startMilliseconds) == false)
        #expect(try isFraud("t1", asOf: Workshop.start.adding(days: 4).startMilliseconds) == nil)
    }

    /// Contradicting, from the future, of no time, of another kind: each has its reason, and the others are taken.
    @Test func whatIsNoLabelIsRejectedWithItsReason() throws {
        let lines = [
            #"{"transaction_id":"ok","label":"fraud","known_at":"2026-01-05T10:00:00Z"}"#,
            #"{"transaction_id":"x","label":"fraud","known_at":"2026-03-05T10:00:00Z"}"#,
            #"{"transaction_id":"x","label":"dubious","known_at":"2026-01-05T10:00:00Z"}"#,
            #"{"transaction_id":"x","label":"fraud","known_at":"last week"}"#,
            #"{"transaction_id":"x","label":"fraud"}"#, "no JSON",
        ]
        try put("labels/a.jsonl", lines.joined(separator: "\n") + "\n")
        let result = try run()
        #expect(result.labels == 1 && result.rejected == 5)
        let rows = try rejected()
        #expect(rows.map(\.line) == [2, 3, 4, 5, 6])
        for (row, word) in zip(rows, ["future", "dubious", "known_at", "known_at", "JSON"]) {
            #expect(row.reason.contains(word), "\(row)")
        }
        #expect(try isFraud("ok") == true)
        #expect(try isFraud("x") == nil)
    }

    @Test func aHeaderWithoutTheFieldsIsSaidOnce() throws {
        try put("labels/a.csv", "id,label\n1,fraud\n2,fraud\n")
        try put("labels/b.csv", "transaction_id,label,known_at\n1,fraud,2026-01-05T10:00:00Z\n")
        let result = try run()
        #expect(result.labels == 1 && result.refused.count == 1)
        let rows = try rejected()
        #expect(rows.count == 1)
        #expect(rows.first?.reason.contains("transaction_id, known_at") == true, "\(rows)")
    }

    @Test func labelsInsideTransactionsBecomeKnownLater() throws {
        try put(
            "t.csv",
            "transaction_id,user_id,amount,timestamp,is_fraud\nt1,u,1,2026-01-02T10:00:00Z,1\nt2,u,1,2026-01-02T11:00:00Z,0\n"
        )
        let result = try run(delayDays: 7)
        #expect(result.transactions == 2 && result.labels == 2)
        let known = Workshop.start.adding(days: 8).startMilliseconds + 10 * 3_600_000
        #expect(try isFraud("t1", asOf: known - 1) == nil)
        #expect(try isFraud("t1", asOf: known) == true)
        // The rows themselves say nothing any more.
        var own = 0
        try LakeReader(store: lake).scan(
            days: Workshop.start...Workshop.start.adding(days: 3), columns: ["is_fraud"]
        ) { own += try $0.labels("is_fraud").count { $0 != nil } }
        #expect(own == 0)
    }

    /// Labels may come before their transactions, or of transactions that never come.
    @Test func labelsNeedNoTransactions() throws {
        try put(
            "labels/a.jsonl",
            #"{"transaction_id":"never","label":"fraud","known_at":"2026-01-05T10:00:00Z"}"# + "\n")
        #expect(try run().labels == 1)
        let store = ReferenceStore(objects: folder.store("tables"))
        try put("t.csv", "transaction_id,user_id,amount,timestamp\nt1,u,1,2026-01-02T10:00:00Z\n")
        _ = try run()
        let summary = try ReferenceRefresh(lake: lake, store: store).run(asOf: now)
        #expect(summary.waiting == 1 && summary.frauds == 0)
    }
}
