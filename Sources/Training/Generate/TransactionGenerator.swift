import DetectorAPI
import Foundation
import Lake
import Transactions

/// A made-up transaction, and whether it was planted as a fraud.
public struct LabelledTransaction: Sendable, Hashable {
    public var transaction: Transaction
    public var isFraud: Bool
}

/// Makes transactions of people with habits, and plants frauds of three kinds among them: payments of many times the
/// usual amount, payments from far away with a new device, and bursts of small payments at new merchants.
///
/// The same options give the same transactions.
public struct TransactionGenerator: Sendable {
    private static let categories = [
        "grocery", "restaurant", "transport", "fashion", "travel", "electronics", "health",
    ]
    private static let homes: [(country: String, currency: String, latitude: Double, longitude: Double)] = [
        ("NL", "EUR", 52.37, 4.90), ("DE", "EUR", 52.52, 13.40), ("FR", "EUR", 48.86, 2.35),
        ("GB", "GBP", 51.51, -0.13), ("US", "USD", 40.71, -74.01), ("JP", "JPY", 35.68, 139.69),
    ]

    private struct Person {
        let id: String
        let perDay: Double
        let logAmount: Double
        let spread: Double
        let home: Int
        let merchants: [String]
        let device: String
        let firstHour: Int
        let isOnline: Double
    }

    public let seed: UInt64
    private let people: [Person]

    public init(users: Int, seed: UInt64) {
        self.seed = seed
        people = (0..<users).map { index in
            var random = SeededGenerator(seed: seed, stream: UInt64(index))
            return Person(
                id: "user-\(String(index + 1).leftPadded(6))", perDay: 1 + 4 * random.unit(),
                logAmount: 2.2 + 2 * random.unit(), spread: 0.3 + 0.5 * random.unit(),
                home: random.below(Self.homes.count),
                merchants: (0..<(5 + random.below(15))).map { _ in "m-\(random.below(2_000))" },
                device: "d-\(index + 1)", firstHour: 6 + random.below(5), isOnline: random.unit())
        }
    }

    /// The transactions of one day, in order of time.
    public func day(_ day: LakeDay) -> [LabelledTransaction] {
        var all: [LabelledTransaction] = []
        for (index, person) in people.enumerated() {
            var random = SeededGenerator(
                seed: seed ^ 0x5DEE_CE66_D1CE_4E5B,
                stream: UInt64(bitPattern: Int64(day.dayNumber)) &* 1_000_003 &+ UInt64(index))
            let count = poisson(person.perDay, &random)
            for _ in 0..<count { all.append(usual(person, day, &random)) }
            if random.unit() < 0.006 { all += fraud(person, day, &random) }
        }
        all.sort { a, b in
            (a.transaction.timestampMilliseconds, a.transaction.userID)
                < (b.transaction.timestampMilliseconds, b.transaction.userID)
        }
        for index in all.indices {
            all[index].transaction.transactionID = "t-\(day)-\(String(index + 1).leftPadded(6))"
        }
        return all
    }

    private func usual(_ person: Person, _ day: LakeDay, _ random: inout SeededGenerator)
        -> LabelledTransaction
    {
        let hour = person.firstHour + random.below(13)
        let time = day.startMilliseconds + Int64(hour) * 3_600_000 + Int64(random.below(3_600_000))
        let home = Self.homes[person.home]
        return LabelledTransaction(
            transaction: Transaction(
                transactionID: "", userID: person.id, amount: amount(person, &random),
                timestampMilliseconds: time,
                currency: home.currency,
                merchantID: random.unit() < 0.9
                    ? person.merchants[random.below(person.merchants.count)] : "m-\(random.below(2_000))",
                category: Self.categories[random.below(Self.categories.count)], country: home.country,
                channel: random.unit() < person.isOnline ? "online" : "pos", deviceID: person.device,
                latitude: rounded(home.latitude + 0.2 * (random.unit() - 0.5), 1e4),
                longitude: rounded(home.longitude + 0.2 * (random.unit() - 0.5), 1e4)),
            isFraud: false)
    }

    private func fraud(_ person: Person, _ day: LakeDay, _ random: inout SeededGenerator)
        -> [LabelledTransaction]
    {
        let kind = random.below(3)
        let count = kind == 2 ? 6 + random.below(5) : 1 + random.below(2)
        var transaction = usual(person, day, &random)
        transaction.isFraud = true
        return (0..<count).map { _ in
            transaction.transaction.timestampMilliseconds += 20_000 + Int64(random.below(90_000))
            switch kind {
            case 0:
                transaction.transaction.amount = rounded(
                    amount(person, &random) * (8 + 12 * random.unit()), 100)
            case 1:
                let away = Self.homes[
                    (person.home + 1 + random.below(Self.homes.count - 1)) % Self.homes.count]
                transaction.transaction.country = away.country
                transaction.transaction.latitude = away.latitude
                transaction.transaction.longitude = away.longitude
                transaction.transaction.deviceID = "d-x\(random.below(100_000))"
                transaction.transaction.amount = rounded(
                    amount(person, &random) * (1 + 3 * random.unit()), 100)
            default:
                transaction.transaction.amount = rounded(0.5 + 2.5 * random.unit(), 100)
                transaction.transaction.merchantID = "m-\(random.below(2_000))"
                transaction.transaction.channel = "online"
            }
            return transaction
        }
    }

    private func amount(_ person: Person, _ random: inout SeededGenerator) -> Double {
        let normal = (-2 * log(1 - random.unit())).squareRoot() * cos(2 * .pi * random.unit())
        return rounded(max(0.5, exp(person.logAmount + person.spread * normal)), 100)
    }

    /// Knuth's method; the means are small.
    private func poisson(_ mean: Double, _ random: inout SeededGenerator) -> Int {
        let limit = exp(-mean)
        var product = random.unit()
        var count = 0
        while product > limit {
            product *= random.unit()
            count += 1
        }
        return count
    }

    private func rounded(_ value: Double, _ scale: Double) -> Double { (value * scale).rounded() / scale }
}

extension String {
    fileprivate func leftPadded(_ width: Int) -> String {
        String(repeating: "0", count: max(0, width - count)) + self
    }
}
