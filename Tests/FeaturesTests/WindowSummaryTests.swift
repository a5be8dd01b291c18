import Randomness
import Testing

@testable import Features

/// A window for people says what is in it.
@Suite struct WindowSummaryTests {
    private static let minute: Int64 = 60_000
    private static let hour = 60 * minute
    private static let day = 24 * hour
    /// 2026-02-14T11:30:00Z
    private static let last: Int64 = 1_771_068_600_000

    /// - Parameter events: How long before the last one, and the amount.
    private func window(_ events: [(before: Int64, amount: Double, merchant: UInt64)]) -> UserWindow {
        var window = UserWindow()
        for event in events {
            window.fold(
                WindowEvent(
                    timestampMilliseconds: Self.last - event.before, amount: event.amount,
                    merchant: event.merchant << 32, country: 1 << 32))
        }
        return window
    }

    @Test func saysWhatTheWindowHolds() throws {
        let window = window([
            (20 * Self.day, 100, 1), (3 * Self.day, 30, 2), (5 * Self.hour, 20, 1),
            (20 * Self.minute, 10, 3), (0, 20.5, 1),
        ])
        let summary = try #require(WindowSummary(window))
        #expect(summary.lastEventMilliseconds == Self.last)
        #expect([summary.hour, summary.day, summary.week, summary.month].map(\.count) == [2, 3, 4, 5])
        #expect(
            [summary.hour, summary.day, summary.week, summary.month].map(\.sum) == [30.5, 50.5, 80.5, 180.5])
        #expect(summary.hour.mean == 15.25 && summary.usualAmount == 36.1)
        #expect(summary.merchants.count == 3 && summary.countries.count == 1 && summary.devices.count == 0)
        #expect(
            summary.sentences == [
                "5 payments in the last 30 days, 36.10 on average; the last one at 2026-02-14T11:30:00.000Z",
                "of them 4 (80.50) in the last 7 days, 3 (50.50) in the last 24 h, 2 (30.50) in the last hour",
                "one payment in 4.1 d is usual for this user",
                "seen in the last 30 days: 3 merchants, 1 country",
            ])
    }

    /// By the time that the window has seen, not by the 30 days that it could; and by no time that is too short.
    @Test func whatIsUsualIsOfTheTimeThatWasSeen() throws {
        func sentences(_ summary: WindowSummary?) throws -> [String] {
            try #require(summary).sentences.filter { $0.contains("usual") }
        }
        let tenDays = window((0...48).map { (Int64(48 - $0) * 5 * Self.hour, 10, 1) })
        // 10 days and the 11.5 hours of the first day that had gone by, of 49 payments.
        #expect(
            try sentences(WindowSummary(tenDays)) == ["one payment in 5.1 h is usual for this user"])
        let today = window((0..<9).map { (Int64(8 - $0) * Self.hour, 10, 1) })
        #expect(try sentences(WindowSummary(today)).isEmpty)
        #expect(try #require(WindowSummary(today)).usualAmount == 10)
        let small = window((0..<9).map { (Int64(8 - $0) * Self.hour, 0.000_5, 1) })
        #expect(try #require(WindowSummary(small)).sentences[0].contains(", 0.0005 on average;"))
    }

    /// What is said agrees with the features that a model would get at that moment.
    @Test func agreesWithFeatures() throws {
        var source = EventSource(random: Randomness())
        var window = UserWindow()
        for _ in 0..<300 {
            window.fold(source.next())
            let summary = try #require(WindowSummary(window))
            let features = window.features(
                WindowEvent(timestampMilliseconds: summary.lastEventMilliseconds, amount: 1))
            for (place, span) in [
                (7, summary.hour), (10, summary.day), (13, summary.week), (16, summary.month),
            ] {
                #expect(features[place] == Float(span.count) && features[place + 1] == Float(span.sum))
                #expect(features[place + 2] == span.mean.map { Float($0) })
            }
            // The same window says the same, wherever it has been kept meanwhile.
            var bytes: [UInt8] = []
            window.encode(into: &bytes)
            let copy = try bytes.withUnsafeBytes { try UserWindow(decoding: $0) }
            #expect(WindowSummary(copy)?.sentences == summary.sentences)
        }
    }

    @Test func littleIsSaidOfLittle() throws {
        #expect(WindowSummary(UserWindow()) == nil)
        var one = window([(0, 7, 0)])
        var summary = try #require(WindowSummary(one))
        #expect(summary.usualAmount == nil)
        #expect(
            summary.sentences == [
                "1 payment in the last 30 days, 7.00 on average; the last one at 2026-02-14T11:30:00.000Z",
                "seen in the last 30 days: 1 country",
            ])
        one.decay(asOfMilliseconds: Self.last + 40 * Self.day)
        summary = try #require(WindowSummary(one))
        #expect(summary.month.count == 0 && summary.month.mean == nil)
        #expect(
            summary.sentences == [
                "the last payment was at 2026-02-14T11:30:00.000Z; nothing is kept of the 30 days before it"
            ])
    }

    @Test func aFullSetIsAtLeastAsMany() throws {
        let many = window((0..<40).map { (Int64(40 - $0) * Self.minute, 1, UInt64($0 + 1)) })
        let sentences = try #require(WindowSummary(many)).sentences
        #expect(sentences.last == "seen in the last 30 days: at least 32 merchants, 1 country")
    }
}
