import DetectorAPI
import Lake

/// Somebody with habits: how often and how much they pay, where, when, to whom and with what.
struct Person: Sendable {
    struct Place: Sendable {
        let country: String
        let currency: String
        let latitude: Double
        let longitude: Double
    }

    /// What is bought, how much it costs beside groceries, and how common it is.
    struct Category: Sendable {
        let name: String
        let price: Double
        let share: Double
    }

    static let cities = [
        Place(country: "NL", currency: "EUR", latitude: 52.37, longitude: 4.90),
        Place(country: "DE", currency: "EUR", latitude: 52.52, longitude: 13.40),
        Place(country: "FR", currency: "EUR", latitude: 48.86, longitude: 2.35),
        Place(country: "GB", currency: "GBP", latitude: 51.51, longitude: -0.13),
        Place(country: "US", currency: "USD", latitude: 40.71, longitude: -74.01),
        Place(country: "JP", currency: "JPY", latitude: 35.68, longitude: 139.69),
    ]

    static let categories = [
        Category(name: "grocery", price: 1, share: 0.34),
        Category(name: "restaurant", price: 0.8, share: 0.2),
        Category(name: "transport", price: 0.3, share: 0.16),
        Category(name: "health", price: 0.9, share: 0.1),
        Category(name: "fashion", price: 1.8, share: 0.1),
        Category(name: "electronics", price: 3.5, share: 0.06),
        Category(name: "travel", price: 5, share: 0.04),
    ]

    static let merchants = 5_000
    private static let daysPerTripPeriod = 14

    let number: Int
    let seed: UInt64
    let paymentsPerDay: Double
    /// Of the logarithm of what a grocery bill comes to.
    let meanLogAmount: Double
    let deviation: Double
    let homeIndex: Int
    let homeLatitude: Double
    let homeLongitude: Double
    let favourites: Int
    let firstHour: Int
    let activeHours: Int
    let onlineShare: Double

    init(number: Int, seed: UInt64) {
        var random = SeededGenerator(seed: seed, stream: UInt64(number))
        self.number = number
        self.seed = random.next()
        paymentsPerDay = 2 + 4 * random.unit()
        meanLogAmount = 2.2 + 1.8 * random.unit()
        deviation = 0.3 + 0.4 * random.unit()
        homeIndex = random.below(Self.cities.count)
        homeLatitude = Self.cities[homeIndex].latitude + 0.2 * (random.unit() - 0.5)
        homeLongitude = Self.cities[homeIndex].longitude + 0.2 * (random.unit() - 0.5)
        favourites = 5 + random.below(15)
        firstHour = 6 + random.below(5)
        activeHours = 8 + random.below(6)
        onlineShare = 0.1 + 0.5 * random.unit()
    }

    var id: String { "user-" + padded(number, 6) }
    var device: String { "d-\(number)" }

    /// One of the few merchants where this person usually pays.
    func favourite(_ random: inout SeededGenerator) -> Int {
        var choice = SeededGenerator(seed: seed, stream: UInt64(random.below(favourites)))
        return choice.below(Self.merchants)
    }

    /// What a merchant sells: always the same.
    static func category(ofMerchant merchant: Int) -> Category {
        var random = SeededGenerator(seed: UInt64(merchant))
        var place = random.unit()
        for category in categories {
            place -= category.share
            if place < 0 { return category }
        }
        return categories[0]
    }

    /// The city abroad where this person spends the day; nil: at home.
    func trip(on day: LakeDay) -> Int? {
        let period = day.dayNumber / Self.daysPerTripPeriod
        var random = SeededGenerator(seed: seed, stream: UInt64(bitPattern: Int64(period)) &+ 1 << 40)
        guard random.unit() < 0.12 else { return nil }
        let length = 2 + random.below(3)
        let start = random.below(Self.daysPerTripPeriod - length)
        let inPeriod = day.dayNumber - period * Self.daysPerTripPeriod
        let city = (homeIndex + 1 + random.below(Self.cities.count - 1)) % Self.cities.count
        return (start..<start + length).contains(inPeriod) ? city : nil
    }
}

func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
