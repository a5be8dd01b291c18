/// Hashes of texts that many users have in common, numbered as they come: a merchant that a thousand windows know is kept
/// once, and each of them has its number.
public struct SharedHashes {
    /// Bits of a number.
    static let bits = 14
    /// Hashes, and whether all of their bits are known or only the upper 32, which are a fingerprint.
    private var hashes: [UInt64] = []
    /// By fingerprint.
    private var numbers: [UInt32: UInt16] = [:]

    public init() {}

    /// What they take, bytes.
    public var sizeBytes: Int { hashes.capacity * 8 + numbers.capacity * 8 }

    mutating func number(ofFingerprint fingerprint: UInt32) -> UInt64? {
        if let known = numbers[fingerprint] { return UInt64(known) }
        guard hashes.count < 1 << Self.bits else { return nil }
        numbers[fingerprint] = UInt16(hashes.count)
        hashes.append(UInt64(fingerprint) << 32)
        return UInt64(hashes.count - 1)
    }

    func fingerprint(_ number: UInt64) -> UInt32 {
        number < UInt64(hashes.count) ? UInt32(truncatingIfNeeded: hashes[Int(number)] >> 32) : 0
    }
}

/// A window in as few bits as it can be written in again bit for bit, for where a great many are kept: about a third of
/// what `encode(into:)` writes. It takes some microseconds each way, and means something only beside the `SharedHashes` it
/// was written with.
///
/// Money is whole hundredths and its squares whole ten-thousandths, but for what adding them up has rounded: the sums are
/// kept as whole numbers and how many of the numbers that a double can be they are off, mostly none or one. Squares are
/// counted from the least that they could be with that sum and count. A day is not written where the quarters of it, which
/// are a week's buckets, say it all. Numbers take about as many bits as their like in the same window do.
extension UserWindow {
    /// - Returns: False when the window cannot be written in this way: what was written then means nothing.
    public func pack(into bits: inout BitWriter, _ shared: inout SharedHashes) -> Bool {
        bits.write(isEmpty)
        guard !isEmpty else { return buckets.isEmpty && recents.isEmpty && place == .none }
        guard lastTime.magnitude <= 1 << 46 else { return false }
        bits.write(long: zigzag(lastTime), bits: 48)
        return packPlace(into: &bits) && packBuckets(into: &bits) && packMembers(into: &bits, &shared)
    }

    /// Reads what `pack` wrote, from memory that nobody else writes to.
    public init(unpacking bits: inout BitReader, _ shared: borrowing SharedHashes) {
        self.init()
        if bits.flag() { return }
        lastTime = unzigzag(bits.read(long: 48))
        unpackPlace(&bits)
        unpackBuckets(&bits)
        unpackMembers(&bits, shared)
    }

    // MARK: - Place

    private static let degreeParts = 1e4
    private static let timeOrder = 22

    private func packPlace(into bits: inout BitWriter) -> Bool {
        bits.write(place.time != Self.none)
        guard place.time != Self.none else { return true }
        guard place.time <= lastTime, lastTime - place.time < 1 << 50 else { return false }
        bits.write(UInt64(lastTime - place.time), order: Self.timeOrder)
        let latitude = (place.latitude * Self.degreeParts).rounded()
        let longitude = (place.longitude * Self.degreeParts).rounded()
        let isShort =
            abs(latitude) <= 900_000 && abs(longitude) <= 1_800_000
            && (latitude / Self.degreeParts).bitPattern == place.latitude.bitPattern
            && (longitude / Self.degreeParts).bitPattern == place.longitude.bitPattern
        bits.write(isShort)
        if isShort {
            bits.write(UInt64(latitude + 900_000), bits: 21)
            bits.write(UInt64(longitude + 1_800_000), bits: 22)
        } else {
            bits.write(long: place.latitude.bitPattern, bits: 64)
            bits.write(long: place.longitude.bitPattern, bits: 64)
        }
        return true
    }

    private mutating func unpackPlace(_ bits: inout BitReader) {
        guard bits.flag() else { return }
        place.time = lastTime - Int64(bits.read(order: Self.timeOrder))
        if bits.flag() {
            place.latitude = (Double(bits.read(bits: 21)) - 900_000) / Self.degreeParts
            place.longitude = (Double(bits.read(bits: 22)) - 1_800_000) / Self.degreeParts
        } else {
            place.latitude = Double(bitPattern: bits.read(long: 64))
            place.longitude = Double(bitPattern: bits.read(long: 64))
        }
    }

    // MARK: - Buckets

    /// Bits of the number of buckets.
    private static let countBits = 6
    private static let orderBits = 5

    private func packBuckets(into bits: inout BitWriter) -> Bool {
        for raw in 0..<WindowTier.count { bits.write(UInt64(tierCounts[raw]), bits: Self.countBits) }
        var start = 0
        var ranges: [Range<Int>] = []
        for raw in 0..<WindowTier.count {
            ranges.append(start..<start + Int(tierCounts[raw]))
            start = ranges[raw].upperBound
        }
        let week = ranges[WindowTier.week.rawValue]
        // The week first: days are told from it.
        for tier in [WindowTier.week, .month, .day, .hour] where !ranges[tier.rawValue].isEmpty {
            let range = ranges[tier.rawValue]
            let wholes = buckets[range].map { WholeBucket($0) }
            let orders = PackedOrders(wholes)
            bits.write(orders.isPlain)
            bits.write(UInt64(orders.sum), bits: Self.orderBits)
            bits.write(UInt64(orders.squares), bits: Self.orderBits)
            var next = tier.bucket(of: lastTime) - tier.length + 1
            var quarter = week.lowerBound
            for (bucket, whole) in zip(buckets[range], wholes) {
                guard bucket.index >= next else { return false }
                bits.write(UInt64(bucket.index - next), order: 0)
                next = bucket.index + 1
                if tier == .month, let told = day(bucket.index, buckets, week, from: &quarter) {
                    let isTold = whole.map { $0.isLike(told) } ?? false
                    bits.write(isTold)
                    if isTold, let whole {
                        whole.packRounding(into: &bits)
                        continue
                    }
                }
                if !orders.isPlain { bits.write(whole == nil) }
                bits.write(UInt64(bucket.count - 1), order: tier == .month ? 1 : 0)
                if let whole {
                    whole.pack(into: &bits, orders)
                } else {
                    bits.write(long: bucket.sum.bitPattern, bits: 64)
                    if bucket.count > 1 { bits.write(long: bucket.squares.bitPattern, bits: 64) }
                }
            }
        }
        return true
    }

    private mutating func unpackBuckets(_ bits: inout BitReader) {
        var counts = SIMD4<UInt8>()
        for raw in 0..<WindowTier.count {
            counts[raw] = UInt8(truncatingIfNeeded: bits.read(bits: Self.countBits))
        }
        let total = (0..<WindowTier.count).reduce(0) { $0 + Int(counts[$1]) }
        // Room for those that a fold adds.
        buckets.reserveCapacity(total + WindowTier.count)
        // The week lies behind the month and is read first.
        var month: [WindowBucket] = []
        var week: [WindowBucket] = []
        unpack(.week, Int(counts[WindowTier.week.rawValue]), &bits, into: &week)
        unpack(.month, Int(counts[WindowTier.month.rawValue]), &bits, week: week, into: &month)
        buckets += month
        buckets += week
        for tier in [WindowTier.day, .hour] {
            unpack(tier, Int(counts[tier.rawValue]), &bits, into: &buckets)
        }
        tierCounts = counts
    }

    private func unpack(
        _ tier: WindowTier, _ count: Int, _ bits: inout BitReader, week: [WindowBucket] = [],
        into buckets: inout [WindowBucket]
    ) {
        guard count > 0 else { return }
        var orders = PackedOrders()
        orders.isPlain = bits.flag()
        orders.sum = Int(bits.read(bits: Self.orderBits))
        orders.squares = Int(bits.read(bits: Self.orderBits))
        var next = tier.bucket(of: lastTime) - tier.length + 1
        var quarter = 0
        for _ in 0..<count {
            let index = next &+ Int32(truncatingIfNeeded: bits.read(order: 0))
            next = index &+ 1
            if tier == .month, let told = day(index, week, week.indices, from: &quarter), bits.flag() {
                buckets.append(told.unpackingRounding(&bits).bucket(index))
                continue
            }
            let isRaw = !orders.isPlain && bits.flag()
            let number = UInt32(truncatingIfNeeded: bits.read(order: tier == .month ? 1 : 0) &+ 1)
            if isRaw {
                let sum = Double(bitPattern: bits.read(long: 64))
                let squares = number > 1 ? Double(bitPattern: bits.read(long: 64)) : sum * sum
                buckets.append(WindowBucket(index: index, count: number, sum: sum, squares: squares))
            } else {
                buckets.append(WholeBucket(unpacking: &bits, count: number, orders).bucket(index))
            }
        }
    }

    /// A day as its quarters, which are buckets of the week, tell it; nil where they do not reach back so far, or where one
    /// of them is no whole number of hundredths.
    ///
    /// - Parameter quarter: Where the day's first one may be; then that of the next day.
    private func day(
        _ index: Int32, _ buckets: [WindowBucket], _ week: Range<Int>, from quarter: inout Int
    ) -> WholeBucket? {
        let reach = WindowTier.week.bucket(of: lastTime) - WindowTier.week.length
        guard index * 4 > reach else { return nil }
        var told = WholeBucket()
        while quarter < week.upperBound, buckets[quarter].index < index * 4 { quarter += 1 }
        while quarter < week.upperBound, buckets[quarter].index < index * 4 + 4 {
            guard let part = WholeBucket(buckets[quarter]) else { return nil }
            told.count &+= part.count
            told.sum += part.sum
            told.squares += part.squares
            quarter += 1
        }
        return told
    }

    // MARK: - Members

    private func packMembers(into bits: inout BitWriter, _ shared: inout SharedHashes) -> Bool {
        for set in RecentSet.allCases { bits.write(UInt64(setCounts[set.rawValue]), bits: Self.countBits) }
        let lastMinute = Int32(truncatingIfNeeded: flooredQuotient(lastTime, 60_000))
        var start = 0
        for set in RecentSet.allCases where setCounts[set.rawValue] > 0 {
            let members = recents[start..<start + Int(setCounts[set.rawValue])]
            start = members.endIndex
            var gaps: [UInt64] = []
            for (before, member) in zip([lastMinute] + members.map(\.minute), members) {
                guard member.minute <= before else { return false }
                gaps.append(UInt64(Int64(before) - Int64(member.minute)))
            }
            let order = BitWriter.order(of: gaps)
            bits.write(UInt64(order), bits: Self.orderBits)
            for (gap, member) in zip(gaps, members) {
                bits.write(gap, order: order)
                let number =
                    set == .devices ? nil : shared.number(ofFingerprint: member.fingerprint)
                if set != .devices { bits.write(number != nil) }
                if let number {
                    bits.write(number, bits: SharedHashes.bits)
                } else {
                    bits.write(UInt64(member.fingerprint), bits: 32)
                }
            }
        }
        return true
    }

    private mutating func unpackMembers(_ bits: inout BitReader, _ shared: borrowing SharedHashes) {
        for set in RecentSet.allCases {
            setCounts[set.rawValue] = UInt8(truncatingIfNeeded: bits.read(bits: Self.countBits))
        }
        let lastMinute = Int32(truncatingIfNeeded: flooredQuotient(lastTime, 60_000))
        for set in RecentSet.allCases where setCounts[set.rawValue] > 0 {
            let order = Int(bits.read(bits: Self.orderBits))
            var minute = lastMinute
            for _ in 0..<setCounts[set.rawValue] {
                minute = minute &- Int32(truncatingIfNeeded: bits.read(order: order))
                // A device is one person's: nobody else has it.
                let isShared = set != .devices && bits.flag()
                let fingerprint =
                    isShared
                    ? shared.fingerprint(bits.read(bits: SharedHashes.bits))
                    : UInt32(truncatingIfNeeded: bits.read(bits: 32))
                recents.append(RecentMember(fingerprint: fingerprint, minute: minute))
            }
        }
    }
}

/// The orders of a tier's sums and squares.
private struct PackedOrders {
    /// Every bucket is whole, and no sum is negative.
    var isPlain = true
    var sum = 0
    var squares = 0

    init() {}

    init(_ buckets: [WholeBucket?]) {
        let wholes = buckets.compactMap { $0 }
        let isPlain = wholes.count == buckets.count && wholes.allSatisfy { $0.sum >= 0 }
        self.isPlain = isPlain
        sum = BitWriter.order(of: wholes.map { isPlain ? UInt64($0.sum) : zigzag($0.sum) })
        squares = BitWriter.order(of: wholes.filter { $0.count > 1 }.map { UInt64($0.excess) })
    }
}

/// A bucket whose sum is a whole number of hundredths and whose squares are one of ten-thousandths, but for rounding.
private struct WholeBucket {
    var count: UInt32 = 0
    /// Hundredths.
    var sum: Int64 = 0
    /// Ten-thousandths.
    var squares: Int64 = 0
    /// How many doubles the bucket's sum and squares are above those nearest to the whole numbers.
    private var sumRounding: Int64 = 0
    private var squaresRounding: Int64 = 0

    private static let greatestSum = 1e9
    private static let greatestSquares = 1e15
    /// More is no rounding.
    private static let mostRounding: Int64 = 1 << 10

    init() {}

    init?(_ bucket: WindowBucket) {
        let hundredths = (bucket.sum * 100).rounded()
        let parts = (bucket.squares * 1e4).rounded()
        guard abs(hundredths) <= Self.greatestSum, abs(parts) <= Self.greatestSquares else { return nil }
        count = bucket.count
        sum = Int64(hundredths)
        squares = Int64(parts)
        sumRounding = bucket.sum.stepsAbove(Self.amount(sum))
        squaresRounding = count > 1 ? bucket.squares.stepsAbove(Self.square(squares)) : 0
        guard sumRounding.magnitude <= Self.mostRounding, squaresRounding.magnitude <= Self.mostRounding
        else {
            return nil
        }
        // A bucket of one event has the square of its amount.
        let square = bucket.sum * bucket.sum
        guard excess >= 0, count > 1 || square.bitPattern == bucket.squares.bitPattern else { return nil }
    }

    private static func amount(_ hundredths: Int64) -> Double { Double(hundredths) / 100 }
    private static func square(_ parts: Int64) -> Double { Double(parts) / 1e4 }

    /// The squares above the least that they can be: all amounts alike. Not negative.
    var excess: Int64 { squares - sum * sum / Int64(max(count, 1)) }

    func isLike(_ other: WholeBucket) -> Bool {
        count == other.count && sum == other.sum && (count == 1 || squares == other.squares)
    }

    func bucket(_ index: Int32) -> WindowBucket {
        let sum = Self.amount(sum).stepping(sumRounding)
        let squares = count > 1 ? Self.square(squares).stepping(squaresRounding) : sum * sum
        return WindowBucket(index: index, count: count, sum: sum, squares: squares)
    }

    func pack(into bits: inout BitWriter, _ orders: PackedOrders) {
        bits.write(orders.isPlain ? UInt64(sum) : zigzag(sum), order: orders.sum)
        if count > 1 { bits.write(UInt64(excess), order: orders.squares) }
        packRounding(into: &bits)
    }

    init(unpacking bits: inout BitReader, count: UInt32, _ orders: PackedOrders) {
        self.count = count
        let packed = bits.read(order: orders.sum)
        sum = orders.isPlain ? Int64(truncatingIfNeeded: packed) : unzigzag(packed)
        if count > 1 {
            let excess = Int64(truncatingIfNeeded: bits.read(order: orders.squares))
            squares = excess &+ sum &* sum / Int64(count)
        }
        self = unpackingRounding(&bits)
    }

    func packRounding(into bits: inout BitWriter) {
        bits.write(zigzag(sumRounding), order: 0)
        if count > 1 { bits.write(zigzag(squaresRounding), order: 0) }
    }

    func unpackingRounding(_ bits: inout BitReader) -> WholeBucket {
        var bucket = self
        bucket.sumRounding = unzigzag(bits.read(order: 0))
        if count > 1 { bucket.squaresRounding = unzigzag(bits.read(order: 0)) }
        return bucket
    }
}

extension Double {
    /// How many doubles it is above another one; of different signs, more than any rounding.
    fileprivate func stepsAbove(_ other: Double) -> Int64 {
        guard sign == other.sign else { return .max }
        let steps = Int64(bitPattern: bitPattern) - Int64(bitPattern: other.bitPattern)
        return sign == .minus ? -steps : steps
    }

    fileprivate func stepping(_ steps: Int64) -> Double {
        let bits = Int64(bitPattern: bitPattern) &+ (sign == .minus ? -steps : steps)
        return Double(bitPattern: UInt64(bitPattern: bits))
    }
}
