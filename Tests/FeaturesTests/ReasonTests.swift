import Testing
import Transactions

@testable import Features

/// Reasons say what a person can check.
@Suite struct ReasonTests {
    /// As long as windows reach.
    private static let month = WindowMemory(seconds: 30 * 86_400)

    /// Every numeric feature, of which those named made the row more anomalous.
    ///
    /// - Parameter amount: As the transaction has it; nil: as the feature has it.
    private func reasons(
        _ values: [String: Float], _ contributions: [String: Double], memory: WindowMemory = month,
        amount: Double? = nil
    ) throws -> [FeatureReason] {
        let usual = ["amount": 40.0, "speed_kmh": 12, "count_1h": 0, "hour_sin": 1, "hour_cos": 0]
        let plan = try PreprocessingPlan(
            Preprocessing(
                scaling: .none,
                numeric: FeatureSchema.numeric.map {
                    .init(feature: $0.name, centre: 0, scale: 1, usual: usual[$0.name] ?? .nan)
                }, categorical: [], coldBelow: 5))
        var row = [Float](repeating: .nan, count: UserWindow.featureCount)
        for (name, value) in values { row[try #require(FeatureSchema.index(of: name))] = value }
        var shares = [Double](repeating: 0, count: plan.columnCount)
        for (name, value) in contributions { shares[try #require(FeatureSchema.index(of: name))] = value }
        var batch = TransactionBatch()
        batch.append(
            Transaction(
                transactionID: "t", userID: "u", amount: amount ?? Double(values["amount"] ?? 1),
                timestampMilliseconds: 0))
        return row.withUnsafeBufferPointer { row in
            shares.withUnsafeBufferPointer {
                plan.reasons(
                    contributions: $0, numeric: row, memory: memory, batch: batch, row: 0, limit: 9)
            }
        }
    }

    /// Thirty payments of 36.10 on the mean in 30 d.
    private let history: [String: Float] = ["count_30d": 30, "sum_30d": 1083, "mean_30d": 36.1]

    @Test func anAmountIsComparedWithTheUsersOwn() throws {
        let row = history.merging(["amount": 448.9, "log_amount": 6.1, "amount_zscore_30d": 9]) { $1 }
        let found = try reasons(row, ["amount": -0.1, "log_amount": -0.1, "amount_zscore_30d": -0.2])
        #expect(found.count == 1)
        #expect(found[0].name == "amount")
        #expect(found[0].sentence == "448.90 is 12 times this user's usual 36.10")
        #expect(found[0].usual == .number(Double(Float(36.1))))
        #expect(abs(found[0].contribution + 0.4) < 1e-12)
    }

    @Test func withoutAHistoryTheUsualIsEverybodys() throws {
        let found = try reasons(["amount": 100, "count_30d": 0], ["amount": -0.1])
        #expect(found.map(\.sentence) == ["100.00 is 2.5 times the usual 40.00"])
        let low = try reasons(["amount": 1.2, "count_30d": 0], ["amount": -0.1])
        #expect(low.map(\.sentence) == ["1.20 is far below the usual 40.00"])
    }

    @Test func onlyTheUnusualSideIsAReason() throws {
        let row = history.merging(["amount": 37, "speed_kmh": 3, "new_merchant": 0, "count_1h": 0]) { $1 }
        let names = ["amount", "speed_kmh", "new_merchant", "count_1h"]
        #expect(try reasons(row, Dictionary(uniqueKeysWithValues: names.map { ($0, -0.1) })).isEmpty)
        // What made the row less anomalous is none either.
        #expect(try reasons(history.merging(["speed_kmh": 900]) { $1 }, ["speed_kmh": 0.1]).isEmpty)
    }

    @Test func everyKindHasWords() throws {
        let row = history.merging([
            "speed_kmh": 7_421.4, "new_merchant": 1, "new_country": 1, "new_device": 1, "count_1h": 9,
            "seconds_since_last": 41, "sum_24h": 700, "hour_sin": 0.70710677, "hour_cos": 0.70710677,
        ]) { $1 }
        let names = [
            "speed_kmh", "new_merchant", "new_country", "new_device", "count_1h", "seconds_since_last",
            "sum_24h",
            "hour_sin", "hour_cos",
        ]
        let found = try reasons(row, Dictionary(uniqueKeysWithValues: names.map { ($0, -0.1) }))
        #expect(
            Set(found.map(\.sentence)) == [
                "7421 km/h from the place of the payment before; usual are 12",
                "first time at this merchant in 30 days", "first time in this country in 30 days",
                "first time with this device in 30 days",
                "9 payments in the hour before; this user's usual is 0.04",
                "41 s after the payment before; this user's usual are 24.0 h",
                "700.00 spent in the 24 h before; this user's usual is 36.10", "at 03:00 UTC, when few pay",
            ])
        #expect(found.first { $0.name == "hour" }?.value == .number(3))
    }

    @Test func aComparisonWithTheUsualIsSaidAsWhatItCompares() throws {
        let row = history.merging([
            "seconds_since_last": 864_000, "since_last_ratio_30d": 10, "sum_24h": 700,
            "sum_24h_ratio_30d": 19, "mean_1h": 350, "mean_1h_ratio_30d": 9.5,
        ]) { $1 }
        let names = ["since_last_ratio_30d", "sum_24h", "sum_24h_ratio_30d", "mean_1h_ratio_30d"]
        let found = try reasons(row, Dictionary(uniqueKeysWithValues: names.map { ($0, -0.1) }))
        #expect(found.map(\.name) == ["sum_24h", "seconds_since_last", "mean_1h"])
        #expect(abs(found[0].contribution + 0.2) < 1e-12)
        #expect(
            found.map(\.sentence) == [
                "700.00 spent in the 24 h before; this user's usual is 36.10",
                "10.0 d after the payment before; this user's usual are 24.0 h",
                "payments of 350.00 on the mean in the hour before; this user's usual are 36.10",
            ])
    }

    @Test func whatReferenceTablesKnowIsSaidInWords() throws {
        let row = history.merging([
            "merchant_frauds_7d": 2.47, "merchant_risk_2d": 0.125, "user_frauds_30d": 1,
            "category_count_30d": 8_727, "device_risk_7d": 0, "merchant_fraud_days": 3.5,
            "amount": 2.4, "merchant_amount_zscore": -2.13, "merchant_fraud_amount": 3.970_292,
        ]) { $1 }
        let names = [
            "merchant_frauds_7d", "merchant_risk_2d", "user_frauds_30d", "category_count_30d",
            "device_risk_7d", "merchant_fraud_days", "merchant_amount_zscore", "merchant_fraud_amount",
        ]
        let found = try reasons(row, Dictionary(uniqueKeysWithValues: names.map { ($0, -0.1) }))
        // A device that is as blameless as most is no reason.
        #expect(
            Set(found.map(\.sentence)) == [
                "frauds at this merchant lately: 2.47 (half-life 7 d)",
                "frauds among the payments at this merchant lately: 13 % (half-life 2 d)",
                "frauds of this user lately: 1 (half-life 30 d)",
                "payments in this category lately: 8727 (half-life 30 d)",
                "frauds have been reported at this merchant for 3.5 d",
                "2.40 is 2.13 deviations below what is usual at this merchant",
                "frauds reported at this merchant were of about 52.00",
            ])
    }

    /// How often a user pays is what they did in the time that the window has seen.
    @Test func aRateIsOfTheTimeThatWasSeen() throws {
        let row: [String: Float] = [
            "count_30d": 48, "sum_30d": 480, "mean_30d": 10, "amount": 200, "count_1h": 9, "sum_24h": 700,
            "seconds_since_last": 41,
        ]
        let shares = ["amount": -0.4, "count_1h": -0.3, "sum_24h": -0.2, "seconds_since_last": -0.1]
        let tenDays = try reasons(row, shares, memory: WindowMemory(seconds: 10 * 86_400))
        #expect(
            tenDays.map(\.sentence) == [
                "200.00 is 20 times this user's usual 10.00",
                "9 payments in the hour before; this user's usual is 0.20",
                "700.00 spent in the 24 h before; this user's usual is 48.00",
                "41 s after the payment before; this user's usual are 5.0 h",
            ])
        #expect(tenDays[3].usual == .number(18_000))
        // In two days nobody shows how often they pay, but what.
        let twoDays = try reasons(row, shares, memory: WindowMemory(seconds: 2 * 86_400))
        #expect(
            twoDays.map(\.sentence) == [
                "200.00 is 20 times this user's usual 10.00", "9 payments in the hour before; usual is 0",
                "700.00 spent in the 24 h before; usual is not known", "41 s after the payment before",
            ])
    }

    /// A full list has let go of some, of whom nobody knows that they are new.
    @Test func whatAFullListDoesNotHoldIsNotCalledTheFirst() throws {
        let row = history.merging(["new_merchant": 1, "new_country": 1, "new_device": 1]) { $1 }
        let shares = ["new_merchant": -0.3, "new_country": -0.2, "new_device": -0.1]
        func sentences(_ full: [RecentSet]) throws -> [String] {
            var memory = WindowMemory(seconds: 30 * 86_400)
            for set in full { memory.markFull(set) }
            return try reasons(row, shares, memory: memory).map(\.sentence)
        }
        #expect(
            try sentences(RecentSet.allCases) == [
                "not among this user's 32 latest merchants", "not among this user's 8 latest countries",
                "not among this user's 16 latest devices",
            ])
        #expect(
            try sentences([.merchants]) == [
                "not among this user's 32 latest merchants", "first time in this country in 30 days",
                "first time with this device in 30 days",
            ])
    }

    /// It came behind a later one, and so not 0 s after the payment before.
    @Test func ofALateArrivalsPauseNothingIsSaid() throws {
        let row = history.merging(["seconds_since_last": 0, "since_last_ratio_30d": 0]) { $1 }
        for feature in ["seconds_since_last", "since_last_ratio_30d"] {
            let late = WindowMemory(seconds: 30 * 86_400, isOvertaken: true)
            #expect(try reasons(row, [feature: -0.1], memory: late).isEmpty)
            #expect(try reasons(row, [feature: -0.1]).count == 1)
        }
    }

    @Test(arguments: [
        (0.007_5, 0.000_5, "0.0075 is 15 times this user's usual 0.0005"),
        (20_000_001.55, 10, "20000001.55 is 2000000 times this user's usual 10.00"),
        (0.05, 0.02, "0.05 is 2.5 times this user's usual 0.02"),
    ])
    func amountsAreToldAsTheyAre(amount: Double, mean: Float, sentence: String) throws {
        let row = history.merging(["amount": Float(amount), "mean_30d": mean]) { $1 }
        #expect(try reasons(row, ["amount": -0.1], amount: amount).map(\.sentence) == [sentence])
    }

    @Test(arguments: [
        (0, "0.00"), (-0.004, "-0.004"), (0.1, "0.10"), (0.105, "0.11"),
        (36.1, "36.10"),
        (1e-13, "0.00"), (.nan, "not known"),
    ])
    func smallAmountsHaveThePlacesThatTheyNeed(amount: Double, text: String) {
        #expect(FigureText.money(amount) == text)
    }

    @Test func ofANewcomerNothingIsNew() throws {
        let row: [String: Float] = ["count_30d": 2, "new_merchant": 1, "new_device": 1]
        #expect(try reasons(row, ["new_merchant": -0.3, "new_device": -0.3]).isEmpty)
    }
}

/// What a model makes of users without a history, and of categories that training did not know.
@Suite struct MutedFeatureTests {
    private func encoded(_ preprocessing: Preprocessing, _ values: [String: Float], category: String) throws
        -> [Float]
    {
        let plan = try PreprocessingPlan(preprocessing)
        var row = [Float](repeating: 0, count: UserWindow.featureCount)
        for (name, value) in values { row[try #require(FeatureSchema.index(of: name))] = value }
        var hashes = [UInt64](repeating: 0, count: PreprocessingPlan.categoryCount)
        hashes[0] = TextHash.hash(category)
        var encoded = [Float](repeating: -1, count: plan.columnCount)
        row.withUnsafeBufferPointer { row in
            hashes.withUnsafeBufferPointer { hashes in
                encoded.withUnsafeMutableBufferPointer {
                    plan.apply(numeric: row, categories: hashes, into: $0)
                }
            }
        }
        return encoded
    }

    private func preprocessing(_ encoding: Preprocessing.Encoding, unseenAsUsual: [String]?) -> Preprocessing
    {
        Preprocessing(
            scaling: .none,
            numeric: ["amount", "new_merchant"].map { .init(feature: $0, centre: 0, scale: 1, usual: 0) },
            categorical: [.init(feature: "category", categories: ["fuel", "grocery"], usual: "grocery")],
            encoding: encoding, coldBelow: 5, unseenAsUsual: unseenAsUsual)
    }

    @Test func noveltiesAreMissingWithoutAHistory() throws {
        let cold = try encoded(
            preprocessing(.native, unseenAsUsual: nil), ["count_30d": 4, "new_merchant": 1, "amount": 7],
            category: "fuel")
        #expect(cold[0] == 7 && cold[1].isNaN && cold[2] == 0)
        let warm = try encoded(
            preprocessing(.native, unseenAsUsual: nil), ["count_30d": 5, "new_merchant": 1, "amount": 7],
            category: "fuel")
        #expect(warm == [7, 1, 0])
    }

    @Test func aCategoryThatTrainingDidNotKnowCountsAsTheUsualOne() throws {
        let row: [String: Float] = ["count_30d": 9]
        #expect(
            try encoded(preprocessing(.native, unseenAsUsual: ["category"]), row, category: "new")[2] == 1)
        #expect(
            try encoded(preprocessing(.oneHot, unseenAsUsual: ["category"]), row, category: "new")[2...]
                == [0, 1, 0])
        // As of models from before: the pool's.
        #expect(try encoded(preprocessing(.native, unseenAsUsual: nil), row, category: "new")[2] == 2)
        #expect(
            try encoded(preprocessing(.oneHot, unseenAsUsual: nil), row, category: "new")[2...] == [0, 0, 1])
    }
}
