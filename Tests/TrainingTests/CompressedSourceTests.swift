import Foundation
import Lake
import ObjectStore
import Testing

@testable import Training

/// Compressed raw files give the lake that the same text gives.
@Suite struct CompressedSourceTests {
    /// Twelve transactions as JSONL, compressed by gzip(1) and zstd(1).
    static let gzip = Data(
        base64Encoded:
            "H4sIAAAAAAACA6WTwQrCMAxA735GzlOSbu22focnL1J0hx7aydqehv/uhpcNjAqBXELg8XiQGfLkYnK3"
            + "7Md49XewkBEqKGmY3mtZVxfGEjNYPOkKsg9Dyi48lqtCZY5Iy5wJLa5zgedh/oClPZY2WGKx6idW7bFq"
            + "g1UC25qPUAtsGz5CI7DVfAQtsDV8BCOwbfkIrcC24yN0Atuej9ALbAm//IPoz4jvQP9+2gsjpJWPGAQA"
            + "AA==")!
    /// A mebibyte of zeros, compressed by zstd(1).
    static let bomb = Data(
        base64Encoded:
            "KLUv/aQAABAAVAAAEAAAAQD7/znAAgIAEAACABAAAgAQAAIAEAACABAAAgAQAAMAEADxPhbh")!
    private static let zstd = Data(
        base64Encoded:
            "KLUv/WQYA6UEADIGFRhwrQ7+XSuQVgij1v/v5AP+l2IsLP3cZQH/9QhyHIaxllJFQRC7u/+ByYoyfXIV"
            + "rsJaXTNDr8noPCcdqEGZJZzPazNy4nRglWZu3AIfJ5kWYYukpR2gEOgK+x9jkK6CguQB26Zc2LbWRloJ"
            + "bSBhAwk7kLCBhA2k2EDCBpUQiA2xpEZyIwsGkI9maUO4rIdgXwZeM3aQ")!
    private static let text = (0..<12).map { number in
        #"{"transaction_id":"t\#(number)","user_id":"u\#(number % 3)","amount":\#(number).5,"#
            + #""timestamp":"2026-01-0\#(number % 2 + 1)T10:00:00Z"}"# + "\n"
    }.joined()

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Runs `etl` over one source, in pieces of some bytes, into a lake of its own.
    private func lake(
        _ key: String, _ bytes: Data, inflatedBytes: Int = Inflater.freeBytes
    ) throws -> (store: DirectoryObjectStore, result: ETL.Result) {
        let name = UUID().uuidString
        let (raw, lake) = (folder.store("raw-\(name)"), folder.store("lake-\(name)"))
        try raw.put("raw/\(key)", Array(bytes), if: .always)
        var limits = ETL.Limits()
        limits.scratchFolder = folder.path
        limits.pieceBytes = 37
        limits.inflatedBytes = inflatedBytes
        return (
            lake,
            try ETL(raw: raw, lake: lake, limits: limits).run { _, part in #expect((0...1).contains(part)) }
        )
    }

    /// The bytes of the days' files: their names are made of the sources' keys.
    private func files(_ lake: DirectoryObjectStore) throws -> [[UInt8]] {
        try lake.listAll(prefix: "processed/").map { try #require(try lake.get($0.key)).bytes }
    }

    @Test func theLakeIsThatOfTheText() throws {
        let plain = try lake("a.jsonl", Data(Self.text.utf8))
        #expect(plain.result.transactions == 12)
        for (key, bytes) in [("a.jsonl.gz", Self.gzip), ("a.jsonl.zst", Self.zstd)] {
            let compressed = try lake(key, bytes)
            #expect(compressed.result.transactions == 12 && compressed.result.rejected == 0)
            #expect(try files(compressed.store) == (try files(plain.store)))
            #expect(try compressed.store.listAll(prefix: "rejected/").isEmpty)
        }
    }

    @Test func whatCannotBeTakenApartIsNamedAndLeavesTheLakeAsItIs() throws {
        let bad: [(String, Data, Int)] = [
            ("a.jsonl.gz", Self.gzip.prefix(100), Inflater.freeBytes),
            ("a.jsonl.zst", Data(Self.text.utf8), Inflater.freeBytes),
            ("a.jsonl.zst", Self.gzip, Inflater.freeBytes),
        ]
        for (key, bytes, inflatedBytes) in bad {
            let error = #expect(throws: LakeError.self) {
                try lake(key, bytes, inflatedBytes: inflatedBytes)
            }
            #expect("\(String(describing: error))".contains(key))
        }
        // What is compressed has a form behind it.
        #expect(throws: TrainingError.self) { try lake("a.gz", Self.gzip) }
        #expect(throws: TrainingError.self) { try lake("a.parquet.gz", Self.gzip) }
    }
}
