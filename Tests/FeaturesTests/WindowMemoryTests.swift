import Randomness
import Testing

@testable import Features

/// What sentences need of a window beside its features.
@Suite struct WindowMemoryTests {
    private static let day: Int64 = 86_400_000
    /// The beginning of a day.
    private static let start = 20_000 * day

    private func event(_ milliseconds: Int64, merchant: UInt64 = 0) -> WindowEvent {
        WindowEvent(timestampMilliseconds: Self.start + milliseconds, amount: 1, merchant: merchant << 32)
    }

    @Test func itReachesBackToTheBeginningOfTheOldestDay() {
        var window = UserWindow()
        #expect(window.memory(for: event(0)).seconds == 0)
        window.fold(event(7_000))
        window.fold(event(3 * Self.day))
        #expect(window.memory(for: event(10 * Self.day + 5_000)).seconds == 10 * 86_400 + 5)
        // The first day is out of reach, the other not.
        #expect(window.memory(for: event(30 * Self.day)).seconds == 27 * 86_400)
        #expect(window.memory(for: event(60 * Self.day)).seconds == 0)
        // Nothing of its past is in the window.
        #expect(window.memory(for: event(-5 * Self.day)).seconds == 0)
    }

    @Test func aLateArrivalIsOvertaken() {
        var window = UserWindow()
        #expect(!window.memory(for: event(0)).isOvertaken)
        window.fold(event(1_000))
        #expect(window.memory(for: event(999)).isOvertaken)
        #expect(
            !window.memory(for: event(1_000)).isOvertaken && !window.memory(for: event(1_001)).isOvertaken)
    }

    @Test func aListIsFullWhileItsLastIsInReach() {
        var window = UserWindow()
        for number in 0..<31 { window.fold(event(Int64(number) * 60_000, merchant: UInt64(number + 1))) }
        #expect(!window.memory(for: event(Self.day)).isFull(.merchants))
        window.fold(event(Self.day, merchant: 32))
        let full = window.memory(for: event(2 * Self.day))
        #expect(full.isFull(.merchants) && !full.isFull(.countries) && !full.isFull(.devices))
        // All that it has let go of is older than 30 days then.
        #expect(!window.memory(for: event(30 * Self.day)).isFull(.merchants))
    }

    /// Windows decay at moments that no transaction knows of.
    @Test func aDecayBeforeTheEventChangesNothing() {
        var source = EventSource(random: Randomness())
        var window = UserWindow()
        for _ in 0..<2_000 {
            let event = source.next()
            if let last = window.lastEventMilliseconds, event.timestampMilliseconds > last {
                var decayed = window
                decayed.decay(asOfMilliseconds: event.timestampMilliseconds)
                #expect(decayed.memory(for: event) == window.memory(for: event))
            }
            window.fold(event)
        }
    }
}
