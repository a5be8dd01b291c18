import Foundation
import Testing

@testable import Lake

@Suite struct LakeDayTests {
    @Test func everyDayOfFourHundredYearsHasItsNumber() throws {
        // A day's number and date follow from the day before it, so one known day fixes all.
        var expected = (year: 1899, month: 12, day: 31)
        let first = try #require(LakeDay(year: 1900, month: 1, day: 1))
        #expect(first.dayNumber == -25_567)
        for number in first.dayNumber..<first.dayNumber + 146_097 {
            expected.day += 1
            if LakeDay(year: expected.year, month: expected.month, day: expected.day) == nil {
                expected.day = 1
                expected.month += 1
            }
            if expected.month > 12 { expected = (expected.year + 1, 1, 1) }
            let day = LakeDay(dayNumber: number)
            try #require(day.year == expected.year && day.month == expected.month && day.day == expected.day)
            try #require(LakeDay(year: day.year, month: day.month, day: day.day) == day)
        }
    }

    @Test(arguments: [
        ("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("2018-06-01", 17_683),
        ("0001-01-01", -719_162), ("9999-12-31", 2_932_896),
    ])
    func parsesAndPrints(_ text: String, _ number: Int) {
        #expect(LakeDay(parsing: text)?.dayNumber == number)
        #expect(LakeDay(dayNumber: number).description == text)
    }

    @Test(arguments: [
        "", "2018-6-1", "2018-13-01", "2018-00-01", "2018-02-30", "1900-02-29", "2018-06-00", "2018-06-31",
        "2018/06/01", "2018-06-01 ", "2018-06-0x", "-018-06-01", "0000-01-01", "２018-06-1",
    ])
    func refusesWhatIsNoDay(_ text: String) {
        #expect(LakeDay(parsing: text) == nil)
    }

    @Test func timesBelongToTheirDay() {
        #expect(LakeDay(epochMilliseconds: 0).description == "1970-01-01")
        #expect(LakeDay(epochMilliseconds: -1).description == "1969-12-31")
        #expect(LakeDay(epochMilliseconds: -86_400_000).description == "1969-12-31")
        #expect(LakeDay(epochMilliseconds: -86_400_001).description == "1969-12-30")
        #expect(LakeDay(epochMilliseconds: june1.startMilliseconds + 86_399_999) == june1)
        #expect(LakeDay(epochMilliseconds: .max) > june1)
        #expect(LakeDay(epochMilliseconds: .min) < june1)
    }

    @Test func rangesCountDaysAcrossMonthsAndYears() {
        let last = june1.adding(days: 30)
        #expect(last.description == "2018-07-01")
        #expect((june1...last).map(\.path).suffix(2) == ["2018/06/30", "2018/07/01"])
        #expect(june1.adding(days: 365).description == "2019-06-01")
        #expect(june1.distance(to: last) == 30)
    }

    @Test func isCodedAsText() throws {
        let data = try JSONEncoder().encode([june1])
        #expect(String(decoding: data, as: UTF8.self) == "[\"2018-06-01\"]")
        #expect(try JSONDecoder().decode([LakeDay].self, from: data) == [june1])
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([LakeDay].self, from: Data("[\"2018-06-31\"]".utf8))
        }
    }
}
