import Foundation
import Lake
import ObjectStore
import Testing

@testable import Training

/// A source without a row takes nothing out of the lake.
@Suite struct EmptySourceTests {
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

    private func run(_ badFiles: BadFiles = .fail) throws -> ETL.Result {
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        limits.badFiles = badFiles
        return try ETL(raw: raw, lake: lake, limits: limits).run { _, _ in }
    }

    private func files() throws -> [ObjectSummary] { try lake.listAll(prefix: "processed/") }

    private static let header = "transaction_id,user_id,amount,timestamp\n"

    private static func json(_ id: String) -> String {
        #"{"transaction_id":"\#(id)","user_id":"u","amount":1,"timestamp":"2026-01-01T10:00:00Z"}"#
    }

    @Test(
        arguments: [
            ("a.csv", header + "a,u,1,2026-01-01T10:00:00Z\n", header),
            ("a.csv", header + "a,u,1,1767225600\n", ""),
            ("a.jsonl", json("a"), ""), ("a.jsonl", json("a"), "\n\n  \n"), ("a.json", json("a"), "[]"),
        ])
    func oneThatHasBecomeEmptyKeepsItsDaysAndIsNamed(key: String, sound: String, empty: String) throws {
        try put(key, sound)
        #expect(try run().transactions == 1)
        let before = try files()
        #expect(before.count == 1)
        try put(key, empty)
        #expect {
            try run()
        } throws: { error in
            guard case TrainingError.noData(let reason) = error else { return false }
            return reason.contains("raw/\(key), it holds no row") && reason.contains("as they were")
        }
        #expect(try files() == before)

        try put("b.jsonl", Self.json("b"))
        let result = try run()
        #expect(
            result.transactions == 1 && result.refused.count == 1 && result.refused[0].hasPrefix("raw/\(key)")
        )
        #expect(result.kept == before.map(\.key))
        #expect(try files().count == 2)
        // Its transactions are still known.
        try put("b.jsonl", sound.hasPrefix("{") ? sound : Self.json("b"))
        #expect(try run().duplicates == (sound.hasPrefix("{") ? 1 : 0))
    }

    @Test func aFileOfLabelsWithoutALabelIsNamed() throws {
        let header = "transaction_id,label,known_at\n"
        for text in [header + "a,perhaps,2026-01-02T00:00:00Z\n", header, ""] {
            try put("labels/a.csv", text)
            #expect {
                try run()
            } throws: { error in
                guard case TrainingError.noData(let reason) = error else { return false }
                return reason.contains("raw/labels/a.csv, ")
                    && reason.contains(text.contains("perhaps") ? "line 2: label: 'perhaps'" : "no row")
            }
        }
        try put("b.jsonl", Self.json("b"))
        #expect(try run().refused.count == 1)
        try raw.delete("raw/b.jsonl")
        try put("labels/c.csv", header + "a,fraud,2026-01-02T00:00:00Z\n")
        let result = try run()
        #expect(result.labels == 1 && result.refused.count == 1)
    }

    @Test func theOnlyFileIsNamedWhereItIsLeftOut() throws {
        try raw.put("raw/labels/d.csv.gz", Array(CompressedSourceTests.gzip.prefix(100)), if: .always)
        let error = #expect(throws: TrainingError.self) { try run(.skip) }
        #expect("\(String(describing: error))".contains("d.csv.gz"))
    }
}
