import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Training

/// What `etl` holds does not grow with what it reads.
@Suite struct BoundedETLTests {
    private let folder: TemporaryFolder
    private let raw: DirectoryObjectStore

    init() throws {
        folder = try TemporaryFolder()
        raw = folder.store("in")
    }

    private func line(_ id: String, _ day: Int, amount: Int) -> String {
        #"{"transaction_id":"\#(id)","user_id":"u","amount":\#(amount),"timestamp":"2026-01-0\#(day)T10:00:00Z"}"#
            + "\n"
    }

    private func lake(_ name: String, _ change: (inout ETL.Limits) -> Void = { _ in }) throws -> (
        files: [String: [UInt8]?], result: ETL.Result
    ) {
        let lake = folder.store(name)
        // A file of the first day that comes from elsewhere.
        var batch = TransactionBatch()
        batch.append(
            Transaction(
                transactionID: "t3", userID: "x", amount: 2, timestampMilliseconds: 1_767_225_600_000))
        try lake.put(
            "processed/2026/01/01/foreign.parquet", try TransactionColumns.parquetFile(batch, labels: [-1]),
            if: .always)
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        change(&limits)
        let result = try ETL(raw: raw, lake: lake, limits: limits).run { _, _ in }
        let files = try lake.listAll(prefix: "processed/").map { ($0.key, try lake.get($0.key)?.bytes) }
        return (Dictionary(files) { $1 }, result)
    }

    /// A day of more transactions than ids are told apart at a time: the same files, the same repetitions left out.
    @Test func aDayOfMoreIDsThanATableHoldsGivesTheSameLake() throws {
        var random = TestRandom(seed: 4)
        for source in ["a", "b", "c"] {
            let lines = (0..<300).map { _ in
                line("t\(random.below(400))", 1 + random.below(2), amount: random.below(10) / 9)
            }
            try raw.put("raw/\(source).jsonl", Array(lines.joined().utf8), if: .always)
        }
        let whole = try lake("whole")
        #expect(whole.result.duplicates > 200 && whole.result.conflicting > 40)
        for dayIDs in [1, 7, 100] {
            let parts = try lake("parts-\(dayIDs)") {
                $0.dayIDs = dayIDs
                $0.memoryBytes = 20_000
            }
            #expect(parts.result == whole.result)
            #expect(parts.files == whole.files)
        }
    }

    /// At most so many digests are compared at a time, give or take what chance does to the parts.
    @Test func idsAreComparedPartByPart() throws {
        var rows = RepeatedRows(rows: 10_000, idsAtATime: 1_000, scratch: folder.path, memoryBytes: 20_000)
        func digest(_ id: Int) -> IDDigest {
            Array("t\(id)".utf8).withUnsafeBufferPointer { IDDigest($0) }
        }
        func content(_ amount: Int) -> ContentDigest {
            Array("u".utf8).withUnsafeBufferPointer {
                ContentDigest(user: $0, amount: Double(amount), timestampMilliseconds: 0)
            }
        }
        for id in 0..<50 { try rows.addForeign(digest(id), content(1)) }
        // Every id twice, the second time much later, and of some then another transaction.
        for row in 0..<10_000 { try rows.add(digest(row % 5_000), content(row < 9_000 ? 1 : 2)) }
        let found = try rows.found()
        for row in 0..<10_000 {
            let expected: Occurrence =
                row >= 9_000 ? .conflicting : row < 50 || row >= 5_000 ? .repeated : .first
            #expect(found[row] == expected, "\(row)")
        }
        #expect(found.mostAtATime < 1_200)
    }
}
