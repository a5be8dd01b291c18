import CExact

/// A date of the proleptic Gregorian calendar.
public struct CivilDate: Sendable, Hashable {
    public let year: Int
    /// 1 to 12.
    public let month: Int
    /// 1 to 31.
    public let day: Int

    /// The date of a day, counted from 1 January 1970. Of any day: years before 1 are 0 and negative.
    public init(daysSince1970: Int) {
        var (year, month, day) = (Int64(0), Int32(0), Int32(0))
        exact_date(Int64(daysSince1970), &year, &month, &day)
        self.year = Int(year)
        self.month = Int(month)
        self.day = Int(day)
    }

    /// Days since 1 January 1970 of a date; nil when there is no such day. Years 0001 to 9999.
    public static func daysSince1970(year: Int, month: Int, day: Int) -> Int? {
        guard let month = Int32(exactly: month), let day = Int32(exactly: day) else { return nil }
        var days: Int64 = 0
        return exact_days(Int64(year), month, day, &days) != 0 ? Int(days) : nil
    }
}
