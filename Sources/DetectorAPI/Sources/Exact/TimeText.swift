import CExact

/// RFC 3339 times and milliseconds since 1970 UTC.
public enum TimeText {
    /// The event times that a transaction may have: from 1971 up to, not including, 2200.
    public static let acceptedMilliseconds = EXACT_EARLIEST_MILLISECONDS..<EXACT_LATEST_MILLISECONDS

    /// Reads `2018-06-01T12:30:00.250+02:00` and its kin, as `exact_time` has them; nil when `text` is no such time.
    ///
    /// The zone is required. Digits past the millisecond are cut off; second 60, a leap second, counts as the first
    /// of the next minute. Years 0001 to 9999.
    public static func milliseconds(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { milliseconds($0) }
    }

    /// Reads the ASCII bytes of such a time.
    public static func milliseconds(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        guard let start = text.baseAddress else { return nil }
        var milliseconds: Int64 = 0
        let isTime = start.withMemoryRebound(to: CChar.self, capacity: text.count) {
            exact_parse_time($0, text.count, &milliseconds) != 0
        }
        return isTime ? milliseconds : nil
    }

    /// `2018-06-01T00:00:00.000Z`, always UTC with milliseconds.
    ///
    /// Times outside the years 0000 to 9999 give more digits or a sign, as in ISO 8601's expanded form.
    public static func text(_ milliseconds: Int64) -> String {
        var bytes: [UInt8] = []
        append(milliseconds, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends what `text` gives.
    public static func append(_ milliseconds: Int64, to bytes: inout [UInt8]) {
        var (day, time) = milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        if time < 0 { (day, time) = (day - 1, time + 86_400_000) }
        appendDate(CivilDate(daysSince1970: Int(day)), separator: UInt8(ascii: "-"), to: &bytes)
        // Every verdict has a time: its digits are appended as one.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 14) { text in
            func put(_ number: Int64, behind mark: Unicode.Scalar, at place: Int) {
                text[place] = UInt8(ascii: mark)
                text[place + 1] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / 10)
                text[place + 2] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10)
            }
            put(time / 3_600_000, behind: "T", at: 0)
            put(time / 60_000 % 60, behind: ":", at: 3)
            put(time / 1000 % 60, behind: ":", at: 6)
            put(time % 1000 / 10, behind: ".", at: 9)
            text[12] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: time % 10)
            text[13] = UInt8(ascii: "Z")
            bytes.append(contentsOf: text)
        }
    }

    /// `2018-06-01` with another separator, or none.
    public static func appendDate(_ date: CivilDate, separator: UInt8?, to bytes: inout [UInt8]) {
        if date.year < 0 { bytes.append(UInt8(ascii: "-")) }
        Digits.append(UInt64(date.year.magnitude), atLeast: 4, to: &bytes)
        if let separator { bytes.append(separator) }
        Digits.append(UInt64(date.month), atLeast: 2, to: &bytes)
        if let separator { bytes.append(separator) }
        Digits.append(UInt64(date.day), atLeast: 2, to: &bytes)
    }

    /// `20130524T000000Z`, as signatures of requests have it.
    public static func compact(secondsSince1970: Int) -> String {
        var (day, time) = secondsSince1970.quotientAndRemainder(dividingBy: 86_400)
        if time < 0 { (day, time) = (day - 1, time + 86_400) }
        var bytes: [UInt8] = []
        appendDate(CivilDate(daysSince1970: day), separator: nil, to: &bytes)
        bytes.append(UInt8(ascii: "T"))
        for part in [time / 3600, time / 60 % 60, time % 60] {
            Digits.append(UInt64(part), atLeast: 2, to: &bytes)
        }
        bytes.append(UInt8(ascii: "Z"))
        return String(decoding: bytes, as: UTF8.self)
    }
}
