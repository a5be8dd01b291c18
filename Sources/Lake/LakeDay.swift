/// A day of the proleptic Gregorian calendar, in UTC.
///
/// Counted in days, so ranges of days are exact and cheap: `for day in first...last`.
public struct LakeDay: Sendable, Hashable {
    /// Days since 1 January 1970; negative before.
    public let dayNumber: Int

    public init(dayNumber: Int) {
        self.dayNumber = dayNumber
    }

    /// The day that holds a time, given in milliseconds since 1970 UTC.
    public init(epochMilliseconds: Int64) {
        let (quotient, remainder) = epochMilliseconds.quotientAndRemainder(dividingBy: Self.milliseconds)
        self.init(dayNumber: Int(remainder < 0 ? quotient - 1 : quotient))
    }

    /// Nil when there is no such day: 30 February, month 13. Years 0001 to 9999.
    public init?(year: Int, month: Int, day: Int) {
        guard (1...9999).contains(year), (1...12).contains(month), day >= 1 else { return nil }
        guard day <= Self.daysInMonth(month, year: year) else { return nil }
        // Years start on 1 March here, so that the leap day is the last of its year.
        let shifted = month > 2 ? (year: year, month: month - 3) : (year: year - 1, month: month + 9)
        let daysBeforeYear = 365 * shifted.year + shifted.year / 4 - shifted.year / 100 + shifted.year / 400
        // The months from March repeat 31, 30, 31, 30, 31: 153 days for five of them.
        let daysBeforeMonth = (153 * shifted.month + 2) / 5
        self.init(dayNumber: daysBeforeYear + daysBeforeMonth + day - 1 - Self.daysFromYearZeroTo1970)
    }

    /// Reads `2018-06-01`, and nothing looser.
    public init?(parsing text: String) {
        self.init(text, separator: UInt8(ascii: "-"))
    }

    /// Reads `2018/06/01`.
    init?(path: some StringProtocol) {
        self.init(path, separator: UInt8(ascii: "/"))
    }

    private init?(_ text: some StringProtocol, separator: UInt8) {
        let bytes = Array(text.utf8)
        guard bytes.count == 10, bytes[4] == separator, bytes[7] == separator else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            var value = 0
            for byte in bytes[range] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int(byte - UInt8(ascii: "0"))
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10) else {
            return nil
        }
        self.init(year: year, month: month, day: day)
    }

    public var year: Int { civil.year }
    /// 1 to 12.
    public var month: Int { civil.month }
    /// 1 to 31.
    public var day: Int { civil.day }

    /// The first millisecond of the day.
    public var startMilliseconds: Int64 { Int64(dayNumber) * Self.milliseconds }

    /// The day's part of a key in the lake: `2018/06/01`.
    public var path: String { text(separator: "/") }

    public func adding(days: Int) -> LakeDay { LakeDay(dayNumber: dayNumber + days) }

    static let milliseconds: Int64 = 86_400_000
    /// From 1 March of year 0.
    private static let daysFromYearZeroTo1970 = 719_468

    static func daysInMonth(_ month: Int, year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private var civil: (year: Int, month: Int, day: Int) {
        // 146,097 days are 400 years.
        let shifted = dayNumber + Self.daysFromYearZeroTo1970
        let cycle = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfCycle = shifted - cycle * 146_097
        // Day 1,460 ends every fourth year, 36,524 a century, 146,096 the cycle: each is a leap day or the lack of one.
        let leaps = dayOfCycle / 1460 - dayOfCycle / 36_524 + dayOfCycle / 146_096
        let yearOfCycle = (dayOfCycle - leaps) / 365
        let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = cycle * 400 + yearOfCycle + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private func text(separator: String) -> String {
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number.magnitude)
            let zeros = String(repeating: "0", count: max(0, width - digits.utf8.count))
            return (number < 0 ? "-" : "") + zeros + digits
        }
        let (year, month, day) = civil
        return padded(year, 4) + separator + padded(month, 2) + separator + padded(day, 2)
    }
}

extension LakeDay: Strideable {
    public func distance(to other: LakeDay) -> Int { other.dayNumber - dayNumber }
    public func advanced(by days: Int) -> LakeDay { adding(days: days) }
}

extension LakeDay: CustomStringConvertible {
    /// `2018-06-01`
    public var description: String { text(separator: "-") }
}

/// As its text, `2018-06-01`.
extension LakeDay: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let day = LakeDay(parsing: text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "'\(text)' is no day like 2018-06-01")
        }
        self = day
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
