/// The bytes of buckets: heads of one byte first, then the bodies, whose lengths the heads tell.
///
/// Which form a bucket takes cannot be predicted, so nothing here branches on it: both forms are computed, one is
/// selected by a mask. As heads stand apart, no load waits for the length of the body before. Together that is some
/// four times faster than varints.
struct BucketHead {
    static let size = 1

    let bits: UInt8

    @inline(__always)
    init(bits: UInt8) { self.bits = bits }

    @inline(__always)
    init(gap: Int32, isHundredths: UInt64, isSeveral: UInt64) {
        bits = UInt8(
            truncatingIfNeeded: UInt64(truncatingIfNeeded: gap) | isHundredths &<< 6 | isSeveral &<< 7)
    }

    /// Buckets without events since the one before.
    @inline(__always) var gap: Int32 { Int32(bits & 63) }
    /// The sum is a whole number of hundredths, 4 bytes, else a double: 1 or 0.
    @inline(__always) var isHundredths: UInt64 { UInt64(bits &>> 6 & 1) }
    /// More than one event: the count and the squares follow the sum. 1 or 0.
    @inline(__always) var isSeveral: UInt64 { UInt64(bits &>> 7) }
    @inline(__always) var sumBytes: Int { 8 &- Int(truncatingIfNeeded: isHundredths) &* 4 }
}

/// Bytes of a count, the same for all buckets of a window: 1 if that is enough for each, else 4.
struct CountWidth {
    let isWide: Bool
    let bytes: Int
    let mask: UInt32

    @inline(__always)
    init(isWide: Bool) {
        self.isWide = isWide
        bytes = isWide ? 4 : 1
        mask = isWide ? .max : 0xFF
    }

    static let maximumBodySize = 8 + 4 + 8

    @inline(__always)
    func bodySize(_ head: BucketHead) -> Int {
        head.sumBytes &+ Int(truncatingIfNeeded: head.isSeveral) &* (bytes &+ 8)
    }
}

extension WindowWriter {
    /// Writes a body, and its head to where the heads are.
    @inline(__always)
    mutating func bucket(_ bucket: WindowBucket, gap: Int32, head: UnsafeMutableRawPointer, width: CountWidth)
    {
        // Money mostly is the double nearest to a whole number of hundredths; only an exact return counts.
        // The addition rounds to whole numbers, in the low bits of the double; what does not fit fails the test.
        let rounded = bucket.sum * 100 + 0x1.8p52
        let hundredths = Int32(truncatingIfNeeded: rounded.bitPattern)
        let isHundredths: UInt64 = exactDouble(hundredths) / 100 == bucket.sum ? 1 : 0
        let isSeveral: UInt64 = bucket.count > 1 ? 1 : 0
        let bits = BucketHead(gap: gap, isHundredths: isHundredths, isSeveral: isSeveral)
        head.storeBytes(of: bits.bits, as: UInt8.self)
        let mask = 0 &- isHundredths
        let sum = UInt64(UInt32(bitPattern: hundredths)) & mask | bucket.sum.bitPattern & ~mask
        store(sum, byteCount: bits.sumBytes)
        let several = Int(truncatingIfNeeded: isSeveral)
        store(bucket.count, byteCount: several &* width.bytes)
        store(bucket.squares.bitPattern, byteCount: several &* 8)
    }
}

extension WindowBucket {
    /// Reads a body; up to `WindowWriter.slack` bytes past its end are loaded too.
    @inline(__always)
    init(head: BucketHead, body: UnsafeRawPointer, next: Int32, width: CountWidth) {
        let storedSum: UInt64 = littleEndian(body, 0)
        let hundredths = exactDouble(Int32(truncatingIfNeeded: storedSum)) / 100
        let hundredthsMask = 0 &- head.isHundredths
        let sum = Double(bitPattern: hundredths.bitPattern & hundredthsMask | storedSum & ~hundredthsMask)
        let storedCount: UInt32 = littleEndian(body, head.sumBytes)
        let storedSquares: UInt64 = littleEndian(body, head.sumBytes &+ width.bytes)
        let several = 0 &- head.isSeveral
        let count = storedCount & width.mask & UInt32(truncatingIfNeeded: several)
        self.init(
            index: next &+ head.gap, count: count | UInt32(truncatingIfNeeded: 1 &+ several), sum: sum,
            squares: Double(bitPattern: storedSquares & several | (sum * sum).bitPattern & ~several))
    }
}

/// What the buckets of a window from outside come to, to be judged once for all of them.
struct BucketExtremes {
    private var greatestSum: UInt64 = 0
    private var greatestSquares: UInt64 = 0
    private var isEmpty = false

    /// Bit patterns are compared as unsigned integers, so that NaN and, for squares, the negative are greatest.
    @inline(__always)
    mutating func add(_ bucket: WindowBucket) {
        greatestSum = max(greatestSum, bucket.sum.magnitude.bitPattern)
        greatestSquares = max(greatestSquares, bucket.squares.bitPattern)
        isEmpty = isEmpty || bucket.count == 0
    }

    var areSane: Bool {
        !isEmpty && greatestSum <= WindowBucket.greatestSum.bitPattern
            && greatestSquares <= WindowBucket.greatestSquares.bitPattern
    }
}

/// An integer conversion instruction leaves half of its register as it was, and so would make each bucket wait for
/// the division of the one before.
@inline(__always)
private func exactDouble(_ value: Int32) -> Double {
    Double(bitPattern: (0x1.8p52).bitPattern &+ UInt64(bitPattern: Int64(value))) - 0x1.8p52
}
