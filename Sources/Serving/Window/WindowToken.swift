/// Names one writing of one blob or record: who wrote it, and which of that writer's batches it was.
public struct WindowToken: Sendable, Hashable {
    public static let sizeBytes = 16
    /// Where the token lies in every format of blobs and records: after the format's number.
    public static let range = 1..<17

    /// Random for each worker's life.
    public let writer: UInt64
    public let sequence: UInt64

    public init(writer: UInt64, sequence: UInt64) {
        self.writer = writer
        self.sequence = sequence
    }

    /// Lends the token as it stands in a blob.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withUnsafeBytes(of: (writer.littleEndian, sequence.littleEndian), body)
    }
}

@inline(__always)
func loadWord<Word: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, as type: Word.Type = Word.self
) -> Word {
    Word(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Word.self))
}

extension [UInt8] {
    /// Appends a number, little-endian.
    @inline(__always)
    mutating func appendWord(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// Writes a number over what stands at `offset`, little-endian.
    @inline(__always)
    mutating func storeWord(_ value: some FixedWidthInteger, at offset: Int) {
        withUnsafeMutableBytes {
            $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: type(of: value))
        }
    }
}
