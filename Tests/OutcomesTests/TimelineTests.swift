import Foundation
import Lake
import ObjectStore
import Testing
import Transactions

@testable import Features
@testable import Outcomes

/// What references know, against the plain definition.
@Suite struct TimelineTests {
    private func timeline(_ world: World, to boundary: Int64) -> ReferenceTimeline {
        let index = LabelIndex(
            rows: world.labels.map {
                LabelFiles.Row(
                    transaction: TextHash.hash($0.transactionID), knownAt: $0.knownMilliseconds,
                    isFraud: $0.isFraud)
            }, asOf: .max)
        var timeline = ReferenceTimeline(step: firstDay.firstStep, lagDays: World.settings.lagDays)
        for transaction in world.transactions {
            timeline.add(
                transaction.row, own: nil, labels: index,
                day: LakeDay(epochMilliseconds: transaction.timestampMilliseconds))
        }
        timeline.advance(to: boundary)
        return timeline
    }

    /// Sums over everything known before a boundary, with the library's `exp2`.
    private func expected(_ world: World, _ key: UInt64, at boundary: Int64) -> (
        frauds: [Double], counts: [Double]
    ) {
        var frauds = [0.0, 0, 0]
        var counts = [0.0, 0, 0]
        let end = boundary * hour
        for transaction in world.transactions {
            let keys = transaction.keys
            guard [keys.merchant, keys.device, keys.country, keys.category].contains(key) else { continue }
            let counted = transaction.timestampMilliseconds + Int64(World.settings.lagDays) * 24 * hour
            let standing = world.labels.filter {
                $0.transactionID == transaction.transactionID && $0.knownMilliseconds < end
            }.max { $0.knownMilliseconds < $1.knownMilliseconds }
            for life in HalfLife.allCases {
                func weight(_ time: Int64) -> Double {
                    let age = boundary - ReferenceTime.step(of: time)
                    return exp2(-Double(age) / Double(life.steps))
                }
                if counted < end { counts[life.rawValue] += weight(counted) }
                if let standing, standing.isFraud {
                    frauds[life.rawValue] += weight(standing.knownMilliseconds)
                }
            }
        }
        return (frauds, counts)
    }

    @Test func sumsAreThoseOfTheDefinition() throws {
        let world = try World(seed: 11, days: 12)
        for boundary in [firstDay.firstStep + 30, firstDay.firstStep + 141, firstDay.firstStep + 300] {
            let timeline = timeline(world, to: boundary)
            let view = ReferenceView(timeline.state, at: boundary)
            for merchant in 0..<6 {
                let key = ReferenceKind.merchant.key(TextHash.hash("m\(merchant)"))
                let entry =
                    timeline.state.places[key].flatMap {
                        view.entry(timeline.state.sums[Int($0)], timeline.state.runs[key])
                    }
                    ?? .unknown
                let (frauds, counts) = expected(world, key, at: boundary)
                for life in 0..<3 {
                    #expect(abs(Double(entry.fraud(life)) - frauds[life]) < 1e-4)
                    #expect(abs(Double(entry.count(life)) - counts[life]) < 1e-4)
                }
            }
        }
    }

    /// The heart of it: nothing that becomes known later changes anything before.
    @Test(arguments: 0..<12 as Range<UInt64>) func movingALabelChangesNothingBeforeItWasKnown(seed: UInt64)
        throws
    {
        var random = TestRandom(seed: seed)
        var world = try World(seed: seed, days: 10, perDay: 25)
        let boundaries = (0..<12).map { firstDay.firstStep + 20 * $0 }
        func features(_ boundary: Int64) -> [[UInt32]] {
            let timeline = timeline(world, to: boundary)
            let view = ReferenceView(timeline.state, at: boundary)
            return world.transactions.prefix(60).map {
                view.entries($0.keys, in: timeline.state).bits($0.amount)
            }
        }
        let before = boundaries.map(features)
        let moved = random.below(world.labels.count)
        let old = world.labels[moved].knownMilliseconds
        let new = old + Int64(random.below(8 * 24)) * hour - 3 * 24 * hour
        world.labels[moved].knownMilliseconds = new
        world.labels[moved].isFraud.toggle()
        for (place, boundary) in boundaries.enumerated() where boundary * hour <= min(old, new) {
            #expect(features(boundary) == before[place], "seed \(seed), label \(moved), boundary \(boundary)")
        }
    }

    @Test func theOrderOfRowsAndTheCutsOfTimeDoNotMatter() throws {
        var world = try World(seed: 3, days: 8)
        let boundary = firstDay.firstStep + 170
        let plain = timeline(world, to: boundary).table()
        world.transactions.reverse()
        world.labels.reverse()
        #expect(timeline(world, to: boundary).table() == plain)
    }

    /// Of the frauds that are known at a boundary, back from the latest one to the first pause of more than ten days.
    @Test func aRunOfFraudsIsThatOfTheDefinition() {
        var random = TestRandom(seed: 8)
        for round in 0..<200 {
            var run = FraudRun()
            var steps: [Int64] = []
            for _ in 0..<random.below(60) {
                if random.below(4) == 0, let gone = steps.randomElement(using: &random) {
                    run.remove(gone)
                    steps.remove(at: steps.firstIndex(of: gone) ?? 0)
                } else {
                    let step = Int64(random.below(3_000))
                    run.add(step)
                    steps.append(step)
                }
                steps.sort()
                var start = steps.last
                for (later, earlier) in zip(steps.reversed(), steps.reversed().dropFirst()) {
                    if later - earlier > 240 { break }
                    start = earlier
                }
                #expect(run.start == start, "round \(round)")
                #expect(run == FraudRun(steps.shuffled(using: &random)))
            }
        }
        #expect(FraudRun([10, 20]).age(at: 30) == 20)
        #expect(FraudRun([10, 10 + 240, 10 + 480]).age(at: 4_000) == 2_160)
        #expect(FraudRun([10, 10 + 241]).age(at: 300) == 49)
        #expect(FraudRun().age(at: 1) == nil)
    }

    @Test func halfLivesAreExactPowersOfTwoAndClose() {
        for life in HalfLife.allCases {
            #expect(life.growth(0) == 1)
            #expect(life.growth(life.steps) == 2)
            #expect(life.growth(-3 * life.steps) == 0.125)
            for steps in stride(from: -5_000, through: 5_000, by: 37) as StrideThrough<Int64> {
                let expected = exp2(Double(steps) / Double(life.steps))
                #expect(abs(life.growth(steps) / expected - 1) < 1e-14)
            }
        }
    }

    @Test func aMerchantOfManyTransactionsIsCounted() {
        var state = ReferenceState()
        let keys = ReferenceKeys(merchant: 5, device: 0, country: 0, category: 0, user: 1)
        for _ in 0..<500_000 { state.addCount(keys, step: 490_000) }
        let view = ReferenceView(state, at: 490_000)
        #expect(view.entries(keys, in: state).merchant?.count(2) == 500_000)
    }
}
