import Exact
import Testing

@Suite struct TimeTextTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2018-06-01T00:00:00.000Z", 1_527_811_200_000),
            ("2018-06-01T02:00:00+02:00", 1_527_811_200_000),
            ("2018-05-31T16:30:00-07:30", 1_527_811_200_000),
            ("2018-06-01 00:00:00z", 1_527_811_200_000), ("2018-06-01t00:00:00.1239z", 1_527_811_200_123),
            ("2018-06-01T00:00:00.5Z", 1_527_811_200_500), ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("2000-02-29T12:00:00Z", 951_825_600_000), ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999), ("1969-12-31T23:59:59.999Z", -1),
            ("2018-06-01T00:00Z", 1_527_811_200_000), ("2018-06-01 02:00+02", 1_527_811_200_000),
            ("2018-06-01T00:00:00,5Z", 1_527_811_200_500),
            ("2018-06-01T02:00:00+02:00[Europe/Paris]", 1_527_811_200_000),
            ("2018-06-01T00:00Z[UTC]", 1_527_811_200_000),
            ("2018-06-01 02:00:00 +0200 CEST", 1_527_811_200_000),
            ("20180601T000000Z", 1_527_811_200_000), ("20180601T020000.5+0200", 1_527_811_200_500),
            ("Fri, 01 Jun 2018 00:00:00 GMT", 1_527_811_200_000),
            ("1 Jun 2018 02:00 +0200", 1_527_811_200_000),
        ] as [(String, Int64)])
    func reads(_ text: String, _ milliseconds: Int64) {
        #expect(TimeText.milliseconds(text) == milliseconds)
    }

    @Test(arguments: [
        "", "2018-06-01", "2018-06-01T00:00:00", "2018-06-01T00:00", "2018-06-01T00Z", "2018-13-01T00:00:00Z",
        "2018-06-01T00:00:00[Europe/Paris]", "2018-06-01T00:00:00Z]", "2018-06-01T00:00:00+02:00[",
        "2018-06-01 00:00:00 CET", "20180601T0000Z", "20180601000000Z", "20180631T000000Z", "20180601T",
        "Fri, 01 Jun 2018 00:00:00", "Fri, 01 Jon 2018 00:00:00 GMT", "01 Jun 18 00:00:00 GMT",
        "Fri, 00 Jun 2018 00:00:00 GMT", "06/01/2018 00:00:00Z", "2018-06-01T00:00:00Z\n",
        "2018-00-01T00:00:00Z",
        "2018-06-31T00:00:00Z", "2019-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2018-06-01T24:00:00Z",
        "2018-06-01T00:60:00Z", "2018-06-01T00:00:61Z", "2018-06-01T00:00:00.Z", "2018-06-01T00:00:00+2:00",
        "2018-06-01T00:00:00+24:00", "2018-06-01T00:00:00+02:60", "2018-06-01T00:00:00+020",
        "2018-06-01T00:00:00ZZ",
        "2018-6-01T00:00:00ZZZ", "0000-01-01T00:00:00Z", "+2018-06-01T00:00:00Z", "2018/06/01T00:00:00Z",
        "２018-06-01T00:00:00Z",
    ])
    func refuses(_ text: String) {
        #expect(TimeText.milliseconds(text) == nil)
    }

    @Test func everyDayIsWrittenAndRead() {
        // A day of each year's every month, and every day of two years around a leap day.
        var days = Array(stride(from: Int64(-719_162), to: 2_932_896, by: 13))
        days += 10_000..<11_500
        let wrong = days.filter {
            TimeText.milliseconds(TimeText.text($0 * 86_400_000 + 12_345)) != $0 * 86_400_000 + 12_345
        }
        #expect(wrong.isEmpty)
    }

    @Test func writesUTCWithMilliseconds() {
        #expect(TimeText.text(1_527_811_200_000) == "2018-06-01T00:00:00.000Z")
        #expect(TimeText.text(951_868_799_007) == "2000-02-29T23:59:59.007Z")
        #expect(TimeText.text(-1) == "1969-12-31T23:59:59.999Z")
        // Beyond four digits of years, but no trap.
        #expect(TimeText.text(.max).hasSuffix("Z"))
        #expect(TimeText.text(.min).hasPrefix("-"))
    }

    @Test func datesAreThoseOfTheCalendar() {
        #expect(CivilDate.daysSince1970(year: 2000, month: 2, day: 30) == nil)
        #expect(CivilDate.daysSince1970(year: 2000, month: 13, day: 1) == nil)
        #expect(CivilDate.daysSince1970(year: 1900, month: 2, day: 29) == nil)
        #expect(CivilDate.daysSince1970(year: 0, month: 1, day: 1) == nil)
        #expect(CivilDate.daysSince1970(year: .max, month: .max, day: .min) == nil)
        let day = CivilDate(daysSince1970: -719_163)
        #expect((day.year, day.month, day.day) == (0, 12, 31))
    }

    @Test func signaturesHaveTheirOwnForm() {
        #expect(TimeText.compact(secondsSince1970: 0) == "19700101T000000Z")
        #expect(TimeText.compact(secondsSince1970: 1_369_353_600) == "20130524T000000Z")
        #expect(TimeText.compact(secondsSince1970: 1_709_251_199) == "20240229T235959Z")
    }
}
