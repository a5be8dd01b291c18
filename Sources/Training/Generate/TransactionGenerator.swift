import DetectorAPI
import Exact
import Lake
import Transactions

/// Kinds of fraud that are planted.
public enum PlantedFraud: String, Sendable, Hashable, CaseIterable {
    /// Some payments of many times the usual amount.
    case amountBurst = "amount-burst"
    /// Payments far away, minutes after one at home, in a new country with a new device.
    case impossibleTravel = "impossible-travel"
    /// Many small payments within minutes at new merchants, to try a stolen card.
    case cardTesting = "card-testing"
    /// An ordinary payment, but for its merchant, which works with thieves for three weeks: only labels tell.
    case mule

    /// Those that are planted unless others are asked for.
    static let usual: [PlantedFraud] = [.amountBurst, .impossibleTravel, .cardTesting]
}

/// A made-up transaction, and what it was planted as.
public struct LabelledTransaction: Sendable, Hashable {
    public var transaction: Transaction
    /// nil: an honest one.
    public var fraud: PlantedFraud?

    public var isFraud: Bool { fraud != nil }
}

/// Makes transactions of people with habits, and plants frauds of three kinds among them, in about 0.7 % of all; with
/// mules of a fourth kind, in about 0.4 % more.
///
/// Honest people also travel, try new merchants and buy dear things. The same options give the same transactions, bit
/// for bit, on every machine. Memory: 100 bytes a person, and the transactions of the day that is asked for.
public struct TransactionGenerator: Sendable {
    private let seed: UInt64
    private let people: [Person]
    private let mules: Int

    /// Of the days of one person.
    private static let fraudShare = 0.0075
    private static let muleShare = 0.012
    /// How long a merchant is a mule.
    private static let muleDays = 21

    /// - Parameter mules: Merchants at a time that work with thieves.
    public init(users: Int, seed: UInt64, mules: Int = 0) {
        self.seed = seed
        self.mules = mules
        people = (0..<users).map { Person(number: $0 + 1, seed: seed) }
    }

    /// The transactions of one day, in order of time.
    public func day(_ day: LakeDay) -> [LabelledTransaction] {
        var all: [LabelledTransaction] = []
        all.reserveCapacity(people.count * 5)
        let isWeekend = (day.dayNumber + 3) % 7 >= 5
        for person in people {
            var random = SeededGenerator(
                seed: seed ^ 0x5DEE_CE66_D1CE_4E5B,
                stream: UInt64(bitPattern: Int64(day.dayNumber)) &* 1_000_000_007 &+ UInt64(person.number))
            let trip = person.trip(on: day)
            let count = random.poisson(person.paymentsPerDay * (isWeekend ? 1.25 : 0.9))
            for _ in 0..<count {
                all.append(LabelledTransaction(transaction: honest(person, day, trip: trip, &random)))
            }
            if random.unit() < Self.fraudShare { plant(person, day, trip: trip, &random, into: &all) }
            if mules > 0 { plantAtMule(person, day, into: &all) }
        }
        var sorted = all.indices.sorted { a, b in
            let (a, b) = (all[a].transaction, all[b].transaction)
            if a.timestampMilliseconds != b.timestampMilliseconds {
                return a.timestampMilliseconds < b.timestampMilliseconds
            }
            return a.userID < b.userID
        }.map { all[$0] }
        for index in sorted.indices {
            sorted[index].transaction.transactionID = "t\(day.dayNumber)-" + padded(index + 1, 6)
        }
        return sorted
    }

    private func honest(
        _ person: Person, _ day: LakeDay, trip: Int?, _ random: inout SeededGenerator
    ) -> Transaction {
        let hour = person.firstHour + random.below(person.activeHours)
        let time = day.startMilliseconds + Int64(min(hour, 22)) * 3_600_000 + Int64(random.below(3_600_000))
        let isOnline = random.unit() < person.onlineShare
        let isFamiliar = random.unit() < (trip != nil && !isOnline ? 0.05 : 0.9)
        let merchant = isFamiliar ? person.favourite(&random) : random.below(Person.merchants)
        let category = Person.category(ofMerchant: merchant)
        let home = Person.cities[person.homeIndex]
        let abroad = isOnline ? nil : trip.map { Person.cities[$0] }
        let latitude = abroad?.latitude ?? person.homeLatitude
        let longitude = abroad?.longitude ?? person.homeLongitude
        return Transaction(
            transactionID: "", userID: person.id, amount: amount(person, category, &random),
            timestampMilliseconds: time, currency: home.currency, merchantID: "m-\(merchant)",
            category: category.name, country: abroad?.country ?? home.country,
            channel: isOnline ? "online" : "pos", deviceID: person.device,
            latitude: isOnline ? nil : rounded(latitude + 0.02 * (random.unit() - 0.5), 1e4),
            longitude: isOnline ? nil : rounded(longitude + 0.02 * (random.unit() - 0.5), 1e4))
    }

    private func plant(
        _ person: Person, _ day: LakeDay, trip: Int?, _ random: inout SeededGenerator,
        into all: inout [LabelledTransaction]
    ) {
        let kind = PlantedFraud.usual[random.below(PlantedFraud.usual.count)]
        var fraud = honest(person, day, trip: trip, &random)
        if kind == .impossibleTravel {
            // What the honest owner did just before.
            fraud.latitude = rounded(person.homeLatitude, 1e4)
            fraud.longitude = rounded(person.homeLongitude, 1e4)
            fraud.channel = "pos"
            all.append(LabelledTransaction(transaction: fraud))
        }
        let away = Person.cities[
            (person.homeIndex + 1 + random.below(Person.cities.count - 1)) % Person.cities.count]
        let stranger = random.below(1_000_000)
        let count = kind == .cardTesting ? 6 + random.below(5) : 1 + random.below(3)
        for _ in 0..<count {
            fraud.timestampMilliseconds += 20_000 + Int64(random.below(90_000))
            let merchant = random.below(Person.merchants)
            fraud.merchantID = "m-\(merchant)"
            fraud.category = Person.category(ofMerchant: merchant).name
            switch kind {
            case .amountBurst:
                fraud.amount = rounded(usualAmount(person) * (8 + 12 * random.unit()), 100)
            case .impossibleTravel:
                fraud.country = away.country
                fraud.latitude = rounded(away.latitude + 0.02 * random.unit(), 1e4)
                fraud.longitude = rounded(away.longitude + 0.02 * random.unit(), 1e4)
                fraud.deviceID = "d-x\(stranger)"
                fraud.amount = rounded(usualAmount(person) * (1 + 3 * random.unit()), 100)
            case .cardTesting:
                fraud.amount = rounded(0.5 + 2.5 * random.unit(), 100)
                fraud.channel = "online"
                fraud.latitude = nil
                fraud.longitude = nil
            case .mule: break
            }
            all.append(LabelledTransaction(transaction: fraud, fraud: kind))
        }
    }

    /// Random numbers of their own, so that all other transactions are as without mules.
    private func plantAtMule(_ person: Person, _ day: LakeDay, into all: inout [LabelledTransaction]) {
        var random = SeededGenerator(
            seed: seed ^ 0x3C6E_F372_FE94_F82B,
            stream: UInt64(bitPattern: Int64(day.dayNumber)) &* 1_000_000_007 &+ UInt64(person.number))
        guard random.unit() < Self.muleShare else { return }
        for _ in 0..<1 + random.below(2) {
            var fraud = honest(person, day, trip: nil, &random)
            let merchant = mule(random.below(mules), on: day)
            let category = Person.category(ofMerchant: merchant)
            fraud.merchantID = "m-\(merchant)"
            fraud.category = category.name
            fraud.amount = amount(person, category, &random)
            fraud.channel = "online"
            fraud.latitude = nil
            fraud.longitude = nil
            all.append(LabelledTransaction(transaction: fraud, fraud: .mule))
        }
    }

    /// One takes the place of another not on the same day as the others.
    private func mule(_ number: Int, on day: LakeDay) -> Int {
        let period = (day.dayNumber + number * Self.muleDays / mules) / Self.muleDays
        var random = SeededGenerator(
            seed: seed ^ 0x9B05_688C_2B3E_6C1F, stream: UInt64(bitPattern: Int64(period * 1_000 + number)))
        return random.below(Person.merchants)
    }

    private func usualAmount(_ person: Person) -> Double { DeterministicMath.exp(person.meanLogAmount) }

    /// Log-normal.
    private func amount(
        _ person: Person, _ category: Person.Category, _ random: inout SeededGenerator
    ) -> Double {
        let amount =
            DeterministicMath.exp(person.meanLogAmount + person.deviation * random.normal()) * category.price
        return rounded(max(0.5, amount), 100)
    }

    private func rounded(_ value: Double, _ scale: Double) -> Double { (value * scale).rounded() / scale }
}
