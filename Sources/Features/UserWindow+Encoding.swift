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

/// Format version 1, integers and doubles little-endian, `varint` seven bits a byte, the lowest first:
///
///     u8      version
///     u8      flags: 1 any event, 2 a place, 4 buckets, 8 members
///     varint  time of the last event, ms, zigzag                               if any event
///     varint  ms from the place's time to that; f64 latitude; f64 longitude    if a place
///     u8      number of buckets; the buckets, ascending; for each tier         if buckets
///     u8      number of members; the members, latest first; for each set       if members
///
///     bucket  u8 gap << 2 | form; gap: buckets left out since the one before, or since the first in reach
///             form 0: varint count, f64 sum, f64 squares         form 1: one event; f64 amount
///             form 2: as 1, amount in hundredths, varint zigzag  form 3: as 0, sum in hundredths, varint zigzag
///     member  u32 fingerprint, varint minutes since the one after it, or up to the last event
extension UserWindow {
    public static let formatVersion: UInt8 = 1

    /// No window has more bytes: 142 buckets of 22, 56 members of 7, and the head.
    public static let maximumEncodedSize =
        2 + 10 + 10 + 16 + WindowTier.count + WindowTier.totalLength * 22 + RecentSet.count
        + RecentSet.totalCapacity * 7

    private static let flagEvent: UInt8 = 1
    private static let flagPlace: UInt8 = 2
    private static let flagBuckets: UInt8 = 4
    private static let flagMembers: UInt8 = 8

    /// Appends the window's bytes, at most `maximumEncodedSize` of them. Equal windows give equal bytes.
    public func encode(into bytes: inout [UInt8]) {
        withUnsafeTemporaryAllocation(byteCount: Self.maximumEncodedSize, alignment: 8) { buffer in
            guard let start = buffer.baseAddress else { return }
            var writer = WindowWriter(start)
            write(&writer)
            bytes.append(contentsOf: UnsafeRawBufferPointer(start: start, count: writer.count))
        }
    }

    private func write(_ writer: inout WindowWriter) {
        writer.byte(Self.formatVersion)
        let hasPlace = place.time != Self.none
        writer.byte(
            (isEmpty ? 0 : Self.flagEvent) | (hasPlace ? Self.flagPlace : 0)
                | (buckets.isEmpty ? 0 : Self.flagBuckets) | (recents.isEmpty ? 0 : Self.flagMembers))
        if isEmpty { return }
        writer.signedVarint(lastTime)
        if hasPlace {
            writer.varint(UInt64(truncatingIfNeeded: lastTime - place.time))
            writer.double(place.latitude)
            writer.double(place.longitude)
        }
        if !buckets.isEmpty { writeBuckets(&writer) }
        if !recents.isEmpty { writeMembers(&writer) }
    }

    private func writeBuckets(_ writer: inout WindowWriter) {
        buckets.withUnsafeBufferPointer { buckets in
            var position = 0
            for raw in 0..<WindowTier.count {
                let tier = WindowTier(rawValue: raw).unsafelyUnwrapped
                let end = position + Int(tierCounts[raw])
                writer.byte(tierCounts[raw])
                var next = tier.bucket(of: lastTime) - tier.length + 1
                while position < end {
                    let bucket = buckets[position]
                    writer.bucket(bucket, gap: UInt8(truncatingIfNeeded: bucket.index - next))
                    next = bucket.index + 1
                    position += 1
                }
            }
        }
    }

    private func writeMembers(_ writer: inout WindowWriter) {
        let lastMinute = Int32(truncatingIfNeeded: flooredQuotient(lastTime, 60_000))
        recents.withUnsafeBufferPointer { recents in
            var position = 0
            for raw in 0..<RecentSet.count {
                let end = position + Int(setCounts[raw])
                writer.byte(setCounts[raw])
                var minute = lastMinute
                while position < end {
                    let member = recents[position]
                    writer.word(member.fingerprint)
                    writer.varint(UInt64(truncatingIfNeeded: minute - member.minute))
                    minute = member.minute
                    position += 1
                }
            }
        }
    }

    /// Reads a window's bytes, which may be any: what it accepts behaves like a window that was folded.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WindowFormatError) {
        var reader = WindowReader(bytes)
        let version = try reader.byte()
        guard version == Self.formatVersion else { throw .unsupportedVersion(version) }
        let flags = try reader.byte()
        guard flags < 16, flags & Self.flagEvent != 0 || flags == 0 else { throw .corrupt("flags \(flags)") }
        self.init()
        if flags & Self.flagEvent != 0 {
            lastTime = try reader.signedVarint()
            guard lastTime.magnitude <= 1 << 46 else { throw .corrupt("time \(lastTime)") }
        }
        if flags & Self.flagPlace != 0 { try readPlace(&reader) }
        if flags & Self.flagBuckets != 0 { try readBuckets(&reader) }
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

    private mutating func readBuckets(_ reader: inout WindowReader) throws(WindowFormatError) {
        // Room for the buckets that a fold adds, so that it does not allocate once more.
        buckets.reserveCapacity(min(reader.remaining / 4, WindowTier.totalLength) + WindowTier.count)
        for raw in 0..<WindowTier.count {
            let tier = WindowTier(rawValue: raw).unsafelyUnwrapped
            let count = try reader.byte()
            let newest = tier.bucket(of: lastTime)
            var next = newest - tier.length + 1
            guard count <= tier.length else { throw .corrupt("\(count) buckets in tier \(raw)") }
            for _ in 0..<count {
                let bucket = try reader.bucket(next: next)
                guard bucket.index <= newest else { throw .corrupt("a bucket after the last event") }
                buckets.append(bucket)
                next = bucket.index + 1
            }
            tierCounts[raw] = count
        }
    }

    private mutating func readMembers(_ reader: inout WindowReader) throws(WindowFormatError) {
        recents.reserveCapacity(min(reader.remaining / 5, RecentSet.totalCapacity) + RecentSet.count)
        let lastMinute = flooredQuotient(lastTime, 60_000)
        for raw in 0..<RecentSet.count {
            let set = RecentSet(rawValue: raw).unsafelyUnwrapped
            let count = try reader.byte()
            guard count <= set.capacity else { throw .corrupt("\(count) members in set \(raw)") }
            let start = recents.count
            var minute = lastMinute
            for _ in 0..<count {
                let fingerprint = try reader.word()
                let gap = try reader.varint()
                guard gap < 1 << 17 else { throw .corrupt("a member \(gap) minutes older than the next") }
                minute -= Int64(gap)
                let member = RecentMember(fingerprint: fingerprint, minute: Int32(truncatingIfNeeded: minute))
                let known = recents[start...]
                guard known.last.map({ RecentMember.precedes($0, member) }) ?? true,
                    !known.contains(where: { $0.fingerprint == fingerprint })
                else { throw .corrupt("members out of order") }
                recents.append(member)
            }
            setCounts[raw] = count
        }
    }
}
