import CExact

/// Whole numbers in decimal.
enum Digits {
    /// Appends a number of at least `least` digits, with zeros before it where it has fewer.
    static func append(_ number: UInt64, atLeast least: Int = 1, to bytes: inout [UInt8]) {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(EXACT_WHOLE_BYTES)) { text in
            guard let start = text.baseAddress else { return }
            let count = exact_unsigned_text(number, start)
            for _ in 0..<max(0, least - count) { bytes.append(UInt8(ascii: "0")) }
            bytes.append(contentsOf: UnsafeRawBufferPointer(start: start, count: count))
        }
    }
}
