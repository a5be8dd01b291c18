import Foundation

extension JSONReader {
    mutating func number() throws -> Double {
        if peek() == UInt8(ascii: "\"") {
            switch try text() {
            case "nan": return .nan
            case "inf": return .infinity
            case "-inf": return -.infinity
            default: throw malformed("no number")
            }
        }
        let token = try numberToken()
        if let whole = Self.whole(token), whole.magnitude < 1 << 53 { return Double(whole) }
        if let value = Self.short(token) { return value }
        // strtod wants a zero after the digits, which bytes from outside may lack.
        let capacity = 48
        guard token.count < capacity else { throw malformed("a number has too many digits") }
        let value = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { digits in
            for (index, byte) in token.enumerated() { digits[index] = CChar(byte) }
            digits[token.count] = 0
            return digits.baseAddress.map { strtod($0, nil) }
        }
        guard let value, value.isFinite else { throw malformed("a number is too large") }
        return value
    }

    mutating func integer() throws -> Int {
        guard let value = Self.whole(try numberToken()) else { throw malformed("no whole number") }
        return value
    }

    mutating func integer(in range: ClosedRange<Int>) throws -> Int {
        let value = try integer()
        guard range.contains(value) else {
            throw malformed("\(value) is not from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    mutating func unsignedInteger() throws -> UInt64 {
        let token = try numberToken()
        guard let value = UInt64(Substring(decoding: token, as: UTF8.self)) else {
            throw malformed("no whole number")
        }
        return value
    }

    /// A whole number without a fraction or an exponent.
    private static func whole(_ token: UnsafeRawBufferPointer) -> Int? {
        let isNegative = token.first == UInt8(ascii: "-")
        let digits = token.dropFirst(isNegative ? 1 : 0)
        guard digits.count < 19 else { return Int(Substring(decoding: token, as: UTF8.self)) }
        var value = 0
        for byte in digits {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        // -0 is a number that is not whole.
        return isNegative ? (value == 0 ? nil : -value) : value
    }

    /// A number of at most 15 digits and a small exponent: both of its parts are exact, so that one division or
    /// multiplication rounds as it should (W. D. Clinger, PLDI 1990, section 2).
    private static func short(_ token: UnsafeRawBufferPointer) -> Double? {
        var (digits, fraction, at) = (UInt64(0), 0, 0)
        var isFraction = false
        let isNegative = token.first == UInt8(ascii: "-")
        if isNegative { at = 1 }
        loop: while at < token.count {
            switch token[at] {
            case UInt8(ascii: "."): isFraction = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                digits = digits * 10 + UInt64(token[at] - UInt8(ascii: "0"))
                guard digits < 1 << 53 else { return nil }
                if isFraction { fraction += 1 }
            default: break loop
            }
            at += 1
        }
        guard at == token.count, fraction < powersOfTen.count else { return nil }
        let value = Double(digits) / powersOfTen[fraction]
        return isNegative ? -value : value
    }

    /// 10^22 is the largest one that is exact.
    private static let powersOfTen: [Double] = (0...22).reduce(into: []) { powers, _ in
        powers.append((powers.last ?? 0.1) * 10)
    }

    /// Passes over a number, checking that it is one.
    mutating func numberToken() throws -> UnsafeRawBufferPointer {
        _ = peek()
        let start = at
        pass(UInt8(ascii: "-"))
        let isZero = at < bytes.count && bytes[at] == UInt8(ascii: "0")
        let whole = passDigits()
        guard whole > 0, !isZero || whole == 1 else { throw malformed("no number") }
        if pass(UInt8(ascii: ".")) {
            guard passDigits() > 0 else { throw malformed("no number") }
        }
        if pass(UInt8(ascii: "e")) || pass(UInt8(ascii: "E")) {
            if !pass(UInt8(ascii: "+")) { pass(UInt8(ascii: "-")) }
            guard passDigits() > 0 else { throw malformed("no number") }
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<at])
    }

    @discardableResult
    private mutating func pass(_ byte: UInt8) -> Bool {
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private mutating func passDigits() -> Int {
        let start = at
        while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") { at += 1 }
        return at - start
    }
}
