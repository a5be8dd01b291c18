import Exact
import Foundation
import Testing

@testable import Host

@Suite struct ZoneTests {
    private func instant(_ text: String, _ zone: PlaceZone) -> String? {
        var text = text
        return text.withUTF8 { ValueText.time($0, zone: zone).value }.map { TimeText.text($0) }
    }

    @Test(
        arguments: [
            ("Europe/Amsterdam", "2026-03-01 12:00:00", "2026-03-01T11:00:00.000Z"),
            ("Europe/Amsterdam", "2026-07-01 12:00:00", "2026-07-01T10:00:00.000Z"),
            // The second before the clock leaps, one that it leaps over, and one that comes twice.
            ("Europe/Amsterdam", "2026-03-29 01:59:59", "2026-03-29T00:59:59.000Z"),
            ("Europe/Amsterdam", "2026-03-29 02:30:00", "2026-03-29T01:30:00.000Z"),
            ("Europe/Amsterdam", "2026-10-25 02:30:00", "2026-10-25T00:30:00.000Z"),
            ("Europe/Amsterdam", "2026-10-25 03:00:00", "2026-10-25T02:00:00.000Z"),
            // A change that is no summer time, a half hour, and a zone without any.
            ("Europe/Moscow", "2014-10-27 12:00:00", "2014-10-27T09:00:00.000Z"),
            ("Europe/Moscow", "2014-10-24 12:00:00", "2014-10-24T08:00:00.000Z"),
            ("Asia/Kolkata", "2026-03-01 12:00:00", "2026-03-01T06:30:00.000Z"),
            ("America/New_York", "1999-12-31 23:59:59.5", "2000-01-01T04:59:59.500Z"),
            ("UTC", "2026-03-01 12:00:00", "2026-03-01T12:00:00.000Z"),
        ])
    func clocksAreThoseOfThePlace(_ name: String, _ local: String, _ expected: String) throws {
        let zone = try #require(TimeZone(identifier: name))
        #expect(instant(local, PlaceZone(name: name, zone)) == expected)
    }
}
