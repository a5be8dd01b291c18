/// When something is to be done, in the words of cron: minute, hour, day of the month, month, day of the week, in UTC.
///
/// Each is `*`, a number, a range `1-5`, a list `1,15`, with a step `*/15`; Sunday is 0 or 7. As cron has it, where both the
/// day of the month and that of the week are given either will do. `@hourly`, `@daily`, `@weekly`, `@monthly` are short for
/// such words (POSIX.1-2017, crontab; Vixie cron's steps and names of periods).
public struct CronWords: Sendable, Hashable {
    private let minutes: Set<Int>
    private let hours: Set<Int>
    private let days: Set<Int>
    private let months: Set<Int>
    private let weekdays: Set<Int>
    private let isAnyDay: Bool
    private let isAnyWeekday: Bool

    /// - Throws: `TrainingError.invalidRequest` saying which word is wrong.
    public init(_ text: String) throws {
        let words = (Self.periods[text] ?? text).split(separator: " ")
        guard words.count == 5 else {
            throw Self.wrong(
                "'\(text)' has \(words.count) words; write five, '0 3 * * *' for three at night, or @hourly, @daily, "
                    + "@weekly, @monthly")
        }
        minutes = try Self.numbers(words[0], 0...59, "minute")
        hours = try Self.numbers(words[1], 0...23, "hour")
        days = try Self.numbers(words[2], 1...31, "day of the month")
        months = try Self.numbers(words[3], 1...12, "month")
        weekdays = Set(try Self.numbers(words[4], 0...7, "day of the week").map { $0 % 7 })
        isAnyDay = words[2] == "*"
        isAnyWeekday = words[4] == "*"
        guard next(after: 0) != nil else { throw Self.wrong("'\(text)' is never") }
    }

    private static let periods = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    ]

    private static func wrong(_ reason: String) -> TrainingError {
        .invalidRequest(field: "training.schedule", reason: reason)
    }

    private static func numbers(
        _ word: Substring, _ range: ClosedRange<Int>, _ name: String
    ) throws -> Set<Int> {
        var numbers: Set<Int> = []
        for part in word.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            let step = pieces.count == 2 ? Int(pieces[1]) : 1
            let bounds = pieces[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
            let first = pieces[0] == "*" ? range.lowerBound : Int(bounds[0])
            let last =
                pieces[0] == "*" || (bounds.count == 1 && pieces.count == 2)
                ? range.upperBound : bounds.last.flatMap { Int($0) }
            guard let step, (1...range.upperBound + 1).contains(step), let first, let last,
                range.contains(first), range.contains(last), first <= last
            else {
                throw wrong(
                    "'\(word)' is no \(name); it is \(range.lowerBound) to \(range.upperBound), *, 1-5, 1,3 or */15"
                )
            }
            numbers.formUnion(stride(from: first, through: last, by: step))
        }
        return numbers
    }

    /// The first moment after another; nil: never.
    ///
    /// - Parameter moment: Milliseconds since 1970 UTC, as the answer.
    public func next(after moment: Int64) -> Int64? {
        let minute: Int64 = 60_000
        let (perHour, perDay) = (60 * minute, 1_440 * minute)
        var time = (floored(moment, minute) + 1) * minute
        // The 29th of February on a given weekday comes once in 28 years, 40 around a century.
        let end = time + 41 * 366 * perDay
        while time < end {
            let day = floored(time, perDay)
            let (month, dayOfMonth) = Self.civil(day)
            guard months.contains(month), isDay(dayOfMonth, weekday: Int((day % 7 + 11) % 7)) else {
                time = (day + 1) * perDay
                continue
            }
            let inDay = time - day * perDay
            guard hours.contains(Int(inDay / perHour)) else {
                time = (floored(time, perHour) + 1) * perHour
                continue
            }
            if minutes.contains(Int(inDay % perHour / minute)) { return time }
            time += minute
        }
        return nil
    }

    private func isDay(_ dayOfMonth: Int, weekday: Int) -> Bool {
        if isAnyDay { return weekdays.contains(weekday) }
        if isAnyWeekday { return days.contains(dayOfMonth) }
        return days.contains(dayOfMonth) || weekdays.contains(weekday)
    }

    private func floored(_ value: Int64, _ unit: Int64) -> Int64 {
        let quotient = value / unit
        return value % unit < 0 ? quotient - 1 : quotient
    }

    /// Month and day of the month of a day since 1970, by the Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level
    /// Date Algorithms", civil_from_days).
    private static func civil(_ day: Int64) -> (month: Int, day: Int) {
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        return (
            Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9),
            Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        )
    }
}
