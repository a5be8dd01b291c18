import Foundation
import Models
import Testing

@testable import Serving

/// What is told of models that serve.
@Suite struct WatchTests {
    private static let minute: Int64 = 60_000

    @Test func theRateIsOfTheLastHourOfTheStreamsTime() {
        var rate = AlertRate()
        for number in 0..<120 {
            rate.add(at: Int64(number) * Self.minute, isAlert: number % 2 == 0)
            #expect(rate.transactionCount == min(number + 1, 60))
        }
        #expect(rate.alertCount == 30)
        #expect(rate.start == 60 * Self.minute)
        // A time before the latest counts as that.
        rate.add(at: 59 * Self.minute, isAlert: true)
        #expect(rate.transactionCount == 61)
        #expect(rate.alertCount == 31)
        // A day later nothing of it is left.
        rate.advance(to: 2_000 * Self.minute)
        #expect(rate.transactionCount == 0)
        #expect(rate.alertCount == 0)
    }

    @Test func timesFarAwayDoNotTrap() {
        var rate = AlertRate()
        for time in [Int64.min, 0, .max, -1, .min, .max] { rate.add(at: time, isAlert: true) }
        #expect(rate.transactionCount == 4)
        #expect(rate.alertCount == rate.transactionCount)
        #expect(rate.start(ofAlertsBeyond: 0.05) > rate.start)
    }

    @Test func aFloodBeginsWhereAlertsExceedTheirShareTheMost() {
        var rate = AlertRate()
        for number in 0..<60 * 100 {
            let minute = Int64(number / 100)
            let isAlert = minute < 50 ? number % 100 == 0 : number % 4 == 0
            rate.add(at: minute * Self.minute, isAlert: isAlert)
        }
        #expect(rate.start(ofAlertsBeyond: 0.05) == 50 * Self.minute)
        #expect(rate.start(ofAlertsBeyond: 0.005) == 0)
    }

    @Test func theLatestScoresAreThoseFromATimeOnOrSoManyAsAreNeeded() {
        var scores = LatestScores()
        #expect(scores.since(0, atLeast: 1, earliest: 0) == nil)
        for number in 0..<LatestScores.capacity + 10 { scores.add(Double(number), at: Int64(number)) }
        let end = LatestScores.capacity + 10
        let last = Int64(end - 1)
        #expect(scores.since(last - 4, atLeast: 2, earliest: 0) == (end - 5..<end).map(Double.init))
        #expect(scores.since(last - 4, atLeast: 7, earliest: 0) == (end - 7..<end).map(Double.init))
        #expect(scores.since(last - 4, atLeast: 7, earliest: last - 5) == nil)
        #expect(scores.since(0, atLeast: 1, earliest: 0)?.count == LatestScores.capacity)
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
