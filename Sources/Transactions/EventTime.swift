import CSimdJSON

/// RFC 3339 times and milliseconds since 1970 UTC, in the proleptic Gregorian calendar.
public enum EventTime {
    /// The event times that a transaction may have: from 1971 up to, not including, 2200. Seconds or microseconds
    /// that somebody sent as milliseconds fall outside.
    public static let acceptedMilliseconds = CSIMD_EARLIEST_MILLISECONDS..<CSIMD_LATEST_MILLISECONDS

    /// Reads `2018-06-01T12:30:00.250+02:00` and the like; nil when `text` is no RFC 3339 time.
    ///
    /// The zone is required. Digits past the millisecond are cut off; second 60, a leap second, counts as the first
    /// of the next minute. Years 0001 to 9999.
    public static func parse(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { parse(UnsafeRawBufferPointer($0)) }
    }

    /// Reads the ASCII bytes of an RFC 3339 time.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var milliseconds: Int64 = 0
        let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        return csimd_parse_time(start, bytes.count, &milliseconds) != 0 ? milliseconds : nil
    }

    /// Writes `2018-06-01T00:00:00.000Z`, always UTC with milliseconds.
    ///
    /// Times outside the years 0000 to 9999 give more digits or a sign, as in ISO 8601's expanded form.
    public static func format(_ milliseconds: Int64) -> String {
        let (day, inDay) = milliseconds.flooredDivision(by: 86_400_000)
        let date = civilDate(daysSince1970: day)
        let time = Int(inDay)
        var text = ""
        text.reserveCapacity(24)
        if date.year < 0 { text += "-" }
        append(Int(date.year.magnitude), digits: 4, to: &text)
        text += "-"
        append(date.month, digits: 2, to: &text)
        text += "-"
        append(date.day, digits: 2, to: &text)
        text += "T"
        append(time / 3_600_000, digits: 2, to: &text)
        text += ":"
        append(time / 60_000 % 60, digits: 2, to: &text)
        text += ":"
        append(time / 1000 % 60, digits: 2, to: &text)
        text += "."
        append(time % 1000, digits: 3, to: &text)
        return text + "Z"
    }

    private static func append(_ number: Int, digits: Int, to text: inout String) {
        let plain = String(number)
        for _ in 0..<max(0, digits - plain.utf8.count) { text += "0" }
        text += plain
    }

    /// Year, month and day. Counts years from 1 March, so that the leap day is the last, in cycles of 400 years.
    private static func civilDate(daysSince1970: Int64) -> (year: Int64, month: Int, day: Int) {
        let (cycle, dayOfCycle) = (daysSince1970 + 719_468).flooredDivision(by: 146_097)
        // 1460 days end a year but the fourth, 36524 a century but the fourth, 146096 the cycle.
        let year = (dayOfCycle - dayOfCycle / 1460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
        let dayOfYear = Int(dayOfCycle - (365 * year + year / 4 - year / 100))
        // The months from March repeat 31, 30, 31, 30, 31: 153 days.
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (cycle * 400 + year + (month <= 2 ? 1 : 0), month, day)
    }
}

extension Int64 {
    /// Quotient rounded down, and a remainder that is not negative.
    fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
