import Foundation
import Lake
import ObjectStore
import Testing

@testable import Training

/// Raw files come into the lake once, whatever is run again, and nothing is dropped in silence.
@Suite struct ETLTests {
    private let raw = DirectoryObjectStore(root: NSTemporaryDirectory() + "ml-raw-\(UUID().uuidString)")
    private let lake = DirectoryObjectStore(root: NSTemporaryDirectory() + "ml-lake-\(UUID().uuidString)")

    private func put(_ key: String, _ text: String) throws {
        try raw.put("raw/\(key)", Array(text.utf8), if: .always)
    }

    private func rows() throws -> [String] {
        let reader = LakeReader(store: lake)
        guard let first = try reader.days().first, let last = try reader.days().last else { return [] }
        var found: [String] = []
        try reader.scan(
            days: first...last, columns: ["transaction_id", "user_id", "amount", "timestamp"],
            optionalColumns: ["is_fraud"]
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

    @Test func threeFormatsBecomeOneLake() throws {
        try put(
            "a.csv",
            "transaction_id,user_id,amount,timestamp,merchant_id,is_fraud\nt1,u1,10.5,2026-01-01T10:00:00Z,\"m, 1\",0\nt2,u2,7,1767348000000,,1\n"
        )
        try put(
            "b.jsonl",
            #"{"transaction_id":"t3","user_id":"u1","amount":3,"timestamp":"2026-01-02T00:00:00Z"}"# + "\n")
        try put(
            "c.json",
            #"[{"transaction_id":"t4","user_id":"u9","amount":4,"timestamp":"2026-01-03T00:00:00Z","is_fraud":true}]"#
        )
        let result = try ETL(raw: raw, lake: lake).run { _, _ in }
        #expect(result == .init(sources: 3, transactions: 4, duplicates: 0, rejected: 0))
        #expect(try rows() == ["t1 10.5 false", "t2 7.0 true", "t3 3.0 -", "t4 4.0 true"])
        #expect(
            try LakeReader(store: lake).days().map { "\($0)" } == ["2026-01-01", "2026-01-02", "2026-01-03"])
    }

    @Test func runAgainItAddsNothing() throws {
        try put(
            "a.jsonl", #"{"transaction_id":"t1","user_id":"u","amount":1,"timestamp":"2026-01-01T00:00:00Z"}"#
        )
        // The same transaction once more in another file, and twice in one.
        try put(
            "b.jsonl",
            #"{"transaction_id":"t1","user_id":"u","amount":1,"timestamp":"2026-01-01T00:00:00Z"}"# + "\n"
                + #"{"transaction_id":"t2","user_id":"u","amount":2,"timestamp":"2026-01-01T00:00:00Z"}"#
                + "\n"
                + #"{"transaction_id":"t2","user_id":"u","amount":2,"timestamp":"2026-01-01T00:00:00Z"}"#)
        for _ in 0..<3 {
            let result = try ETL(raw: raw, lake: lake).run { _, _ in }
            #expect(result.transactions == 2)
            #expect(result.duplicates == 2)
            #expect(try rows() == ["t1 1.0 -", "t2 2.0 -"])
        }
    }

    @Test func badRowsAreKeptWithTheirReason() throws {
        try put(
            "a.csv",
            "transaction_id,user_id,amount,timestamp\nt1,u1,ten,2026-01-01T00:00:00Z\nt2,u1\nt3,u1,3,2026-01-01T00:00:00Z\n"
        )
        try put("b.jsonl", "garbage\n\n{\"transaction_id\":\"t4\"}\n")
        let result = try ETL(raw: raw, lake: lake).run { _, _ in }
        #expect(result.transactions == 1)
        #expect(result.rejected == 4)
        let kept = try lake.listAll(prefix: "rejected/").flatMap { summary in
            String(decoding: try lake.get(summary.key)?.bytes ?? [], as: UTF8.self).split(separator: "\n")
        }.map { try JSONDecoder().decode(RejectedRow.self, from: Data($0.utf8)) }
        #expect(kept.count == 4)
        #expect(Set(kept.map(\.source)) == ["raw/a.csv", "raw/b.jsonl"])
        #expect(kept.first { $0.source == "raw/b.jsonl" && $0.row == "garbage" }?.line == 1)
        #expect(kept.allSatisfy { !$0.reason.isEmpty })
    }

    @Test func anUnknownKindOfFileIsNamed() throws {
        try put("a.xls", "x")
        #expect(throws: TrainingError.self) { try ETL(raw: raw, lake: lake).run { _, _ in } }
    }
}
