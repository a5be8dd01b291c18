import DetectorAPI

/// Little-endian numbers of a payload, from front to back.
struct PayloadReader {
    private let bytes: UnsafeRawBufferPointer
    private var place = 0

    /// - Parameter bytes: Valid while this reader is used.
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }

    /// - Throws: `DetectorError.invalidArtifact` at the end of the bytes.
    mutating func number<Number: FixedWidthInteger>(_: Number.Type) throws(DetectorError) -> Number {
        let size = MemoryLayout<Number>.size
        guard bytes.count - place >= size else {
            throw .invalidArtifact("its \(bytes.count) bytes end too early")
        }
        defer { place += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Number.self))
    }

    mutating func float() throws(DetectorError) -> Float { Float(bitPattern: try number(UInt32.self)) }

    mutating func double() throws(DetectorError) -> Double { Double(bitPattern: try number(UInt64.self)) }

    /// A number of 7 bits a byte, in its shortest form.
    mutating func varying() throws(DetectorError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 63, by: 7) {
            let byte = try number(UInt8.self)
            value |= UInt64(byte & 0x7F) << shift
            guard byte & 0x80 == 0 else { continue }
            guard byte != 0 || shift == 0 else { break }
            return value
        }
        throw .invalidArtifact("a count is not written as it should be")
    }
}

extension [UInt8] {
    mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    /// 7 bits a byte, the lowest first.
    mutating func append(varying number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }
}
