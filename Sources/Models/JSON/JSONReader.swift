import Exact
import Foundation

/// Reads JSON from front to back, without a tree: artifacts' headers and manifests are read by the thousand.
///
/// Strict (RFC 8259), but for the texts `nan`, `inf` and `-inf` where a number is wanted. Bytes from outside never trap.
struct JSONReader {
    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    static let maximumDepth = 32

    let bytes: UnsafeRawBufferPointer
    var at = 0
    private var depth = 0

    /// - Parameter bytes: Valid while this reader is used.
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    // MARK: Structure

    /// A member's name where it stands. Compared with `switch` without making a text of it.
    struct Name {
        fileprivate let raw: UnsafeRawBufferPointer
        fileprivate let isEscaped: Bool

        static func ~= (expected: StaticString, name: Name) -> Bool {
            guard !name.isEscaped, name.raw.count == expected.utf8CodeUnitCount,
                let start = name.raw.baseAddress
            else { return false }
            return memcmp(start, expected.utf8Start, name.raw.count) == 0
        }

        func text() throws -> String {
            if !isEscaped, let text = String(validating: raw, as: UTF8.self) { return text }
            var reader = JSONReader(raw)
            return try reader.escapedText(upTo: nil)
        }
    }

    /// Reads an object; `member` is called after each name and reads or skips its value.
    mutating func object(_ member: (inout JSONReader, Name) throws -> Void) throws {
        try open("{")
        if try !close("}") {
            repeat {
                let name = try name()
                try expect(":")
                try member(&self, name)
            } while try another(until: "}")
        }
    }

    /// Reads an array; `element` is called at each element and reads or skips it.
    mutating func array(_ element: (inout JSONReader) throws -> Void) throws {
        try open("[")
        if try !close("]") {
            repeat { try element(&self) } while try another(until: "]")
        }
    }

    /// Reads an object whose names are data.
    mutating func dictionary<Value>(
        _ value: (inout JSONReader) throws -> Value
    ) throws -> [String: Value] {
        var values: [String: Value] = [:]
        try object { reader, name in values[try name.text()] = try value(&reader) }
        return values
    }

    /// Whether an array is next.
    var isAtArray: Bool {
        mutating get { peek() == UInt8(ascii: "[") }
    }

    /// Reads an array whose elements are all alike.
    mutating func elements<Element>(
        _ element: (inout JSONReader) throws -> Element
    ) throws -> [Element] {
        var elements: [Element] = []
        try array { elements.append(try element(&$0)) }
        return elements
    }

    /// Reads `null` as nil, and anything else with `value`.
    mutating func optional<Value>(_ value: (inout JSONReader) throws -> Value) throws -> Value? {
        if peek() == UInt8(ascii: "n") {
            try word("null")
            return nil
        }
        return try value(&self)
    }

    /// `true` or `false`.
    mutating func flag() throws -> Bool {
        let isTrue = peek() == UInt8(ascii: "t")
        try word(isTrue ? "true" : "false")
        return isTrue
    }

    /// Passes over a value, checking it.
    mutating func skip() throws {
        switch peek() {
        case UInt8(ascii: "{"): try object { reader, _ in try reader.skip() }
        case UInt8(ascii: "["): try array { try $0.skip() }
        case UInt8(ascii: "\""): _ = try text()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        default: _ = try numberToken()
        }
    }

    /// Passes over a value that was read as a whole before: looks at texts and brackets alone.
    mutating func passKnown() throws {
        var open = 0
        repeat {
            switch peek() {
            case UInt8(ascii: "{"), UInt8(ascii: "["): open += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): open -= 1
            case UInt8(ascii: "\""):
                at += 1
                _ = try passText()
                continue
            case nil: throw malformed("no value")
            default:
                if open == 0 { return try skip() }
            }
            at += 1
        } while open > 0
        if open < 0 { throw malformed("no value") }
    }

    /// - Throws: When something follows the value.
    mutating func end() throws {
        if peek() != nil { throw malformed("something follows") }
    }

    private mutating func open(_ bracket: Unicode.Scalar) throws {
        try expect(bracket)
        depth += 1
        if depth > Self.maximumDepth { throw malformed("it is nested too deeply") }
    }

    private mutating func close(_ bracket: Unicode.Scalar) throws -> Bool {
        guard peek() == UInt8(ascii: bracket) else { return false }
        at += 1
        depth -= 1
        return true
    }

    private mutating func another(until bracket: Unicode.Scalar) throws -> Bool {
        if try close(bracket) { return false }
        try expect(",")
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws {
        guard peek() == UInt8(ascii: character) else { throw malformed("no '\(character)'") }
        at += 1
    }

    private mutating func word(_ word: StaticString) throws {
        let count = word.utf8CodeUnitCount
        guard at + count <= bytes.count,
            UnsafeRawBufferPointer(rebasing: bytes[at..<at + count]).elementsEqual(
                UnsafeBufferPointer(start: word.utf8Start, count: count))
        else { throw malformed("no value") }
        at += count
    }

    /// The next byte that is not white space.
    mutating func peek() -> UInt8? {
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): at += 1
            default: return bytes[at]
            }
        }
        return nil
    }

    func malformed(_ reason: String) -> Malformed {
        Malformed(description: "no JSON that can be read: \(reason) at byte \(at)")
    }
}

// MARK: - Texts

extension JSONReader {
    mutating func text() throws -> String {
        try expect("\"")
        let start = at
        let isEscaped = try passText()
        if isEscaped {
            at = start
            return try escapedText(upTo: UInt8(ascii: "\""))
        }
        let raw = UnsafeRawBufferPointer(rebasing: bytes[start..<at - 1])
        guard let text = String(validating: raw, as: UTF8.self) else {
            throw malformed("a text is not UTF-8")
        }
        return text
    }

    /// A text, if it is this one: then no other is made of it. Nothing is read if not.
    mutating func text(ifEqual expected: String) -> String? {
        guard peek() == UInt8(ascii: "\""), let found = bytes.baseAddress else { return nil }
        var expected = expected
        let end = at + 1 + expected.utf8.count
        guard end < bytes.count, bytes[end] == UInt8(ascii: "\"") else { return nil }
        let start = found + at + 1
        let isEqual = expected.withUTF8 { $0.baseAddress.map { memcmp(start, $0, end - at - 1) == 0 } }
        guard isEqual ?? false else { return nil }
        at = end + 1
        return expected
    }

    private mutating func name() throws -> Name {
        try expect("\"")
        let start = at
        let isEscaped = try passText()
        return Name(raw: UnsafeRawBufferPointer(rebasing: bytes[start..<at - 1]), isEscaped: isEscaped)
    }

    /// Passes over a text and the quote after it.
    ///
    /// - Returns: Whether there are escapes in it.
    private mutating func passText() throws -> Bool {
        var isEscaped = false
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return isEscaped
            case UInt8(ascii: "\\"):
                isEscaped = true
                at += 1
            case 0..<32: throw malformed("a control character in a text")
            default: break
            }
        }
        throw malformed("a text does not end")
    }

    /// - Parameter quote: Ends the text; nil: the end of the bytes does.
    private mutating func escapedText(upTo quote: UInt8?) throws -> String {
        var decoded: [UInt8] = []
        while at < bytes.count, bytes[at] != quote {
            let byte = bytes[at]
            at += 1
            if byte == UInt8(ascii: "\\") { decoded += try escape() } else { decoded.append(byte) }
        }
        if quote != nil { at += 1 }
        guard let text = String(validating: decoded, as: UTF8.self) else {
            throw malformed("a text is not UTF-8")
        }
        return text
    }

    private mutating func escape() throws -> [UInt8] {
        guard at < bytes.count else { throw malformed("a text does not end") }
        defer { at += 1 }
        switch bytes[at] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [bytes[at]]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"):
            var code = try hexadecimalUnit()
            if code & 0xFC00 == 0xD800 {
                guard at + 2 < bytes.count, bytes[at + 1] == UInt8(ascii: "\\"),
                    bytes[at + 2] == UInt8(ascii: "u")
                else { throw malformed("half a surrogate pair") }
                at += 2
                let low = try hexadecimalUnit()
                guard low & 0xFC00 == 0xDC00 else { throw malformed("half a surrogate pair") }
                code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
            }
            guard let scalar = Unicode.Scalar(code) else { throw malformed("half a surrogate pair") }
            return Array(String(Character(scalar)).utf8)
        default: throw malformed("an unknown escape")
        }
    }

    /// The four digits after the `u` at which the reader stands; afterwards it stands at the last of them.
    private mutating func hexadecimalUnit() throws -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            at += 1
            guard at < bytes.count, let digit = Hex.value(ofDigit: bytes[at]) else {
                throw malformed("an unknown escape")
            }
            code = code << 4 | UInt32(digit)  // fits: four bits
        }
        return code
    }
}
