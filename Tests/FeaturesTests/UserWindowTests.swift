import Features
import Randomness
import Testing

@Suite struct UserWindowTests {
    private static let noon: Int64 = 1_527_854_400_000

    private func event(_ milliseconds: Int64, _ amount: Double = 1, merchant: UInt64 = 0) -> WindowEvent {
        WindowEvent(timestampMilliseconds: Self.noon + milliseconds, amount: amount, merchant: merchant << 32)
    }

    @Test func agreesWithAModelThatKeepsEveryRecord() {
        var source = EventSource(random: Randomness())
        var faults: [String] = []
        for _ in 0..<6 {
            var window = UserWindow()
            var model = WindowModel()
            for index in 0..<200 {
                let event = source.next()
                compare(
                    window.features(event), model, event, fault: { faults.append("event \(index): \($0)") })
                window.fold(event)
                model.fold(event)
            }
        }
        #expect(faults.isEmpty)
    }

    private func compare(
        _ features: [Float], _ model: WindowModel, _ event: WindowEvent, fault: (String) -> Void
    ) {
        let time = event.timestampMilliseconds
        for tier in 0..<4 {
            let amounts = model.amounts(tier, at: time)
            let sum = amounts.reduce(0, +)
            let size = amounts.reduce(0) { $0 + $1.magnitude }
            if features[7 + tier * 3] != Float(amounts.count) { fault("count of tier \(tier)") }
            if abs(Double(features[8 + tier * 3]) - sum) > 2e-7 * size { fault("sum of tier \(tier)") }
            let mean = sum / Double(amounts.count)
            let written = Double(features[9 + tier * 3])
            if amounts.isEmpty ? !written.isNaN : abs(written - mean) > 2e-7 * size {
                fault("mean of tier \(tier)")
            }
        }
        let merchant = model.isNew(event.merchant, of: \.merchant, capacity: 32, at: time)
        let country = model.isNew(event.country, of: \.country, capacity: 8, at: time)
        let device = model.isNew(event.device, of: \.device, capacity: 16, at: time)
        if bits([merchant, country, device]) != bits(Array(features[21...23])) { fault("novelty") }
    }

    /// Buckets end with the event's own and start up to one bucket's width later than the window would.
    @Test func windowsAreExactToOneBucket() throws {
        var source = EventSource(random: Randomness(), latePercent: 0)
        let events = source.next(2000)
        var window = UserWindow()
        var faults = 0
        for (index, event) in events.enumerated() {
            let features = window.features(event)
            for (tier, (width, length)) in WindowModel.tiers.enumerated() {
                let count = { (span: Int64) in
                    events[..<index].reversed().prefix {
                        $0.timestampMilliseconds > event.timestampMilliseconds - span
                    }.count
                }
                let found = Int(features[7 + tier * 3])
                if found < count(width * (length - 1)) || found > count(width * length) { faults += 1 }
            }
            window.fold(event)
        }
        #expect(faults == 0)
    }

    @Test func theFirstTransactionHasNoHistory() {
        let event = event(0, 20, merchant: 5)
        let features = UserWindow().features(event)
        #expect(features[6].isNaN)
        #expect(
            [7, 10, 13, 16].allSatisfy {
                features[$0] == 0 && features[$0 + 1] == 0 && features[$0 + 2].isNaN
            })
        #expect(features[19].isNaN && features[20].isNaN)
        #expect(features[21] == 1)
        #expect(features[22].isNaN && features[23].isNaN && features[24].isNaN)
    }

    @Test func anEventIsNotInItsOwnFeatures() throws {
        let window = UserWindow([event(0, 10)])
        #expect(try window.feature("count_1h", event(1000, 99)) == 1)
        #expect(try window.feature("sum_30d", event(1000, 99)) == 10)
    }

    @Test func lateEventsCountInTheirOwnBucketWhileItIsInReach() throws {
        var window = UserWindow([event(0, 10)])
        let hour: Int64 = 3_600_000
        // Out of the hour's reach, in that of the others.
        var isTooLate = window.fold(event(-2 * hour, 5))
        #expect(!isTooLate)
        #expect(try window.feature("count_1h", event(1)) == 1)
        #expect(try window.feature("count_24h", event(1)) == 2)
        isTooLate = window.fold(event(-10 * 24 * hour, 5))
        #expect(!isTooLate)
        #expect(try window.feature("count_7d", event(1)) == 2)
        #expect(try window.feature("count_30d", event(1)) == 3)
        #expect(try window.feature("seconds_since_last", event(1000)) == 1)
        let before = window
        isTooLate = window.fold(event(-40 * 24 * hour, 5))
        #expect(isTooLate)
        #expect(window == before)
        // Buckets after a late event's own do not count for it.
        #expect(try window.feature("count_30d", event(-24 * hour)) == 1)
        #expect(try window.feature("seconds_since_last", event(-24 * hour)) == 0)
    }

    @Test func orderOfArrivalDoesNotMatter() {
        var source = EventSource(random: Randomness(), lateSeconds: 20 * 86_400)
        for _ in 0..<20 {
            // Amounts that add without rounding: then all must be equal.
            let events = source.next(300).map { event in
                var event = event
                event.amount = event.amount.rounded()
                return event
            }
            #expect(UserWindow(events) == UserWindow(events.shuffled(using: &source.random)))
        }
    }

    @Test func decayChangesNoLaterFeature() {
        var source = EventSource(random: Randomness(), pauseSeconds: 200_000)
        var faults = 0
        for _ in 0..<300 {
            let window = UserWindow(source.next(100))
            let asOf = source.time + Int64(source.random.below(40 * 86_400)) * 1000
            var decayed = window
            decayed.decay(asOfMilliseconds: asOf)
            for _ in 0..<10 {
                var event = source.next()
                event.timestampMilliseconds = asOf + Int64(source.random.below(35 * 86_400)) * 1000
                if bits(decayed.features(event)) != bits(window.features(event)) { faults += 1 }
                var (a, b) = (decayed, window)
                a.fold(event)
                b.fold(event)
                if a != b { faults += 1 }
            }
        }
        #expect(faults == 0)
    }

    @Test func anIdleUserDecaysToAFewBytes() throws {
        var source = EventSource(random: Randomness(), latePercent: 0)
        var window = UserWindow(source.next(500))
        window.decay(asOfMilliseconds: source.time + 31 * 86_400_000)
        #expect(window.encoded().count <= 8)
        #expect(window.lastEventMilliseconds == source.time)
        let next = WindowEvent(
            timestampMilliseconds: source.time + 32 * 86_400_000, amount: 1, merchant: 1 << 40)
        #expect(try window.feature("seconds_since_last", next) == 32 * 86_400)
        #expect(try window.feature("new_merchant", next) == 1)
    }

    @Test func sizeStaysBoundedAfterManyEvents() throws {
        var source = EventSource(random: Randomness(), pauseSeconds: 600)
        var window = UserWindow()
        var largest = 0
        for index in 0..<100_000 {
            window.fold(source.next())
            if index % 97 == 0 { largest = max(largest, window.encoded().count) }
        }
        #expect(largest <= UserWindow.maximumEncodedSize)
        // It must hold for the fullest window as well: an event in every bucket, amounts of any kind.
        let last = Self.noon
        var full = UserWindow()
        for (width, length) in WindowModel.tiers {
            for bucket in 0..<length {
                for _ in 0..<300 {
                    full.fold(
                        WindowEvent(
                            timestampMilliseconds: last - bucket * width, amount: 1 / 3,
                            merchant: source.random.next(), country: source.random.next(),
                            device: source.random.next(), latitude: 1 / 3, longitude: 1 / 3))
                }
            }
        }
        #expect(full.encoded().count <= UserWindow.maximumEncodedSize)
        #expect(full.encoded().count > UserWindow.maximumEncodedSize - 50)
        #expect(UserWindow.maximumEncodedSize < 3500)
    }
}
