/// Why bytes are no window or event.
public enum WindowFormatError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Written by another version of the service.
    case unsupportedVersion(UInt8)
    case truncated
    case trailingBytes(Int)
    /// The bytes break a rule of the format.
    case corrupt(String)

    public var description: String {
        switch self {
        case .unsupportedVersion(let version):
            "window has format version \(version), this service reads \(UserWindow.formatVersion)"
        case .truncated: "window is cut off"
        case .trailingBytes(let count): "window is followed by \(count) bytes that are not its own"
        case .corrupt(let what): "window is damaged: \(what)"
        }
    }
}

/// Format version 1; numbers little-endian, `varint` seven bits a byte, the lowest first:
///
///     u8      version
///     u8      flags: 1 any event, 2 a place, 4 buckets, 8 members, 16 wide counts
///     varint  time of the last event, ms, zigzag                                        if any event
///     varint  ms from the place's time to that; f64 latitude; f64 longitude             if a place
///     4 x u8  buckets of each tier; all heads, then all bodies, each tier ascending     if buckets
///     3 x u8  members of each set; the members, each set latest first                   if members
///
///     head    u8: bits 0-5  buckets without events since the one before, or since the first in reach
///                 bit 6     the sum is i32 hundredths, else a double
///                 bit 7     more than one event: the count, u8 or, if wide, u32, and f64 squares follow the sum
///     body    the sum, or the sum, the count and the squares
///     member  u32 fingerprint, u16 minutes from it to the one before, or to the last event
extension UserWindow {
    public static let formatVersion: UInt8 = 1

    /// No window has more bytes.
    public static let maximumEncodedSize =
        headSize + WindowTier.totalLength * bucketSize + RecentSet.totalCapacity * RecentMember.encodedSize

    /// At most: version, flags, times, place, and the numbers of buckets and members.
    private static let headSize = 2 + 10 + 10 + 16 + WindowTier.count + RecentSet.count

    private static let bucketSize = BucketHead.size + CountWidth.maximumBodySize

    private static let flagEvent: UInt8 = 1
    private static let flagPlace: UInt8 = 2
    private static let flagBuckets: UInt8 = 4
    private static let flagMembers: UInt8 = 8
    private static let flagWideCounts: UInt8 = 16

    /// Appends the window's bytes, at most `maximumEncodedSize` of them. Equal windows give equal bytes.
    public func encode(into bytes: inout [UInt8]) {
        let before = bytes.count
        let most = Self.headSize + buckets.count * Self.bucketSize + recents.count * RecentMember.encodedSize
        bytes.append(contentsOf: repeatElement(0, count: most + WindowWriter.slack))
        let written = bytes.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return 0 }
            var writer = WindowWriter(start + before)
            // Nearly always every count fits a byte; which is known once all are written.
            if !write(&writer, width: CountWidth(isWide: false)) {
                writer = WindowWriter(start + before)
                _ = write(&writer, width: CountWidth(isWide: true))
            }
            return writer.count
        }
        bytes.removeLast(most + WindowWriter.slack - written)
    }

    /// - Returns: False when a count was too large for the width.
    @inline(__always)
    private func write(_ writer: inout WindowWriter, width: CountWidth) -> Bool {
        writer.byte(Self.formatVersion)
        let hasPlace = place.time != Self.none
        writer.byte(
            (isEmpty ? 0 : Self.flagEvent) | (hasPlace ? Self.flagPlace : 0)
                | (buckets.isEmpty ? 0 : Self.flagBuckets) | (recents.isEmpty ? 0 : Self.flagMembers)
                | (width.isWide ? Self.flagWideCounts : 0))
        if isEmpty { return true }
        writer.signedVarint(lastTime)
        if hasPlace {
            writer.varint(UInt64(truncatingIfNeeded: lastTime - place.time))
            writer.double(place.latitude)
            writer.double(place.longitude)
        }
        var counts: UInt32 = 0
        if !buckets.isEmpty { counts = writeBuckets(&writer, width: width) }
        if !recents.isEmpty { writeMembers(&writer) }
        return counts <= width.mask
    }

    /// - Returns: The bits of all counts.
    @inline(__always)
    private func writeBuckets(_ writer: inout WindowWriter, width: CountWidth) -> UInt32 {
        for raw in 0..<WindowTier.count { writer.byte(tierCounts[raw]) }
        var head = writer.reserve(buckets.count * BucketHead.size)
        return buckets.withUnsafeBufferPointer { buckets in
            var position = 0
            var counts: UInt32 = 0
            for raw in 0..<WindowTier.count {
                let tier = WindowTier(rawValue: raw).unsafelyUnwrapped
                let end = position + Int(tierCounts[raw])
                var next = tier.bucket(of: lastTime) - tier.length + 1
                while position < end {
                    let bucket = buckets[position]
                    writer.bucket(bucket, gap: bucket.index &- next, head: head, width: width)
                    head += BucketHead.size
                    next = bucket.index &+ 1
                    counts |= bucket.count
                    position &+= 1
                }
            }
            return counts
        }
    }

    @inline(__always)
    private func writeMembers(_ writer: inout WindowWriter) {
        for raw in 0..<RecentSet.count { writer.byte(setCounts[raw]) }
        let lastMinute = Int32(truncatingIfNeeded: flooredQuotient(lastTime, 60_000))
        recents.withUnsafeBufferPointer { recents in
            var position = 0
            for raw in 0..<RecentSet.count {
                let end = position + Int(setCounts[raw])
                var minute = lastMinute
                while position < end {
                    let member = recents[position]
                    member.write(&writer, before: minute)
                    minute = member.minute
                    position += 1
                }
            }
        }
    }

    /// Reads a window's bytes, which may be any: what it accepts behaves like a window that was folded.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WindowFormatError) {
        self.init()
        try replace(decoding: bytes)
    }

    /// Reads a window's bytes in place of what this window held, and into its memory if that is large enough.
    ///
    /// - Throws: As `init(decoding:)`; what is left of the window is then of no use.
    public mutating func replace(decoding bytes: UnsafeRawBufferPointer) throws(WindowFormatError) {
        clear()
        var reader = WindowReader(bytes)
        let version = try reader.byte()
        guard version == Self.formatVersion else { throw .unsupportedVersion(version) }
        let flags = try reader.byte()
        guard flags < 32, flags & Self.flagEvent != 0 || flags == 0 else { throw .corrupt("flags \(flags)") }
        if flags & Self.flagEvent != 0 {
            lastTime = try reader.signedVarint()
            guard lastTime.magnitude <= 1 << 46 else { throw .corrupt("time \(lastTime)") }
        }
        if flags & Self.flagPlace != 0 { try readPlace(&reader) }
        if flags & Self.flagBuckets != 0 { try readBuckets(&reader, flags: flags) }
        if flags & Self.flagMembers != 0 { try readMembers(&reader) }
        guard reader.remaining == 0 else { throw .trailingBytes(reader.remaining) }
    }

    private mutating func readPlace(_ reader: inout WindowReader) throws(WindowFormatError) {
        let age = try reader.varint()
        let latitude = try reader.double()
        let longitude = try reader.double()
        guard age < 1 << 46, latitude.magnitude <= 90, longitude.magnitude <= 180 else {
            throw .corrupt("place \(latitude), \(longitude)")
        }
        place = Place(time: lastTime - Int64(age), latitude: latitude, longitude: longitude)
        guard place.time >= -(1 << 46) else { throw .corrupt("time \(place.time) of the place") }
    }

    private mutating func readBuckets(_ reader: inout WindowReader, flags: UInt8) throws(WindowFormatError) {
        let width = CountWidth(isWide: flags & Self.flagWideCounts != 0)
        var total = 0
        for tier in WindowTier.allCases {
            let count = try reader.byte()
            guard count <= tier.length else { throw .corrupt("\(count) buckets in tier \(tier)") }
            tierCounts[tier.rawValue] = count
            total += Int(count)
        }
        let heads = try reader.take(total * BucketHead.size)
        var bodySize = 0
        for position in 0..<total {
            bodySize &+= width.bodySize(BucketHead(bits: littleEndian(heads, position)))
        }
        let bodies = try reader.take(bodySize)
        let areSane: Bool
        if reader.remaining >= WindowWriter.slack {
            areSane = takeBuckets(total, heads: heads, bodies: bodies, width: width)
        } else {
            // Bodies are loaded in whole words, which must not reach past the end.
            let padded = bodySize + WindowWriter.slack
            areSane = withUnsafeTemporaryAllocation(byteCount: padded, alignment: 8) { copy in
                copy.initializeMemory(as: UInt8.self, repeating: 0)
                copy.copyMemory(from: UnsafeRawBufferPointer(start: bodies, count: bodySize))
                guard let bodies = copy.baseAddress else { return false }
                return takeBuckets(total, heads: heads, bodies: UnsafeRawPointer(bodies), width: width)
            }
        }
        guard areSane else { throw .corrupt("a bucket after the last event, or of impossible amounts") }
    }

    /// - Returns: False when no window has such buckets.
    @inline(__always)
    private mutating func takeBuckets(
        _ total: Int, heads: UnsafeRawPointer, bodies: UnsafeRawPointer, width: CountWidth
    ) -> Bool {
        var extremes = BucketExtremes()
        var isOrdered = true
        let counts = tierCounts
        let last = lastTime
        // Room for the buckets that a fold adds, so that it need not allocate again.
        buckets.fill(total, spare: WindowTier.count, filler: WindowBucket(index: 0, amount: 0)) { buffer in
            var body = bodies
            var position = 0
            for raw in 0..<WindowTier.count {
                let tier = WindowTier(rawValue: raw).unsafelyUnwrapped
                let newest = tier.bucket(of: last)
                var next = newest - tier.length + 1
                let end = position + Int(counts[raw])
                while position < end {
                    let head = BucketHead(bits: littleEndian(heads, position))
                    let bucket = WindowBucket(head: head, body: body, next: next, width: width)
                    buffer[position] = bucket
                    extremes.add(bucket)
                    body += width.bodySize(head)
                    next = bucket.index &+ 1
                    position &+= 1
                }
                isOrdered = isOrdered && next <= newest &+ 1
            }
        }
        return isOrdered && extremes.areSane
    }

    private mutating func readMembers(_ reader: inout WindowReader) throws(WindowFormatError) {
        var total = 0
        for set in RecentSet.allCases {
            let count = try reader.byte()
            guard count <= set.capacity else { throw .corrupt("\(count) members in set \(set)") }
            setCounts[set.rawValue] = count
            total += Int(count)
        }
        let bytes = try reader.take(total * RecentMember.encodedSize)
        let lastMinute = Int32(truncatingIfNeeded: flooredQuotient(lastTime, 60_000))
        let counts = setCounts
        var isOrdered = true
        let filler = RecentMember(fingerprint: 0, minute: 0)
        recents.fill(total, spare: RecentSet.count, filler: filler) { buffer in
            var position = 0
            for raw in 0..<RecentSet.count {
                var before = RecentMember(fingerprint: .max, minute: lastMinute)
                let end = position + Int(counts[raw])
                while position < end {
                    let member = RecentMember(
                        bytes + position &* RecentMember.encodedSize, before: before.minute)
                    isOrdered = isOrdered && !RecentMember.precedes(member, before)
                    buffer[position] = member
                    before = member
                    position &+= 1
                }
            }
        }
        guard isOrdered else { throw .corrupt("members out of order") }
    }
}

extension RecentMember {
    fileprivate static let encodedSize = 6

    /// - Parameter before: Minute of the member before, or of the last event.
    @inline(__always)
    fileprivate func write(_ writer: inout WindowWriter, before: Int32) {
        let gap = UInt16(truncatingIfNeeded: before &- minute)
        writer.store(UInt64(fingerprint) | UInt64(gap) << 32, byteCount: Self.encodedSize)
    }

    @inline(__always)
    fileprivate init(_ bytes: UnsafeRawPointer, before: Int32) {
        let gap: UInt16 = littleEndian(bytes, 4)
        self.init(fingerprint: littleEndian(bytes, 0), minute: before &- Int32(gap))
    }
}
