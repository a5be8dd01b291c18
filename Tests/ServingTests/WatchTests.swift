import Foundation
import Models
import Testing

@testable import Serving

/// What is told of models that serve.
@Suite struct WatchTests {
    private static let minute: Int64 = 60_000

    @Test func theRateIsOfTheLastHourByEventTime() {
        var rate = AlertRate()
        for number in 0..<120 {
            rate.add(timeMilliseconds: Int64(number) * Self.minute, isAlert: number % 2 == 0)
            #expect(rate.transactionCount == min(number + 1, 60))
        }
        #expect(rate.alertCount == 30)
        // Late, but within the hour; then later than that.
        rate.add(timeMilliseconds: 100 * Self.minute + 1, isAlert: true)
        rate.add(timeMilliseconds: 59 * Self.minute, isAlert: true)
        #expect(rate.transactionCount == 61)
        #expect(rate.alertCount == 31)
        // A day later nothing of it is left.
        rate.add(timeMilliseconds: 2_000 * Self.minute, isAlert: false)
        #expect(rate.transactionCount == 1)
        #expect(rate.alertCount == 0)
    }

    @Test func timesFarAwayDoNotTrap() {
        var rate = AlertRate()
        for time in [Int64.min, 0, .max, -1, .min, .max] { rate.add(timeMilliseconds: time, isAlert: true) }
        #expect(rate.transactionCount > 0)
        #expect(rate.alertCount == rate.transactionCount)
    }

    /// The same order of events, whatever the order of others in between: the rate does not depend on the clock.
    @Test func theRateDependsOnEventsAlone() {
        var one = AlertRate()
        var other = AlertRate()
        for number in 0..<1_000 {
            one.add(timeMilliseconds: Int64(number * 7_919), isAlert: number % 9 == 0)
            other.add(timeMilliseconds: Int64(number * 7_919), isAlert: number % 9 == 0)
        }
        #expect(one.alertCount == other.alertCount && one.transactionCount == other.transactionCount)
    }
}

/// How far values have moved from a training histogram.
@Suite struct HistogramTests {
    @Test func theSameValuesHaveNotMovedAndOthersHave() throws {
        let training = (0..<10_000).map { Double(($0 * 7_919) % 1_000) }
        let histogram = try #require(Histogram(of: training))
        #expect(histogram.shares.count == 10)
        func index(_ values: [Double]) -> Double {
            var counts = [Int](repeating: 0, count: histogram.shares.count + 1)
            for value in values { counts[histogram.bin(of: value)] += 1 }
            return histogram.stabilityIndex(counts, logarithm: log)
        }
        #expect(index(training) < 1e-3)
        #expect(index(training.map { $0 + 500 }) > 1)
        #expect(index(training.map { _ in .nan }) > 1)
        #expect(index(Array(training.prefix(3_000))) < 0.05)
    }

    @Test func flagsAndConstantsHaveBinsOfTheirOwn() throws {
        let flag = try #require(Histogram(of: (0..<1_000).map { $0 < 20 ? 1 : 0 }))
        #expect(flag.bin(of: 0) != flag.bin(of: 1))
        #expect(abs((flag.shares.last ?? 0) - 0.02) < 1e-9)
        let constant = try #require(Histogram(of: Array(repeating: 3, count: 10)))
        #expect(constant.shares == [1])
        #expect(Histogram(of: []) == nil)
        #expect(Histogram(of: [.nan]) == nil)
    }

    @Test func codesHaveABinEachAndTheLastIsThePools() throws {
        let histogram = try #require(Histogram(codes: [0, 0, 1, .nan], count: 3))
        #expect(histogram.shares == [0.5, 0.25, 0])
        #expect(histogram.missing == 0.25)
        #expect((0..<3).map { histogram.bin(of: Double($0)) } == [0, 1, 2])
        #expect(histogram.bin(of: .nan) == 3)
        // Every name has changed: all are the pool's.
        #expect(histogram.stabilityIndex([0, 0, 1_000, 0], logarithm: log) > 5)
    }
}
