/// JSON being written, in UTF-8. The writer sees to the order: the same content gives the same bytes.
struct JSONText {
    private(set) var bytes: [UInt8] = []

    /// Punctuation and names that need no escapes, as they are.
    mutating func append(_ plain: StaticString) {
        bytes += UnsafeBufferPointer(start: plain.utf8Start, count: plain.utf8CodeUnitCount)
    }

    mutating func append(_ number: some FixedWidthInteger) {
        bytes += String(number).utf8
    }

    /// The shortest digits that give the number back, bit for bit; as a text where JSON has no number.
    mutating func append(_ number: Double) {
        if number.isNaN {
            append("\"nan\"")
        } else if number.isInfinite {
            bytes += (number > 0 ? "\"inf\"" : "\"-inf\"").utf8
        } else if let whole = Int(exactly: number), whole.magnitude < 1 << 53,
            number.sign == .plus || whole < 0
        {
            append(whole)
        } else {
            bytes += number.description.utf8
        }
    }

    /// A text in quotes; what JSON does not allow inside is escaped, nothing else.
    mutating func append(text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0..<32:
                let digits = Array("0123456789abcdef".utf8)
                bytes += [
                    UInt8(ascii: "\\"), UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0"),
                    digits[Int(byte >> 4)], digits[Int(byte & 15)],
                ]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
