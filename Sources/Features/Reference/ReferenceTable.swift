/// Why bytes are no reference table.
public enum ReferenceTableError: Error, Sendable, Hashable, CustomStringConvertible {
    case unsupportedFormat(UInt32)
    /// The bytes break a rule of the format, or their checksum is wrong.
    case damaged(String)

    public var description: String {
        switch self {
        case .unsupportedFormat(let format):
            "the reference table has format \(format), this service reads up to \(ReferenceTable.format)"
        case .damaged(let what): "the reference table is damaged: \(what)"
        }
    }
}

/// References of all things at one moment, looked up in their bytes, which may be a mapped file.
///
/// Format 2, little-endian:
///
///     0   8   "MLREFTAB"
///     8   u32 format, 2
///     12  u32 bits b of the directory, 0 to 28
///     16  i64 the moment, hours since 1970 UTC
///     24  u64 entries n
///     32  f32 share of frauds among all, half-life 30 d; NaN: no label is known
///     36  f32 hours after which a transaction is counted
///     40  u64 labelled frauds that are in it
///     48  16  zero
///     64  (2^b + 1) u32: where the entries of each bucket, the key's upper b bits, begin
///     ..  n x 44 bytes, by bucket and then fingerprint: u32 fingerprint, the key's lower half; 10 f32 `ReferenceEntry`
///     ..  32  SHA-256 of all before
///
/// Format 1 has no `fraudHours`: entries of 40 bytes.
///
/// A look-up reads one place of the directory and, in a bucket of some four entries, one or two cache lines; it
/// allocates nothing. A key that is not in the table passes for one that is once in 1e9 times.
public final class ReferenceTable: @unchecked Sendable {  // nothing is written after init
    public static let format: UInt32 = 2
    static let magic: [UInt8] = Array("MLREFTAB".utf8)
    static let headerSize = 64
    static let entrySize = 44
    private static let entrySize1 = 40
    public static let checksumSize = 32

    /// The moment, a boundary between hours since 1970 UTC.
    public let step: Int64
    public let count: Int
    /// The share of frauds among all transactions; NaN: no label is known.
    public let prior: Float
    /// Hours after which a transaction is counted.
    public let lagSteps: Int64
    public let fraudCount: UInt64
    private let bits: UInt64
    private let entrySize: Int
    private let directory: UnsafeRawPointer
    private let entries: UnsafeRawPointer
    /// Keeps the bytes.
    private let owner: AnyObject

    /// Checks a table's structure; its checksum is for the caller.
    ///
    /// - Parameters:
    ///   - bytes: Stay where they are as long as `owner` lives.
    public init(_ bytes: UnsafeRawBufferPointer, owner: AnyObject) throws(ReferenceTableError) {
        guard let start = bytes.baseAddress, bytes.count >= Self.headerSize + Self.checksumSize,
            bytes.starts(with: Self.magic)
        else { throw .damaged("it does not begin as one") }
        let format: UInt32 = littleEndian(start, 8)
        guard (1...Self.format).contains(format) else { throw .unsupportedFormat(format) }
        entrySize = format == 1 ? Self.entrySize1 : Self.entrySize
        let bits: UInt32 = littleEndian(start, 12)
        let count: UInt64 = littleEndian(start, 24)
        guard bits <= 28, count <= UInt32.max else { throw .damaged("\(count) entries in 2^\(bits) buckets") }
        let directorySize = ((1 << Int(bits)) + 1) * 4
        let size = Self.headerSize + directorySize + Int(count) * entrySize + Self.checksumSize
        guard bytes.count == size else {
            throw .damaged("\(bytes.count) bytes where its header says \(size)")
        }
        step = littleEndian(start, 16)
        prior = Float(bitPattern: littleEndian(start, 32))
        lagSteps = Int64(Float(bitPattern: littleEndian(start, 36)).clampedToSteps)
        fraudCount = littleEndian(start, 40)
        self.count = Int(count)
        self.bits = UInt64(bits)
        directory = start + Self.headerSize
        entries = directory + directorySize
        self.owner = owner
        try check()
    }

    private func check() throws(ReferenceTableError) {
        guard step.magnitude < 1 << 40, prior.isNaN || (0...1).contains(prior) else {
            throw .damaged("moment \(step), share of frauds \(prior)")
        }
        var previous: UInt32 = 0
        for bucket in 0...(1 << Int(bits)) {
            let start: UInt32 = littleEndian(directory, bucket * 4)
            guard start >= previous, start <= count else {
                throw .damaged("bucket \(bucket) begins at \(start)")
            }
            previous = start
        }
        let first: UInt32 = littleEndian(directory, 0)
        guard first == 0, Int(previous) == count else { throw .damaged("the directory misses entries") }
        for index in 0..<count where !entry(at: index).isSane {
            throw .damaged("entry \(index) has impossible numbers")
        }
    }

    /// What is known of a thing; `.unknown` for one that is not in the table.
    @inline(__always)
    public func entry(_ key: UInt64) -> ReferenceEntry {
        let bucket = Int(truncatingIfNeeded: bits == 0 ? 0 : key &>> (64 &- bits))
        let start: UInt32 = littleEndian(directory, bucket &* 4)
        let end: UInt32 = littleEndian(directory, bucket &* 4 &+ 4)
        let fingerprint = UInt32(truncatingIfNeeded: key)
        var index = start
        while index < end {
            let found: UInt32 = littleEndian(entries, Int(index) &* entrySize)
            if found == fingerprint { return entry(at: Int(index)) }
            index &+= 1
        }
        return .unknown
    }

    /// What is known of a transaction's things.
    @inline(__always)
    public func entries(_ keys: ReferenceKeys) -> ReferenceEntries {
        ReferenceEntries(keys, prior: prior) { entry($0) }
    }

    @inline(__always)
    private func entry(at index: Int) -> ReferenceEntry {
        let start = entries + index &* entrySize
        return ReferenceEntry(
            values: (start + 4).loadUnaligned(as: SIMD8<Float>.self),
            fraudAmount: (start + 36).loadUnaligned(as: Float.self),
            fraudHours: entrySize == Self.entrySize1 ? -1 : (start + 40).loadUnaligned(as: Float.self))
    }

    // MARK: - Writing

    /// The bytes of a table but for the checksum, which the caller appends.
    ///
    /// - Parameter things: Each key once.
    public static func encode(
        _ things: [(key: UInt64, entry: ReferenceEntry)], step: Int64, prior: Float, lagSteps: Int64,
        fraudCount: UInt64
    ) -> [UInt8] {
        precondition(things.count <= UInt32.max, "too many entries for a table")
        var bits = 0
        while bits < 28, things.count > 4 << bits { bits += 1 }
        func bucket(_ key: UInt64) -> Int { bits == 0 ? 0 : Int(key >> UInt64(64 - bits)) }
        let sorted = things.sorted { a, b in
            let (x, y) = (bucket(a.key), bucket(b.key))
            if x != y { return x < y }
            let (p, q) = (UInt32(truncatingIfNeeded: a.key), UInt32(truncatingIfNeeded: b.key))
            return p != q ? p < q : a.key < b.key
        }
        var bytes = magic
        bytes.reserveCapacity(headerSize + ((1 << bits) + 1) * 4 + sorted.count * entrySize + checksumSize)
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        append(format)
        append(UInt32(bits))
        append(step)
        append(UInt64(sorted.count))
        append((prior.isNaN ? Float.nan : prior).bitPattern)
        append(Float(lagSteps).bitPattern)
        append(fraudCount)
        append(UInt64(0))
        append(UInt64(0))
        var next = 0
        for number in 0...(1 << bits) {
            while next < sorted.count, bucket(sorted[next].key) < number { next += 1 }
            append(UInt32(next))
        }
        for (key, entry) in sorted {
            append(UInt32(truncatingIfNeeded: key))
            for place in 0..<8 { append(entry.values[place].bitPattern) }
            append(entry.fraudAmount.bitPattern)
            append(entry.fraudHours.bitPattern)
        }
        return bytes
    }
}

extension ReferenceEntry {
    /// Finite, no frauds or counts below 0.
    fileprivate var isSane: Bool {
        let limit = Float.greatestFiniteMagnitude
        guard fraudAmount.magnitude <= limit, fraudHours.magnitude <= limit else { return false }
        for place in 0..<8 where !(values[place].magnitude <= limit) { return false }
        for place in 0..<6 where values[place] < 0 { return false }
        return true
    }
}

extension Float {
    fileprivate var clampedToSteps: Float { self > 0 && self < 1e6 ? self : 0 }
}
