/// The rolling state of one user: how often, how much, where and with whom, over the last hour, day, week and 30 days.
///
/// A plain value, bounded in size whatever is folded into it. Events may come late: each goes into its own buckets
/// while they are in reach of the latest event. All operations give the same bits on every machine.
public struct UserWindow: Sendable, Equatable {
    /// Time of the latest event; `none` before the first. Milliseconds since 1970 UTC.
    var lastTime = Self.none
    /// Where the latest located event of the last 30 d happened; of several at the same time the largest place.
    var place = Place.none
    /// The tiers' buckets, one tier after the other, each ascending by index, each in reach of `lastTime`.
    var buckets: [WindowBucket] = []
    var tierCounts = SIMD4<UInt8>()
    /// The sets' members, one set after the other, each in the order of `RecentMember.precedes`, seen in the last 30 d.
    var recents: [RecentMember] = []
    var setCounts = SIMD4<UInt8>()

    static let none = Int64.min

    public init() {}

    /// Nothing has been folded in.
    public var isEmpty: Bool { lastTime == Self.none }

    /// Time of the latest event, milliseconds since 1970 UTC; nil before the first.
    public var lastEventMilliseconds: Int64? { isEmpty ? nil : lastTime }

    // MARK: - Changing

    /// Forgets everything but keeps the memory.
    package mutating func clear() {
        lastTime = Self.none
        place = .none
        buckets.removeAll(keepingCapacity: true)
        tierCounts = SIMD4()
        recents.removeAll(keepingCapacity: true)
        setCounts = SIMD4()
    }

    /// Becomes the same as another one, in the memory that it has.
    package mutating func become(_ other: UserWindow) {
        clear()
        lastTime = other.lastTime
        place = other.place
        buckets.append(contentsOf: other.buckets)
        tierCounts = other.tierCounts
        recents.append(contentsOf: other.recents)
        setCounts = other.setCounts
    }

    /// Takes an event in.
    ///
    /// The order of events matters for the last bits of sums alone.
    ///
    /// - Returns: True when the event was too late for every bucket; the window is then as it was.
    @discardableResult
    public mutating func fold(_ event: WindowEvent) -> Bool {
        let time = event.windowTime
        let newest = max(time, lastTime)
        let lastDay = WindowTier.month.bucket(of: newest)
        guard WindowTier.month.bucket(of: time) > lastDay - WindowTier.month.length else { return true }
        let advances = time > lastTime
        lastTime = newest
        foldBuckets(event.windowAmount, at: time, newest: newest, advances: advances)
        if advances { dropStaleMembers(lastDay: lastDay) }
        foldMembers(event, minute: Int32(truncatingIfNeeded: flooredQuotient(time, 60_000)))
        if event.isLocated {
            place = max(
                place, Place(time: time, latitude: event.latitude + 0, longitude: event.longitude + 0))
        }
        dropStalePlace(lastDay: lastDay)
        return false
    }

    /// Adds what another window of the same user has seen.
    ///
    /// Commutative and associative: exactly for counts, sets, last time and place; sums to about 1e-12 of the sum of
    /// magnitudes.
    public mutating func merge(_ other: UserWindow) {
        if other.isEmpty { return }
        if isEmpty {
            self = other
            return
        }
        let newest = max(lastTime, other.lastTime)
        let lastDay = WindowTier.month.bucket(of: newest)
        mergeBuckets(other, newest: newest)
        mergeMembers(other)
        lastTime = newest
        dropStaleMembers(lastDay: lastDay)
        place = max(place, other.place)
        dropStalePlace(lastDay: lastDay)
    }

    /// Lets go of what no event from `asOfMilliseconds` on will see. The features of such an event stay the same, bit
    /// for bit; what is left of a user idle for 30 d is the time of the last event.
    public mutating func decay(asOfMilliseconds: Int64) {
        let asOf = min(max(asOfMilliseconds, -(1 << 46)), 1 << 46)
        guard asOf > lastTime, !isEmpty else { return }
        var start = 0
        for tier in WindowTier.allCases {
            let stale = staleCount(of: tier, start: start, floor: tier.bucket(of: asOf) - tier.length)
            buckets.removeSubrange(start..<start + stale)
            tierCounts[tier.rawValue] -= UInt8(stale)
            start += Int(tierCounts[tier.rawValue])
        }
        let lastDay = WindowTier.month.bucket(of: asOf)
        dropStaleMembers(lastDay: lastDay)
        dropStalePlace(lastDay: lastDay)
    }

    // MARK: - Buckets

    /// Drops buckets that went out of reach and adds the amount to its own, in each tier that it is in reach of.
    private mutating func foldBuckets(_ amount: Double, at time: Int64, newest: Int64, advances: Bool) {
        var counts = tierCounts
        buckets.withRoom(for: WindowTier.count, filler: WindowBucket(index: 0, amount: 0)) { buckets in
            var start = 0
            for raw in 0..<WindowTier.count {
                let tier = WindowTier(rawValue: raw).unsafelyUnwrapped
                let floor = tier.bucket(of: newest) - tier.length
                let index = tier.bucket(of: time)
                var end = start + Int(counts[raw])
                var fresh = start
                while advances, fresh < end, buckets[fresh].index <= floor { fresh += 1 }
                var position = end
                while position > fresh, buckets[position - 1].index > index { position -= 1 }
                if position > fresh, buckets[position - 1].index == index {
                    buckets[position - 1].add(count: 1, sum: amount, squares: amount * amount)
                } else if index > floor, fresh > start {
                    // The newcomer takes the place of a stale bucket, and those before it move down.
                    fresh -= 1
                    buckets.move(fresh + 1..<position, to: fresh)
                    buckets[position - 1] = WindowBucket(index: index, amount: amount)
                } else if index > floor {
                    buckets.insert(WindowBucket(index: index, amount: amount), at: position)
                    end += 1
                }
                buckets.remove(start..<fresh)
                counts[raw] = UInt8(truncatingIfNeeded: end - fresh)
                start += end - fresh
            }
        }
        tierCounts = counts
    }

    /// How many of a tier's buckets are at or below `floor`; they come first.
    private func staleCount(of tier: WindowTier, start: Int, floor: Int32) -> Int {
        let end = start + Int(tierCounts[tier.rawValue])
        var first = start
        while first < end, buckets[first].index <= floor { first += 1 }
        return first - start
    }

    private mutating func mergeBuckets(_ other: UserWindow, newest: Int64) {
        var merged: [WindowBucket] = []
        merged.reserveCapacity(min(buckets.count + other.buckets.count, WindowTier.totalLength))
        var counts = SIMD4<UInt8>()
        var mine = 0
        var theirs = 0
        for tier in WindowTier.allCases {
            let myEnd = mine + Int(tierCounts[tier.rawValue])
            let theirEnd = theirs + Int(other.tierCounts[tier.rawValue])
            let floor = tier.bucket(of: newest) - tier.length
            let before = merged.count
            while mine < myEnd || theirs < theirEnd {
                var bucket: WindowBucket
                if theirs == theirEnd || (mine < myEnd && buckets[mine].index < other.buckets[theirs].index) {
                    bucket = buckets[mine]
                    mine += 1
                } else {
                    bucket = other.buckets[theirs]
                    theirs += 1
                    if mine < myEnd, buckets[mine].index == bucket.index {
                        let same = buckets[mine]
                        bucket.add(count: same.count, sum: same.sum, squares: same.squares)
                        mine += 1
                    }
                }
                if bucket.index > floor { merged.append(bucket) }
            }
            counts[tier.rawValue] = UInt8(merged.count - before)
        }
        buckets = merged
        tierCounts = counts
    }

    // MARK: - Sets

    private mutating func foldMembers(_ event: WindowEvent, minute: Int32) {
        var counts = setCounts
        recents.withRoom(for: RecentSet.count, filler: RecentMember(fingerprint: 0, minute: 0)) { members in
            var start = 0
            for raw in 0..<RecentSet.count {
                let set = RecentSet(rawValue: raw).unsafelyUnwrapped
                let hash = set.hash(event)
                if hash != 0 {
                    let member = RecentMember(fingerprint: RecentMember.fingerprint(hash), minute: minute)
                    let count = members.insert(
                        member, start: start, count: Int(counts[raw]), capacity: set.capacity)
                    counts[raw] = UInt8(truncatingIfNeeded: count)
                }
                start += Int(counts[raw])
            }
        }
        setCounts = counts
    }

    private mutating func dropStaleMembers(lastDay: Int32) {
        let floor = lastDay - WindowTier.month.length
        var start = 0
        for raw in 0..<RecentSet.count {
            let end = start + Int(setCounts[raw])
            var kept = end
            while kept > start, recents[kept - 1].day <= floor { kept -= 1 }
            if kept < end {
                recents.removeSubrange(kept..<end)
                setCounts[raw] = UInt8(kept - start)
            }
            start = kept
        }
    }

    private mutating func mergeMembers(_ other: UserWindow) {
        var counts = setCounts
        recents.withRoom(for: other.recents.count, filler: RecentMember(fingerprint: 0, minute: 0)) {
            members in
            var start = 0
            var theirs = 0
            for set in RecentSet.allCases {
                var count = Int(counts[set.rawValue])
                for member in other.recents[theirs..<theirs + Int(other.setCounts[set.rawValue])] {
                    count = members.insert(member, start: start, count: count, capacity: set.capacity)
                }
                theirs += Int(other.setCounts[set.rawValue])
                counts[set.rawValue] = UInt8(truncatingIfNeeded: count)
                start += count
            }
        }
        setCounts = counts
    }

    private mutating func dropStalePlace(lastDay: Int32) {
        guard place.time != Self.none else { return }
        if WindowTier.month.bucket(of: place.time) <= lastDay - WindowTier.month.length { place = .none }
    }
}

/// Where and when, ordered by time, then latitude, then longitude.
struct Place: Sendable, Equatable, Comparable {
    var time: Int64
    /// Degrees, within -90...90.
    var latitude: Double
    /// Degrees, within -180...180.
    var longitude: Double

    static let none = Place(time: UserWindow.none, latitude: 0, longitude: 0)

    static func < (a: Place, b: Place) -> Bool {
        if a.time != b.time { return a.time < b.time }
        return a.latitude != b.latitude ? a.latitude < b.latitude : a.longitude < b.longitude
    }
}
