import Transactions

/// The checksum of blobs and records: 32 bits of XXH64 of what follows it, mixed with the token before it and with whose
/// they are, so that bytes under another user's name are found too.
enum WindowChecksum {
    /// Where it stands: after the token.
    static let offset = WindowToken.range.upperBound
    static let sizeBytes = 4

    /// - Parameters:
    ///   - bytes: All of the blob or record, the checksum's own place included.
    ///   - owner: The hash of the user's id, or the partition's number.
    static func of(_ bytes: UnsafeRawBufferPointer, owner: UInt64) -> UInt32 {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[(offset + sizeBytes)...])
        var sum = TextHash.hash(rest) ^ UInt64(bytes[0])
        for word in [loadWord(bytes, 1, as: UInt64.self), loadWord(bytes, 9, as: UInt64.self), owner] {
            sum = (sum ^ word) &* 0x9E37_79B1_85EB_CA87
            sum ^= sum >> 32
        }
        return UInt32(truncatingIfNeeded: sum)
    }

    static func isRight(_ bytes: UnsafeRawBufferPointer, owner: UInt64) -> Bool {
        loadWord(bytes, offset, as: UInt32.self) == of(bytes, owner: owner)
    }

    /// Writes the checksum of the bytes from `start` on into its place.
    static func seal(_ bytes: inout [UInt8], from start: Int, owner: UInt64) {
        let sum = bytes.withUnsafeBytes { of(UnsafeRawBufferPointer(rebasing: $0[start...]), owner: owner) }
        bytes.storeWord(sum, at: start + offset)
    }
}
