/// Damage done to a batch of records on its way from the broker.
public enum BatchDamage: Sendable, CaseIterable {
    /// A byte of a record is another than the checksum was made of.
    case checksum
    /// The same, and the batch's first offset, which the checksum does not cover, is another too.
    case offset
    /// The batch says that it is compressed in a way that nobody knows; its checksum is right.
    case compression

    /// Does it to each batch in a fetch's answer that holds the marker, which must not be compressed.
    func applied(to answer: [UInt8], marker: [UInt8]) -> [UInt8] {
        var bytes = answer
        var from = 0
        while let place = Self.find(marker, in: bytes, from: from) {
            from = place + marker.count
            guard let batch = Self.batch(around: place, in: bytes) else { continue }
            switch self {
            case .checksum: bytes[place] ^= 0x20
            case .offset:
                bytes[place] ^= 0x20
                bytes[batch.lowerBound + 2] = 1
            case .compression:
                // Attributes are the 16 bits at 21; the lowest three say the compression, and 7 is none that there is.
                bytes[batch.lowerBound + 22] |= 7
                let checksum = Self.crc32c(bytes[(batch.lowerBound + 21)..<batch.upperBound])
                withUnsafeBytes(of: checksum.bigEndian) {
                    bytes.replaceSubrange((batch.lowerBound + 17)..<(batch.lowerBound + 21), with: $0)
                }
            }
        }
        return bytes
    }

    private static func find(_ marker: [UInt8], in bytes: [UInt8], from: Int) -> Int? {
        guard bytes.count >= from + marker.count else { return nil }
        return (from...(bytes.count - marker.count)).first { start in
            bytes[start] == marker[0] && bytes[start..<(start + marker.count)].elementsEqual(marker)
        }
    }

    /// The nearest batch before a place whose length reaches over it. A batch has 61 bytes before its records: offset,
    /// length, epoch, the magic number 2, checksum, ...
    private static func batch(around place: Int, in bytes: [UInt8]) -> Range<Int>? {
        for start in stride(from: place - 61, through: 0, by: -1) where bytes[start + 16] == 2 {
            let length = bytes[(start + 8)..<(start + 12)].reduce(0) { $0 << 8 | Int($1) }
            let end = start + 12 + length
            if length >= 49, end > place, end <= bytes.count, bytes[start] == 0, bytes[start + 1] == 0 {
                return start..<end
            }
        }
        return nil
    }

    /// Castagnoli's polynomial, as Kafka's batches have it.
    private static func crc32c(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var remainder: UInt32 = .max
        for byte in bytes {
            remainder ^= UInt32(byte)
            for _ in 0..<8 { remainder = remainder & 1 == 1 ? remainder >> 1 ^ 0x82F6_3B78 : remainder >> 1 }
        }
        return ~remainder
    }
}
