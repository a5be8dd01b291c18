/// Writes numbers of any number of bits, the lowest bit first.
public struct BitWriter {
    public private(set) var bytes: [UInt8] = []
    /// Bits that are not in `bytes` yet, and how many they are: fewer than 32.
    private var held: UInt64 = 0
    private var heldCount = 0

    public init() {}

    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        (held, heldCount) = (0, 0)
    }

    /// - Parameter count: Of bits, at most 32. Higher bits of the value are 0.
    @inline(__always)
    public mutating func write(_ value: UInt64, bits count: Int) {
        held |= value << UInt64(heldCount)
        heldCount += count
        if heldCount >= 32 {
            let word = UInt32(truncatingIfNeeded: held).littleEndian
            withUnsafeBytes(of: word) { bytes.append(contentsOf: $0) }
            held >>= 32
            heldCount -= 32
        }
    }

    /// Up to 64 bits.
    public mutating func write(long value: UInt64, bits count: Int) {
        write(value & 0xFFFF_FFFF & ((1 << UInt64(min(count, 32))) - 1), bits: min(count, 32))
        if count > 32 { write(value >> 32, bits: count - 32) }
    }

    public mutating func write(_ flag: Bool) { write(flag ? 1 : 0, bits: 1) }

    /// A number that mostly is of the order of 2^k: `k` bits, and those above them by Elias' gamma code (IEEE
    /// Transactions on Information Theory 21(2), 1975).
    ///
    /// - Parameter value: Below 2^56.
    @inline(__always)
    public mutating func write(_ value: UInt64, order k: Int) {
        let high = (value >> UInt64(k)) + 1
        let length = UInt64.bitWidth - 1 - high.leadingZeroBitCount
        write(long: 1 << UInt64(length), bits: length + 1)
        write(long: high ^ 1 << UInt64(length), bits: length)
        write(long: value & ((1 << UInt64(k)) - 1), bits: k)
    }

    /// The order, at most 31, that takes the fewest bits for these numbers, or nearly.
    static func order(of values: some Collection<UInt64>) -> Int {
        guard !values.isEmpty else { return 0 }
        let mean = values.reduce(0, +) / UInt64(values.count)
        let middle = UInt64.bitWidth - 1 - (mean | 1).leadingZeroBitCount
        var best = (order: 0, bits: Int.max)
        for order in max(0, middle - 1)...middle + 1 where order < 32 {
            let bits = values.reduce(0) {
                $0 + order + 2 * (UInt64.bitWidth - 1 - (($1 >> UInt64(order)) + 1).leadingZeroBitCount)
            }
            if bits < best.bits { best = (order, bits) }
        }
        return best.order
    }

    /// Zeros up to a whole byte.
    public mutating func finish() {
        while heldCount > 0 {
            bytes.append(UInt8(truncatingIfNeeded: held))
            held >>= 8
            heldCount -= 8
        }
        (held, heldCount) = (0, 0)
    }
}

/// Reads what `BitWriter` wrote. Behind the end there are zeros.
public struct BitReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Whole bytes that have been read from, at most all.
    public var byteCount: Int { min((position + 7) / 8, bytes.count) }

    /// The next 57 bits at least.
    @inline(__always)
    private var window: UInt64 {
        let byte = position >> 3
        if byte + 8 <= bytes.count {
            return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: byte, as: UInt64.self))
                >> UInt64(position & 7)
        }
        var word: UInt64 = 0
        for place in byte..<max(byte, bytes.count) {
            word |= UInt64(bytes[place]) << UInt64(8 * (place - byte))
        }
        return word >> UInt64(position & 7)
    }

    /// - Parameter count: At most 32.
    @inline(__always)
    public mutating func read(bits count: Int) -> UInt64 {
        let value = window & ((1 << UInt64(count)) - 1)
        position += count
        return value
    }

    public mutating func read(long count: Int) -> UInt64 {
        let low = read(bits: min(count, 32))
        return count > 32 ? low | read(bits: count - 32) << 32 : low
    }

    public mutating func flag() -> Bool { read(bits: 1) == 1 }

    @inline(__always)
    public mutating func read(order k: Int) -> UInt64 {
        // A run that is longer than any that is written ends at what the window holds.
        let length = min(window.trailingZeroBitCount, 56)
        position += length + 1
        let high = read(long: length) | 1 << UInt64(length)
        return (high - 1) << UInt64(k) | read(long: k)
    }
}
