/// Numbers of which most are small, seven bits a byte, the lowest first; the highest bit says that another byte follows.
enum Varint {
    private static let maximumBytes = 10

    static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// - Parameter place: Moves behind the number.
    /// - Returns: nil: the bytes end within it, or it does not end in ten bytes.
    static func read(_ bytes: UnsafeRawBufferPointer, at place: inout Int) -> UInt64? {
        var value: UInt64 = 0
        for index in 0..<maximumBytes {
            guard place < bytes.count else { return nil }
            let byte = bytes[place]
            place += 1
            value |= UInt64(byte & 0x7F) << UInt64(7 * index)
            if byte < 0x80 { return value }
        }
        return nil
    }

    /// Numbers near 0 of either sign become small ones: 0, -1, 1, -2, ...
    static func unsigned(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

    static func signed(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }
}
