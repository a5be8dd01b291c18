import Exact

/// The times of transactions: RFC 3339, and milliseconds since 1970 UTC.
public enum EventTime {
    /// The event times that a transaction may have: from 1971 up to, not including, 2200. In these years a count
    /// since 1970 is of one unit only, by its size: seconds, milli-, micro- or nanoseconds.
    public static let acceptedMilliseconds = TimeText.acceptedMilliseconds

    /// `TimeText.milliseconds`.
    public static func parse(_ text: String) -> Int64? { TimeText.milliseconds(text) }

    /// `TimeText.text`: `2018-06-01T00:00:00.000Z`.
    public static func format(_ milliseconds: Int64) -> String { TimeText.text(milliseconds) }
}
