/// Writes into memory that the caller has made large enough, and `slack` bytes larger.
struct WindowWriter {
    /// A part is stored and loaded as a whole word, which may reach so many bytes past its end.
    static let slack = 12

    private let start: UnsafeMutableRawPointer
    private(set) var count = 0

    init(_ start: UnsafeMutableRawPointer) { self.start = start }

    @inline(__always)
    mutating func store<Word: FixedWidthInteger>(_ value: Word, byteCount: Int) {
        start.storeBytes(of: value.littleEndian, toByteOffset: count, as: Word.self)
        count &+= byteCount
    }

    @inline(__always)
    mutating func byte(_ value: UInt8) { store(value, byteCount: 1) }

    @inline(__always)
    mutating func double(_ value: Double) { store(value.bitPattern, byteCount: 8) }

    @inline(__always)
    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func signedVarint(_ value: Int64) { varint(zigzag(value)) }

    /// Leaves room for `byteCount` bytes, to be written through what it returns.
    @inline(__always)
    mutating func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer {
        defer { count += byteCount }
        return start + count
    }
}

/// Reads bytes that may be any.
struct WindowReader {
    private var bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remaining: Int { bytes.count }

    /// The next `byteCount` bytes.
    @inline(__always)
    mutating func take(_ byteCount: Int) throws(WindowFormatError) -> UnsafeRawPointer {
        guard let start = bytes.baseAddress, byteCount <= bytes.count else { throw .truncated }
        bytes = UnsafeRawBufferPointer(start: start + byteCount, count: bytes.count - byteCount)
        return start
    }

    @inline(__always)
    mutating func byte() throws(WindowFormatError) -> UInt8 { try take(1).load(as: UInt8.self) }

    @inline(__always)
    mutating func double() throws(WindowFormatError) -> Double {
        Double(bitPattern: littleEndian(try take(8), 0))
    }

    mutating func varint() throws(WindowFormatError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            let next = try byte()
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 { return value }
        }
        throw .corrupt("a number of more than 64 bits")
    }

    mutating func signedVarint() throws(WindowFormatError) -> Int64 { unzigzag(try varint()) }
}

@inline(__always)
func littleEndian<Word: FixedWidthInteger>(_ start: UnsafeRawPointer, _ offset: Int) -> Word {
    Word(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: Word.self))
}

/// Small numbers of either sign as small numbers: 0, -1, 1, -2 become 0, 1, 2, 3.
@inline(__always)
func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

@inline(__always)
func unzigzag(_ value: UInt64) -> Int64 {
    Int64(bitPattern: value >> 1) ^ (0 &- Int64(bitPattern: value & 1))
}
