/// Writes into memory that the caller has made large enough.
struct WindowWriter {
    private let start: UnsafeMutableRawPointer
    private(set) var count = 0

    init(_ start: UnsafeMutableRawPointer) { self.start = start }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        start.storeBytes(of: value, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    mutating func word(_ value: UInt32) {
        start.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt32.self)
        count += 4
    }

    @inline(__always)
    mutating func double(_ value: Double) {
        start.storeBytes(of: value.bitPattern.littleEndian, toByteOffset: count, as: UInt64.self)
        count += 8
    }

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
    mutating func signedVarint(_ value: Int64) {
        varint(UInt64(bitPattern: value << 1 ^ value >> 63))
    }

    /// At most 22 bytes.
    @inline(__always)
    mutating func bucket(_ bucket: WindowBucket, gap: UInt8) {
        let hundredths = hundredths(of: bucket.sum)
        if bucket.count == 1 {
            byte(gap << 2 | (hundredths == nil ? 1 : 2))
            if let hundredths { signedVarint(hundredths) } else { double(bucket.sum) }
        } else {
            byte(gap << 2 | (hundredths == nil ? 0 : 3))
            varint(UInt64(bucket.count))
            if let hundredths { signedVarint(hundredths) } else { double(bucket.sum) }
            double(bucket.squares)
        }
    }
}

/// The whole number whose hundredth is exactly `value`, when it is below 2^40 and there is one: money mostly is.
@inline(__always)
private func hundredths(of value: Double) -> Int64? {
    let scaled = value * 100
    guard scaled.magnitude < 0x1p40 else { return nil }
    let whole = Int64(scaled + (scaled < 0 ? -0.5 : 0.5))
    return Double(whole) / 100 == value ? whole : nil
}

/// Reads bytes that may be any.
struct WindowReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    @inline(__always)
    mutating func byte() throws(WindowFormatError) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    @inline(__always)
    mutating func word() throws(WindowFormatError) -> UInt32 {
        guard remaining >= 4 else { throw .truncated }
        defer { position += 4 }
        return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
    }

    @inline(__always)
    mutating func double() throws(WindowFormatError) -> Double {
        guard remaining >= 8 else { throw .truncated }
        defer { position += 8 }
        let bits = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
        return Double(bitPattern: bits)
    }

    @inline(__always)
    mutating func varint() throws(WindowFormatError) -> UInt64 {
        let first = try byte()
        if first < 0x80 { return UInt64(first) }
        var value = UInt64(first & 0x7F)
        var shift: UInt64 = 7
        while shift < 64 {
            let next = try byte()
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 { return value }
            shift += 7
        }
        throw .corrupt("a number of more than 64 bits")
    }

    @inline(__always)
    mutating func signedVarint() throws(WindowFormatError) -> Int64 {
        let value = try varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    @inline(__always)
    mutating func bucket(next: Int32) throws(WindowFormatError) -> WindowBucket {
        let head = try byte()
        let index = next + Int32(head >> 2)
        let form = head & 3
        let count = form == 0 || form == 3 ? try varint() : 1
        let sum = form == 0 || form == 1 ? try double() : Double(try signedVarint()) / 100
        let isSingle = form == 1 || form == 2
        let squares = isSingle ? sum * sum : try double()
        guard count >= 1, count <= UInt64(UInt32.max), sum.magnitude <= 1e110, squares >= 0, squares <= 1e210
        else { throw .corrupt("a bucket of \(count) events, sum \(sum), squares \(squares)") }
        return WindowBucket(index: index, count: UInt32(count), sum: sum, squares: squares)
    }
}
