import DetectorAPI

/// Bytes with something wrong in them.
public enum Mutation {
    /// What numbers, texts and structures break on.
    private static let fragments = [
        "9223372036854775807", "-9223372036854775808", "18446744073709551616", "2147483648", "-1", "0",
        "1e999",
        "NaN", "null", "true", "\"", "\\", "\\u0000", "\\ud800", "{", "}", "[", "]", ",", ":", "\u{0}",
        "\u{FEFF}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "..", "/", "%", "\r\n", "\u{1B}[2J",
    ].map { Array($0.utf8) }

    public static func apply(to bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0...generator.below(3) {
            let place = generator.below(bytes.count + 1)
            switch generator.below(8) {
            case 0: bytes.removeLast(generator.below(bytes.count + 1))
            case 1 where place < bytes.count:
                bytes[place] = UInt8(truncatingIfNeeded: generator.below(256))
            case 2 where place < bytes.count: bytes[place] ^= 1 << UInt8(generator.below(8))
            case 3: bytes.insert(UInt8(truncatingIfNeeded: generator.below(256)), at: place)
            case 4: bytes.insert(contentsOf: fragments[generator.below(fragments.count)], at: place)
            case 5:
                let end = min(bytes.count, place + generator.below(64))
                bytes.removeSubrange(place..<end)
            case 6:
                // Eight bytes of a number, as binary formats have them.
                let values: [UInt64] = [0, .max, 1 << 63, 1 << 31, 1 << 32, UInt64(bytes.count)]
                var value = values[generator.below(values.count)].littleEndian
                withUnsafeBytes(of: &value) { number in
                    for (index, byte) in number.enumerated() where place + index < bytes.count {
                        bytes[place + index] = byte
                    }
                }
            default:
                // A digit in the place of another is the damage that a checksum alone finds.
                let digits = bytes.indices.filter {
                    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[$0])
                }
                guard !digits.isEmpty else { continue }
                bytes[digits[generator.below(digits.count)]] = UInt8(ascii: "0") + UInt8(generator.below(10))
            }
        }
        return bytes
    }

    public static func pick<Value>(_ values: [Value], _ generator: inout SeededGenerator) -> Value {
        values[generator.below(values.count)]
    }
}
