import Foundation
import Testing

@testable import Lake

/// Compressed raw files, taken apart piece by piece.
@Suite struct InflaterTests {
    /// Twelve lines of JSON, compressed by gzip(1) and zstd(1).
    static let gzip = Data(
        base64Encoded:
            "H4sIAAAAAAACA6WTwQrCMAxA735GzlOSbu22focnL1J0hx7aydqehv/uhpcNjAqBXELg8XiQGfLkYnK37Md4"
            + "9XewkBEqKGmY3mtZVxfGEjNYPOkKsg9Dyi48lqtCZY5Iy5wJLa5zgedh/oClPZY2WGKx6idW7bFqg1UC25qP"
            + "UAtsGz5CI7DVfAQtsDV8BCOwbfkIrcC24yN0Atuej9ALbAm//IPoz4jvQP9+2gsjpJWPGAQAAA==")!
    static let zstd = Data(
        base64Encoded:
            "KLUv/WQYA6UEADIGFRhwrQ7+XSuQVgij1v/v5AP+l2IsLP3cZQH/9QhyHIaxllJFQRC7u/+ByYoyfXIVrsJa"
            + "XTNDr8noPCcdqEGZJZzPazNy4nRglWZu3AIfJ5kWYYukpR2gEOgK+x9jkK6CguQB26Zc2LbWRloJbSBhAwk7"
            + "kLCBhA2k2EDCBpUQiA2xpEZyIwsGkI9maUO4rIdgXwZeM3aQ")!
    /// A mebibyte of zeros, compressed by zstd(1).
    static let bomb = Data(
        base64Encoded:
            "KLUv/aQAABAAVAAAEAAAAQD7/znAAgIAEAACABAAAgAQAAIAEAACABAAAgAQAAMAEADxPhbh")!

    static let text = (0..<12).map { number in
        "{\"transaction_id\":\"t\(number)\",\"user_id\":\"u\(number % 3)\",\"amount\":\(number).5,"
            + "\"timestamp\":\"2026-01-0\(number % 2 + 1)T10:00:00Z\"}\n"
    }.joined()

    private func inflated(
        _ bytes: Data, _ format: Inflater.Format, pieceBytes: Int, freeBytes: Int = Inflater.freeBytes
    ) throws -> [UInt8] {
        let inflater = try Inflater(format, file: "a file", freeBytes: freeBytes)
        var all: [UInt8] = []
        let bytes = Array(bytes)
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            try bytes[start..<min(start + pieceBytes, bytes.count)].withUnsafeBufferPointer {
                try inflater.read($0) { all += $0 }
            }
        }
        try inflater.finish()
        return all
    }

    private static let files: [(Data, Inflater.Format)] = [(gzip, .gzip), (zstd, .zstd)]

    @Test(arguments: [1, 7, 100, 1 << 20])
    func whateverThePiecesTheTextIsTheSame(pieceBytes: Int) throws {
        for (bytes, format) in Self.files {
            #expect(try inflated(bytes, format, pieceBytes: pieceBytes) == Array(Self.text.utf8))
            // Several files one after the other are one, as for gunzip and unzstd.
            #expect(
                try inflated(bytes + bytes, format, pieceBytes: pieceBytes)
                    == Array((Self.text + Self.text).utf8))
        }
        #expect(try inflated(Data(), .gzip, pieceBytes: pieceBytes).isEmpty)
    }

    @Test func whatIsCutOffOrDamagedIsAnErrorAndNoTrap() throws {
        for (bytes, format) in Self.files {
            for length in [1, 5, 20, bytes.count / 2, bytes.count - 1] {
                #expect(throws: LakeError.self) {
                    try inflated(bytes.prefix(length), format, pieceBytes: 1 << 20)
                }
            }
            #expect(throws: LakeError.self) {
                try inflated(bytes + Data("behind it".utf8), format, pieceBytes: 1 << 20)
            }
            #expect(throws: LakeError.self) {
                try inflated(Data(Self.text.utf8), format, pieceBytes: 1 << 20)
            }
            for place in bytes.indices {
                var damaged = bytes
                damaged[place] ^= 0x55
                // Some bytes say nothing of the content: a gzip's time, say.
                _ = try? inflated(damaged, format, pieceBytes: 1 << 20)
            }
        }
    }

    @Test func aBombIsRefusedWhereItBlowsUp() throws {
        #expect(try inflated(Self.bomb, .zstd, pieceBytes: 1 << 20).count == 1 << 20)
        let error = #expect(throws: LakeError.self) {
            try inflated(Self.bomb, .zstd, pieceBytes: 1 << 20, freeBytes: 1 << 18)
        }
        guard case .tooLarge("a file", _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func theNameSaysWhatItIs() {
        #expect(Inflater.Format(fileName: "raw/a.csv.gz") == .gzip)
        #expect(Inflater.Format(fileName: "raw/a.CSV.GZ") == .gzip)
        #expect(Inflater.Format(fileName: "raw/a.jsonl.zst") == .zstd)
        #expect(Inflater.Format(fileName: "raw/a.gz.csv") == nil)
    }
}
