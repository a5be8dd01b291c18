import CSimdJSON
import Exact

/// The times of transactions: RFC 3339, and milliseconds since 1970 UTC.
public enum EventTime {
    /// The event times that a transaction may have: from 1971 up to, not including, 2200. Seconds or microseconds
    /// that somebody sent as milliseconds fall outside.
    public static let acceptedMilliseconds = CSIMD_EARLIEST_MILLISECONDS..<CSIMD_LATEST_MILLISECONDS

    /// `TimeText.milliseconds`.
    public static func parse(_ text: String) -> Int64? { TimeText.milliseconds(text) }

    /// `TimeText.text`: `2018-06-01T00:00:00.000Z`.
    public static func format(_ milliseconds: Int64) -> String { TimeText.text(milliseconds) }
}
