import Features
import Randomness
import Testing
import Transactions

@Suite struct FeatureValueTests {
    private func milliseconds(_ text: String) throws -> Int64 { try #require(EventTime.parse(text)) }

    @Test func calendarIsCyclicInUTC() throws {
        // A Monday at 06:59: a quarter of a day in whole hours, and the start of the week.
        let monday = WindowEvent(timestampMilliseconds: try milliseconds("2018-06-04T06:59:59Z"), amount: 1)
        let features = UserWindow().features(monday)
        #expect(Array(features[2...5]) == [1, 0, 0, 1])
        let sunday = WindowEvent(timestampMilliseconds: try milliseconds("1969-12-28T18:00:00Z"), amount: 1)
        let before1970 = UserWindow().features(sunday)
        #expect(before1970[2] == -1)
        #expect(before1970[4] < 0 && before1970[5] > 0)
    }

    @Test func amountsAndTheirLogarithm() throws {
        for (amount, log) in [(0, 0), (Double.e - 1, 1), (-(Double.e - 1), -1), (1e-10, 1e-10)]
            as [(Double, Float)]
        {
            let features = UserWindow().features(WindowEvent(timestampMilliseconds: 0, amount: amount))
            #expect(features[0] == Float(amount))
            #expect(abs(features[1] - log) <= 1e-7 * log.magnitude)
        }
    }

    @Test func amountAgainstTheMonthBefore() throws {
        let time: Int64 = 1_527_811_200_000
        let window = UserWindow([10, 20, 30].map { WindowEvent(timestampMilliseconds: time, amount: $0) })
        let event = WindowEvent(timestampMilliseconds: time + 5000, amount: 50)
        #expect(try window.feature("amount_zscore_30d", event) == 3)
        #expect(try window.feature("amount_ratio_30d", event) == 2.5)
        #expect(try window.feature("seconds_since_last", event) == 5)
        let one = UserWindow([WindowEvent(timestampMilliseconds: time, amount: 10)])
        #expect(try one.feature("amount_zscore_30d", event).isNaN)
        #expect(try one.feature("amount_ratio_30d", event) == 5)
    }

    @Test func pausesAndSumsInWhatIsUsualForTheUser() throws {
        let start: Int64 = 1_527_811_200_000
        let day: Int64 = 86_400_000
        // Every third day 20 on the mean.
        let past = (0..<10).map {
            WindowEvent(timestampMilliseconds: start + Int64($0) * 3 * day, amount: $0 % 2 == 0 ? 10 : 30)
        }
        let next = WindowEvent(timestampMilliseconds: start + 29 * day, amount: 50)
        var window = UserWindow(past)
        #expect(try window.feature("since_last_ratio_30d", next) == Float(2.0 * 10 / 30))
        #expect(try window.feature("sum_24h_ratio_30d", next) == 0)
        #expect(try window.feature("mean_24h_ratio_30d", next).isNaN)
        window.fold(WindowEvent(timestampMilliseconds: start + 29 * day - 7_200_000, amount: 75))
        window.fold(WindowEvent(timestampMilliseconds: start + 29 * day - 60_000, amount: 25))
        let mean: Double = 300 / 12
        #expect(try window.feature("sum_1h_ratio_30d", next) == Float(25 / mean))
        #expect(try window.feature("mean_1h_ratio_30d", next) == Float(25 / mean))
        #expect(try window.feature("sum_24h_ratio_30d", next) == Float(100 / mean))
        #expect(try window.feature("mean_24h_ratio_30d", next) == Float(50 / mean))
        // Nine payments do not say what is usual, and a mean of 0 or less is no measure.
        for unusable in [UserWindow(past.dropLast()), UserWindow(past.map(withAmount(0)))] {
            #expect(try unusable.feature("sum_24h_ratio_30d", next).isNaN)
        }
        #expect(try UserWindow(past.dropLast()).feature("since_last_ratio_30d", next).isNaN)
        #expect(try UserWindow().feature("since_last_ratio_30d", next).isNaN)
    }

    private func withAmount(_ amount: Double) -> (WindowEvent) -> WindowEvent {
        { event in
            var changed = event
            changed.amount = amount
            return changed
        }
    }

    @Test func equalAmountsHaveNoDeviation() throws {
        let time: Int64 = 1_527_811_200_000
        let window = UserWindow(
            (0..<1000).map { WindowEvent(timestampMilliseconds: time + $0 * 60_000, amount: 19.99) })
        let event = WindowEvent(timestampMilliseconds: time + 86_400_000, amount: 20)
        #expect(try window.feature("amount_zscore_30d", event).isNaN)
        let zero = UserWindow([WindowEvent(timestampMilliseconds: time, amount: 0)])
        #expect(try zero.feature("amount_ratio_30d", event).isNaN)
    }

    @Test func speedIsTheChordOverTheTime() throws {
        let time: Int64 = 1_527_811_200_000
        let london = WindowEvent(
            timestampMilliseconds: time, amount: 1, latitude: 51.5074, longitude: -0.1278)
        var paris = WindowEvent(
            timestampMilliseconds: time + 3_600_000, amount: 1, latitude: 48.8566, longitude: 2.3522)
        let window = UserWindow([london])
        #expect(abs(try window.feature("speed_kmh", paris) - 343.5) < 0.5)
        paris.timestampMilliseconds = time
        #expect(abs(try window.feature("speed_kmh", paris) - 343.5 * 3600) < 1800)
        var same = london
        same.timestampMilliseconds += 10
        #expect(try window.feature("speed_kmh", same) == 0)
        same.longitude = .nan
        #expect(try window.feature("speed_kmh", same).isNaN)
        same.longitude = 200
        #expect(try window.feature("speed_kmh", same).isNaN)
        let antipode = WindowEvent(
            timestampMilliseconds: time + 3_600_000, amount: 1, latitude: -51.5074, longitude: 179.8722)
        #expect(abs(try window.feature("speed_kmh", antipode) - 12742) < 1)
    }

    @Test func nothingIsInfiniteWhateverTheAmounts() {
        let amounts = [
            .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .infinity, -.infinity, .nan, 1e300, 1e-300,
            -0.0, 1,
        ]
        var random = Randomness()
        var faults = 0
        for _ in 0..<300 {
            var window = UserWindow()
            for _ in 0..<20 {
                let event = WindowEvent(
                    timestampMilliseconds: random.chance(10)
                        ? Int64(bitPattern: random.next()) : Int64(random.below(1_000_000_000)),
                    amount: amounts[random.below(amounts.count)], merchant: random.next(),
                    latitude: [.infinity, 90, -90, .nan][random.below(4)],
                    longitude: [.infinity, 180, -180, .nan][random.below(4)])
                if window.features(event).contains(where: \.isInfinite) { faults += 1 }
                window.fold(event)
                if (try? UserWindow(decoding: window.encoded())) != window { faults += 1 }
            }
        }
        #expect(faults == 0)
    }

    @Test func aTimeAtTheEndsOfTimeDoesNotTrap() {
        for time in [Int64.min, .min + 1, -1, 0, .max] {
            var window = UserWindow([WindowEvent(timestampMilliseconds: time, amount: 1)])
            window.decay(asOfMilliseconds: .max)
            window.decay(asOfMilliseconds: .min)
            window.fold(WindowEvent(timestampMilliseconds: 0, amount: 1))
            window.merge(UserWindow([WindowEvent(timestampMilliseconds: .min, amount: 1)]))
            #expect(window.features(WindowEvent(timestampMilliseconds: .max, amount: 1)).count == 57)
        }
    }

    @Test func eventsOfABatchAreWhatItsRowsSay() {
        var batch = TransactionBatch()
        batch.append(
            Transaction(
                transactionID: "t", userID: "u", amount: 2, timestampMilliseconds: 5, merchantID: "m",
                country: "DE",
                deviceID: "d", latitude: 1, longitude: 2))
        let event = WindowEvent(batch, row: 0)
        #expect(
            event
                == WindowEvent(
                    timestampMilliseconds: 5, amount: 2, merchant: TextHash.hash("m"),
                    country: TextHash.hash("DE"),
                    device: TextHash.hash("d"), latitude: 1, longitude: 2))
    }
}

extension Double {
    fileprivate static let e = 2.718281828459045
}
