import DetectorAPI
import Exact
import Foundation
import Testing

@testable import Models

@Suite struct JSONReaderTests {
    private func skips(_ json: String) -> Bool {
        var json = json
        return json.withUTF8 { bytes in
            var reader = JSONReader(UnsafeRawBufferPointer(bytes))
            return (try? (reader.skip(), reader.end())) != nil
        }
    }

    @Test(arguments: [
        "{}", "[]", " [1, -0, 0.5e-3, 1E+2] ", #"{"a":{"b":[null,true,false,"\u00e9\ud83d\ude00\n"]}}"#,
        "\"\"",
        "12345678901234567890123", #"{"\"":1}"#,
    ])
    func isJSON(_ json: String) { #expect(skips(json)) }

    @Test(arguments: [
        "", "{", "}", "[1,]", "{,}", #"{"a"}"#, #"{"a":}"#, "01", "1.", ".5", "-", "1e", "+1", "nul", "tru",
        "\"",
        "\"\\\"", "\"\\x\"", "\"\\u12\"", "[1] 2", "'a'", "{1:2}", "\"a\nb\"",
        String(repeating: "[", count: 100),
        String(repeating: "[", count: 100) + String(repeating: "]", count: 100),
    ])
    func isNoJSON(_ json: String) { #expect(!skips(json)) }

    @Test(arguments: ["\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\ud800", "\"\\u\""])
    func halvesOfSurrogatePairsAreRefused(_ json: String) {
        var json = json
        #expect(throws: JSONReader.Malformed.self) {
            try json.withUTF8 { bytes in
                var reader = JSONReader(UnsafeRawBufferPointer(bytes))
                _ = try reader.text()
            }
        }
    }

    @Test func textsAreUTF8() {
        for bytes in [[0xFF], [0xC3], [0xED, 0xA0, 0x80]] as [[UInt8]] {
            #expect(throws: JSONReader.Malformed.self) {
                try ([UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")]).withUnsafeBytes { bytes in
                    var reader = JSONReader(bytes)
                    _ = try reader.text()
                }
            }
        }
    }

    @Test func numbersAreExact() throws {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            let json = Array("\(value)".utf8)
            let read = try json.withUnsafeBytes { bytes in
                var reader = JSONReader(bytes)
                return try reader.number()
            }
            #expect(read.bitPattern == value.bitPattern)
        }
    }

    @Test(arguments: ["9223372036854775808", "-9223372036854775809", "1.0", "1e3", "-0"])
    func wholeNumbersAreWholeAndFit(_ json: String) {
        var json = json
        #expect(throws: JSONReader.Malformed.self) {
            try json.withUTF8 { bytes in
                var reader = JSONReader(UnsafeRawBufferPointer(bytes))
                _ = try reader.integer()
            }
        }
    }

    @Test func numbersThatDoNotFitAreRefused() {
        for json in ["1e999", "-1e999", "0." + String(repeating: "1", count: 100)] {
            #expect(throws: JSONReader.Malformed.self) {
                try Array(json.utf8).withUnsafeBytes { bytes in
                    var reader = JSONReader(bytes)
                    _ = try reader.number()
                }
            }
        }
    }

    /// What `JSONWriter` writes is what `JSONReader` reads.
    @Test func textsAreWrittenAsTheyAreRead() throws {
        let everything = String(String.UnicodeScalarView((0..<0x250).compactMap(Unicode.Scalar.init))) + "😀"
        var json = JSONWriter()
        json.append(text: everything)
        let read = try json.bytes.withUnsafeBytes { bytes in
            var reader = JSONReader(bytes)
            return try reader.text()
        }
        #expect(read == everything)
    }
}
