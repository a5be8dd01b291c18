import Exact

extension UserWindow {
    /// Numeric features of a row, `FeatureSchema.numeric.count` of them.
    public static var featureCount: Int { 57 }
    /// Those that come from reference tables, ascending; the others come from the window.
    public static let referencePlaces: [Int] = Array(referenceRange) + [fraudDaysPlace]
    /// Those of schema version 2.
    static var referenceRange: Range<Int> { 25..<51 }
    static var fraudDaysPlace: Int { 56 }
    static func isReference(_ place: Int) -> Bool {
        referenceRange.contains(place) || place == fraudDaysPlace
    }
    /// Those of the window that compare it with its own 30 days.
    static var comparisonRange: Range<Int> { 51..<56 }
    /// Fewer transactions in 30 d say nothing of what is usual, by which a comparison could divide.
    private static var comparableCount: UInt64 { 10 }
    /// Where a row has `log_amount`.
    public static var logAmountPlace: Int { 1 }

    /// Writes the numeric features for an event, from this window, which does not hold it yet. Those of references
    /// become missing; `ReferenceEntries.writeFeatures` fills them in.
    ///
    /// Finite, or NaN where there is nothing to say. A decay to a time before the event does not change them. For a
    /// late event, buckets after its own do not count, while places and novelties are as of the latest event.
    ///
    /// - Parameter features: At least `featureCount` places; `FeatureSchema.numeric` says what goes where.
    public func writeFeatures(
        for event: WindowEvent, into features: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(features.count >= Self.featureCount, "too few places for the features")
        let time = event.windowTime
        let amount = event.windowAmount
        features[0] = bounded(amount)
        features[1] = bounded(DeterministicMath.signedLog1p(amount))
        writeCalendar(of: time, into: features)
        // An event older than the last one has no known predecessor, and comes at once after it for all we know.
        features[6] = isEmpty ? .nan : bounded(Double(max(0, time - lastTime)) / 1000)

        var month = WindowTotals()
        buckets.withUnsafeBufferPointer { buckets in
            var rest = buckets[...]
            month = takeTotals(.month, at: time, from: &rest)
            let week = takeTotals(.week, at: time, from: &rest)
            let day = takeTotals(.day, at: time, from: &rest)
            let hour = takeTotals(.hour, at: time, from: &rest)
            hour.write(into: features, at: 7)
            day.write(into: features, at: 10)
            week.write(into: features, at: 13)
            month.write(into: features, at: 16)
            let pause = Double(features[6])
            writeComparison(of: hour, day, pause: pause, with: month, into: features)
        }
        writeComparison(of: amount, with: month, into: features)
        writeNovelty(of: event, at: time, into: features)
        features[24] = speed(to: event, at: time)
        Self.clearReferences(in: features)
    }

    /// Makes the features of references missing.
    @inline(__always)
    static func clearReferences(in features: UnsafeMutableBufferPointer<Float>) {
        for place in referenceRange { features[place] = .nan }
        features[fraudDaysPlace] = .nan
    }

    private func writeCalendar(of time: Int64, into features: UnsafeMutableBufferPointer<Float>) {
        let hours = flooredQuotient(time, 3_600_000)
        let days = flooredQuotient(hours, 24)
        let hour = Int(hours - days * 24)
        // 1 January 1970 was a Thursday, the weekday 3 when Monday is 0.
        let weekday = Int(days + 3 - flooredQuotient(days + 3, 7) * 7)
        features[2] = CalendarTable.hourSine[hour]
        features[3] = CalendarTable.hourCosine[hour]
        features[4] = CalendarTable.weekdaySine[weekday]
        features[5] = CalendarTable.weekdayCosine[weekday]
    }

    /// Sums a tier's buckets from the oldest to the newest, one after the other: the order decides the last bits.
    private func takeTotals(
        _ tier: WindowTier, at time: Int64, from rest: inout Slice<UnsafeBufferPointer<WindowBucket>>
    ) -> WindowTotals {
        let newest = tier.bucket(of: time)
        let floor = newest - tier.length
        var totals = WindowTotals()
        for bucket in rest.prefix(Int(tierCounts[tier.rawValue]))
        where bucket.index > floor && bucket.index <= newest {
            totals.count += UInt64(bucket.count)
            totals.sum += bucket.sum
            totals.squares += bucket.squares
        }
        rest = rest.dropFirst(Int(tierCounts[tier.rawValue]))
        return totals
    }

    private func writeComparison(
        of amount: Double, with month: WindowTotals, into features: UnsafeMutableBufferPointer<Float>
    ) {
        features[19] = .nan
        features[20] = .nan
        guard month.count > 0 else { return }
        let count = Double(month.count)
        let mean = month.sum / count
        if mean != 0 { features[20] = bounded(amount / mean) }
        guard month.count > 1 else { return }
        let deviations = month.squares - month.sum * mean
        // Sums of squares resolve a deviation down to about 1e-6 of the amounts; what is below is rounding.
        guard deviations > 1e-12 * month.squares else { return }
        features[19] = bounded((amount - mean) / (deviations / (count - 1)).squareRoot())
    }

    /// The last hour, the last day and the pause before this transaction, in what is usual for the user.
    ///
    /// - Parameter pause: Seconds.
    private func writeComparison(
        of hour: WindowTotals, _ day: WindowTotals, pause: Double, with month: WindowTotals,
        into features: UnsafeMutableBufferPointer<Float>
    ) {
        for place in Self.comparisonRange { features[place] = .nan }
        guard month.count >= Self.comparableCount else { return }
        let first = Self.comparisonRange.lowerBound
        features[first] = bounded(pause * Double(month.count) / OwnUsual.monthSeconds)
        let usual = month.sum / Double(month.count)
        guard usual > 0 else { return }
        hour.writeRatios(to: usual, into: features, at: first + 1)
        day.writeRatios(to: usual, into: features, at: first + 3)
    }

    private func writeNovelty(
        of event: WindowEvent, at time: Int64, into features: UnsafeMutableBufferPointer<Float>
    ) {
        let floor = WindowTier.month.bucket(of: time) - WindowTier.month.length
        recents.withUnsafeBufferPointer { recents in
            var start = 0
            for raw in 0..<RecentSet.count {
                let set = RecentSet(rawValue: raw).unsafelyUnwrapped
                let end = start + Int(setCounts[raw])
                features[set.featureIndex] = novelty(
                    of: set.hash(event), in: recents[start..<end], floor: floor)
                start = end
            }
        }
    }

    private func novelty(
        of hash: UInt64, in members: Slice<UnsafeBufferPointer<RecentMember>>, floor: Int32
    ) -> Float {
        if hash == 0 { return .nan }
        let fingerprint = RecentMember.fingerprint(hash)
        for member in members where member.fingerprint == fingerprint { return member.day > floor ? 0 : 1 }
        return 1
    }

    /// km/h in a straight line from the last place; at least 1 s is taken to have passed.
    private func speed(to event: WindowEvent, at time: Int64) -> Float {
        guard event.isLocated, place.time != Self.none else { return .nan }
        let floor = WindowTier.month.bucket(of: time) - WindowTier.month.length
        guard WindowTier.month.bucket(of: place.time) > floor else { return .nan }
        let distance = DeterministicMath.chordKilometres(
            latitude1: place.latitude, longitude1: place.longitude,
            latitude2: event.latitude, longitude2: event.longitude)
        let milliseconds = max(1000, (time - place.time).magnitude)
        return bounded(distance / (Double(milliseconds) / 3_600_000))
    }
}

extension RecentSet {
    @inline(__always)
    fileprivate var featureIndex: Int {
        switch self {
        case .merchants: 21
        case .countries: 22
        case .devices: 23
        }
    }
}

private struct WindowTotals {
    var count: UInt64 = 0
    var sum = 0.0
    var squares = 0.0

    @inline(__always)
    func write(into features: UnsafeMutableBufferPointer<Float>, at index: Int) {
        features[index] = Float(count)
        features[index + 1] = bounded(sum)
        features[index + 2] = count == 0 ? .nan : bounded(sum / Double(count))
    }

    /// Of sum and mean.
    @inline(__always)
    func writeRatios(to usual: Double, into features: UnsafeMutableBufferPointer<Float>, at index: Int) {
        features[index] = bounded(sum / usual)
        features[index + 1] = count == 0 ? .nan : bounded(sum / Double(count) / usual)
    }
}

/// The nearest finite `Float`; NaN stays.
@inline(__always)
private func bounded(_ value: Double) -> Float {
    let limit = Double(Float.greatestFiniteMagnitude)
    if value > limit { return Float.greatestFiniteMagnitude }
    return value < -limit ? -Float.greatestFiniteMagnitude : Float(value)
}

/// Sine and cosine of whole hours of a day and whole days of a week.
private enum CalendarTable {
    static let hourSine: [Float] = [
        0, 0.25881904510252074, 0.5, 0.7071067811865476, 0.8660254037844386, 0.9659258262890683,
        1, 0.9659258262890683, 0.8660254037844386, 0.7071067811865476, 0.5, 0.25881904510252074,
        0, -0.25881904510252074, -0.5, -0.7071067811865476, -0.8660254037844386, -0.9659258262890683,
        -1, -0.9659258262890683, -0.8660254037844386, -0.7071067811865476, -0.5, -0.25881904510252074,
    ]
    static let hourCosine: [Float] = [
        1, 0.9659258262890683, 0.8660254037844386, 0.7071067811865476, 0.5, 0.25881904510252074,
        0, -0.25881904510252074, -0.5, -0.7071067811865476, -0.8660254037844386, -0.9659258262890683,
        -1, -0.9659258262890683, -0.8660254037844386, -0.7071067811865476, -0.5, -0.25881904510252074,
        0, 0.25881904510252074, 0.5, 0.7071067811865476, 0.8660254037844386, 0.9659258262890683,
    ]
    static let weekdaySine: [Float] = [
        0, 0.7818314824680298, 0.9749279121818236, 0.4338837391175581,
        -0.4338837391175581, -0.9749279121818236, -0.7818314824680298,
    ]
    static let weekdayCosine: [Float] = [
        1, 0.6234898018587335, -0.2225209339563144, -0.9009688679024191,
        -0.9009688679024191, -0.2225209339563144, 0.6234898018587335,
    ]
}
