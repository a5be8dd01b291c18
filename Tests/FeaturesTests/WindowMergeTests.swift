import Randomness
import Testing

@testable import Features

@Suite struct WindowMergeTests {
    private func merged(_ windows: UserWindow...) -> UserWindow {
        var result = UserWindow()
        for window in windows { result.merge(window) }
        return result
    }

    /// Equal in all but the last bits of sums.
    private func agree(_ a: UserWindow, _ b: UserWindow) -> Bool {
        let close = { (x: Double, y: Double, size: Double) in
            abs(x - y) <= 1e-12 * max(size, x.magnitude, y.magnitude)
        }
        return a.lastTime == b.lastTime && a.place == b.place && a.recents == b.recents
            && a.setCounts == b.setCounts && a.tierCounts == b.tierCounts
            && zip(a.buckets, b.buckets).allSatisfy { x, y in
                // The sum of magnitudes is at most the root of count times squares.
                let size = (Double(x.count) * x.squares).squareRoot()
                return x.index == y.index && x.count == y.count && close(x.sum, y.sum, size)
                    && close(x.squares, y.squares, 0)
            }
    }

    private func parts(_ source: inout EventSource) -> (UserWindow, UserWindow, UserWindow) {
        source.pauseSeconds = [200, 20_000, 400_000][source.random.below(3)]
        let events = source.next(source.random.below(200))
        var parts = (UserWindow(), UserWindow(), UserWindow())
        for event in events {
            switch source.random.below(3) {
            case 0: parts.0.fold(event)
            case 1: parts.1.fold(event)
            default: parts.2.fold(event)
            }
        }
        return parts
    }

    @Test func isCommutative() {
        var source = EventSource(random: Randomness())
        for _ in 0..<200 {
            let (a, b, _) = parts(&source)
            #expect(merged(a, b) == merged(b, a))
        }
    }

    @Test func isAssociative() {
        var source = EventSource(random: Randomness())
        for _ in 0..<200 {
            let (a, b, c) = parts(&source)
            #expect(agree(merged(merged(a, b), c), merged(a, merged(b, c))))
        }
    }

    @Test func givesWhatFoldingAllEventsGives() {
        var source = EventSource(random: Randomness())
        for _ in 0..<100 {
            let events = source.next(200)
            let cut = source.random.below(200)
            #expect(agree(merged(UserWindow(events[..<cut]), UserWindow(events[cut...])), UserWindow(events)))
        }
    }

    @Test func anEmptyWindowChangesNothing() {
        var source = EventSource(random: Randomness())
        let window = UserWindow(source.next(50))
        #expect(merged(window, UserWindow()) == window)
        #expect(merged(UserWindow(), window) == window)
    }

    @Test func setsForgetTheOldestThenTheSmallerHash() throws {
        let minute = { (number: Int64) in 1_527_811_200_000 + number * 60_000 }
        var window = UserWindow()
        for number in 1...33 {
            window.fold(
                WindowEvent(timestampMilliseconds: minute(5), amount: 1, merchant: UInt64(number) << 32))
        }
        let isNew = { (number: UInt64) in
            try window.feature(
                "new_merchant",
                WindowEvent(timestampMilliseconds: minute(9), amount: 1, merchant: number << 32))
        }
        #expect(try isNew(1) == 1)
        #expect(try isNew(2) == 0)
        window.fold(WindowEvent(timestampMilliseconds: minute(6), amount: 1, merchant: 2 << 32))
        window.fold(WindowEvent(timestampMilliseconds: minute(6), amount: 1, merchant: 90 << 32))
        #expect(try isNew(2) == 0)
        #expect(try isNew(3) == 1)
        // One seen before all others finds no place.
        window.fold(WindowEvent(timestampMilliseconds: minute(4), amount: 1, merchant: 91 << 32))
        #expect(try isNew(91) == 1)
    }
}
