import Transactions

/// One feature: what serving, training, reasons and documentation call it.
public struct Feature: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, Codable {
        case numeric, categorical
    }

    public let name: String
    /// "" for a pure number.
    public let unit: String
    public let meaning: String
    public let kind: Kind

    public init(name: String, unit: String, meaning: String, kind: Kind) {
        self.name = name
        self.unit = unit
        self.meaning = meaning
        self.kind = kind
    }
}

/// The features of a transaction. Names, order and meaning of a version never change: version 1 are the first 25
/// numeric ones, version 2 those and the 26 of references, version 3 those and five that compare with the user's own 30
/// days, version 4 are all; the categorical ones are in each.
public enum FeatureSchema {
    /// The version that new models are fitted to.
    public static let version = 4
    /// Versions that models may name.
    public static let versions = 1...4

    /// How many of `numeric` a version has.
    public static func numericCount(version: Int) -> Int {
        switch version {
        case 1: numeric1.count
        case 2: numeric1.count + numeric2.count
        case 3: numeric1.count + numeric2.count + numeric3.count
        default: numeric.count
        }
    }

    /// `UserWindow.writeFeatures(for:into:)` writes those of the window, `ReferenceEntries.writeFeatures(into:)` those of
    /// references.
    public static let numeric: [Feature] = numeric1 + numeric2 + numeric3 + numeric4

    /// For each feature of version 3 the one that it compares with the user's own 30 days.
    public static let compared = [
        "since_last_ratio_30d": "seconds_since_last", "sum_1h_ratio_30d": "sum_1h",
        "mean_1h_ratio_30d": "mean_1h", "sum_24h_ratio_30d": "sum_24h", "mean_24h_ratio_30d": "mean_24h",
    ]

    private static let numeric1: [Feature] =
        [
            number("amount", "currency", "amount of the transaction"),
            number("log_amount", "", "sign(amount) * ln(1 + |amount|)"),
            number("hour_sin", "", "sine of the hour of the day, UTC; whole hours, a turn a day"),
            number("hour_cos", "", "cosine of the same"),
            number("weekday_sin", "", "sine of the weekday, UTC; whole days from Monday, a turn a week"),
            number("weekday_cos", "", "cosine of the same"),
            number(
                "seconds_since_last", "s",
                "time since the user's latest transaction; 0 when that one is later; missing for the first"),
        ]
        + windows.flatMap { name, words in
            [
                number("count_\(name)", "", "transactions of the user in \(words) before this one"),
                number("sum_\(name)", "currency", "sum of their amounts"),
                number("mean_\(name)", "currency", "mean of their amounts; missing when there are none"),
            ]
        }
        + [
            number(
                "amount_zscore_30d", "",
                "(amount - mean) / standard deviation of the 30 d before; missing below 2 transactions or without "
                    + "deviation"),
            number(
                "amount_ratio_30d", "",
                "amount / mean of the 30 d before; missing when that is 0 or there are none"),
            novelty("merchant", remembered: 32),
            novelty("country", remembered: 8),
            novelty("device", remembered: 16),
            number(
                "speed_kmh", "km/h",
                "straight line from the place of the latest located transaction of 30 d, over the time between, of "
                    + "at least 1 s; missing when a place is"),
        ]

    private static let numeric2: [Feature] =
        risks("merchant")
        + halfLives.map { name, words in
            number("merchant_frauds_\(name)", "", "labelled frauds at the merchant, half-life \(words)")
        }
        + halfLives.map { name, words in
            number("merchant_count_\(name)", "", "transactions at the merchant, half-life \(words)")
        }
        + [
            number(
                "merchant_amount_zscore", "",
                "(log_amount - mean) / standard deviation, at least 0.1, of the merchant's log_amounts, half-life 30 d"
            ),
            number(
                "merchant_fraud_amount", "",
                "mean log_amount of the labelled frauds at the merchant, half-life 30 d; missing without any"),
        ]
        + ["device", "country", "category"].flatMap { what in
            risks(what) + [number("\(what)_count_30d", "", "transactions of the \(what), half-life 30 d")]
        }
        + halfLives.map { name, words in
            number("user_frauds_\(name)", "", "labelled frauds of the user, half-life \(words)")
        }

    private static let numeric3: [Feature] =
        [
            number(
                "since_last_ratio_30d", "",
                "seconds_since_last / the user's usual pause, 30 d over count_30d; missing below 10 transactions in "
                    + "30 d, as are the following")
        ]
        + windows.prefix(2).flatMap { name, _ in
            [
                number(
                    "sum_\(name)_ratio_30d", "", "sum_\(name) / mean_30d; missing when that is not above 0"),
                number(
                    "mean_\(name)_ratio_30d", "",
                    "mean_\(name) / mean_30d; missing when the first is, or when the second is not above 0"),
            ]
        }

    private static let numeric4: [Feature] = [
        number(
            "merchant_fraud_days", "d",
            "time since frauds at the merchant began to be reported, without a pause of more than 10 d since; at most "
                + "90; missing without any")
    ]

    /// Columns to be encoded, with the text that each reads.
    public static let categorical: [(feature: Feature, field: TextField)] = [
        (category("category", "merchant category of the transaction"), .category),
        (category("country", "country of the transaction"), .country),
        (category("channel", "channel of the transaction: card present, web, ..."), .channel),
        (category("currency", "currency of the amount"), .currency),
    ]

    /// The numeric features, then the categorical ones.
    public static let all: [Feature] = numeric + categorical.map(\.feature)

    /// Position in `all`; nil when there is no such feature.
    public static func index(of name: String) -> Int? { positions[name] }

    /// The same, looked for behind another one first: names mostly come in the schema's order.
    package static func index(of name: String, from place: Int) -> Int? {
        for next in place..<min(place + 4, all.count) where all[next].name == name { return next }
        return positions[name]
    }

    private static let positions = Dictionary(
        uniqueKeysWithValues: all.enumerated().map { ($1.name, $0) })

    private static let windows = [
        ("1h", "the hour"), ("24h", "the 24 h"), ("7d", "the 7 d"), ("30d", "the 30 d"),
    ]

    private static let halfLives = [("2d", "2 d"), ("7d", "7 d"), ("30d", "30 d")]

    private static func risks(_ what: String) -> [Feature] {
        halfLives.map { name, words in
            number(
                "\(what)_risk_\(name)", "",
                "share of labelled frauds among the \(what)'s transactions, half-life \(words)")
        }
    }

    private static func number(_ name: String, _ unit: String, _ meaning: String) -> Feature {
        Feature(name: name, unit: unit, meaning: meaning, kind: .numeric)
    }

    private static func category(_ name: String, _ meaning: String) -> Feature {
        Feature(name: name, unit: "", meaning: meaning, kind: .categorical)
    }

    private static func novelty(_ what: String, remembered: Int) -> Feature {
        number(
            "new_\(what)", "",
            "1 when the \(what) is none of the user's \(remembered) latest of 30 d, else 0; missing when the transaction names none"
        )
    }
}
