import Exact

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
        guard let dayNumber = CivilDate.daysSince1970(year: year, month: month, day: day) else { return nil }
        self.init(dayNumber: dayNumber)
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
    public var path: String { text(separator: UInt8(ascii: "/")) }

    public func adding(days: Int) -> LakeDay { LakeDay(dayNumber: dayNumber + days) }

    public static let milliseconds: Int64 = 86_400_000

    private var civil: CivilDate { CivilDate(daysSince1970: dayNumber) }

    private func text(separator: UInt8) -> String {
        var bytes: [UInt8] = []
        TimeText.appendDate(civil, separator: separator, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension LakeDay: Strideable {
    public func distance(to other: LakeDay) -> Int { other.dayNumber - dayNumber }
    public func advanced(by days: Int) -> LakeDay { adding(days: days) }
}

extension LakeDay: CustomStringConvertible {
    /// `2018-06-01`
    public var description: String { text(separator: UInt8(ascii: "-")) }
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
