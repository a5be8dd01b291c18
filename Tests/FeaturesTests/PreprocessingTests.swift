import Features
import Foundation
import Testing
import Transactions

@Suite struct PreprocessingTests {
    private let example = Preprocessing(
        scaling: .standard,
        numeric: [
            .init(feature: "amount", centre: 10, scale: 2, usual: 10),
            .init(feature: "count_1h", centre: 0, scale: 1, usual: 1.5),
        ],
        categorical: [
            .init(feature: "category", categories: ["fuel", "grocery"], usual: "grocery"),
            .init(feature: "currency", categories: ["EUR"], usual: "EUR"),
        ])

    private func row(_ values: [String: Float] = [:]) throws -> [Float] {
        var row = [Float](repeating: 0, count: UserWindow.featureCount)
        for (name, value) in values { row[try #require(FeatureSchema.index(of: name))] = value }
        return row
    }

    /// Of a window that has seen nothing.
    private let noMemory = UserWindow().memory(for: WindowEvent(timestampMilliseconds: 0, amount: 400))

    private func batch(category: String? = nil, currency: String? = nil) -> TransactionBatch {
        var batch = TransactionBatch()
        batch.append(
            Transaction(
                transactionID: "t", userID: "u", amount: 400, timestampMilliseconds: 0, currency: currency,
                category: category))
        return batch
    }

    private func apply(_ plan: PreprocessingPlan, _ row: [Float], _ batch: TransactionBatch) -> [Float] {
        var encoded = [Float](repeating: -9, count: plan.columnCount)
        row.withUnsafeBufferPointer { row in
            encoded.withUnsafeMutableBufferPointer {
                plan.apply(numeric: row, batch: batch, row: 0, into: $0)
            }
        }
        return encoded
    }

    @Test func columnsSayWhereTheyComeFrom() throws {
        let names = ["amount", "count_1h", "category=fuel", "category=grocery", "category=other"]
        #expect(example.columns.map(\.name) == names + ["currency=EUR", "currency=other"])
        #expect(example.columns.map(\.category) == [nil, nil, "fuel", "grocery", "other", "EUR", "other"])
        #expect(example.columns[5].feature == FeatureSchema.index(of: "currency"))
    }

    @Test func scalesAndEncodes() throws {
        let plan = try PreprocessingPlan(example)
        let known = apply(
            plan, try row(["amount": 14, "count_1h": 3]), batch(category: "grocery", currency: "USD"))
        #expect(known == [2, 3, 0, 1, 0, 0, 1])
        let rare = apply(plan, try row(["amount": .greatestFiniteMagnitude]), batch(category: "other"))
        #expect(rare == [.greatestFiniteMagnitude / 2, 0, 0, 0, 1, 0, 0])
        let missing = apply(plan, try row(["amount": .nan]), batch())
        #expect(missing[0].isNaN)
        #expect(missing[2...].allSatisfy { $0 == 0 })
    }

    @Test func whatWouldOverflowIsClamped() throws {
        var tiny = example
        tiny.numeric[0].scale = 1e-30
        let limit = Float.greatestFiniteMagnitude
        #expect(apply(try PreprocessingPlan(tiny), try row(["amount": 1e30]), batch())[0] == limit)
        #expect(apply(try PreprocessingPlan(tiny), try row(["amount": -1e30]), batch())[0] == -limit)
    }

    @Test func everyNumberMayBeKeptAsItIs() throws {
        let plan = try PreprocessingPlan(.identity)
        let row = (0..<UserWindow.featureCount).map { $0 == 6 ? .nan : Float($0) * 1.25 }
        #expect(bits(apply(plan, row, batch())) == bits(row))
    }

    @Test func theSameWithHashesAsWithABatch() throws {
        let plan = try PreprocessingPlan(example)
        let row = try row(["amount": 3])
        let hashes = [TextHash.hash("fuel"), 0, 0, TextHash.hash("EUR")]
        var encoded = [Float](repeating: -9, count: plan.columnCount)
        row.withUnsafeBufferPointer { row in
            hashes.withUnsafeBufferPointer { hashes in
                encoded.withUnsafeMutableBufferPointer {
                    plan.apply(numeric: row, categories: hashes, into: $0)
                }
            }
        }
        let batch = batch(category: "fuel", currency: "EUR")
        #expect(encoded == apply(plan, row, batch))
        var written = [UInt64](repeating: 7, count: PreprocessingPlan.categoryCount)
        written.withUnsafeMutableBufferPointer { PreprocessingPlan.writeCategories(batch, row: 0, into: $0) }
        #expect(written == FeatureSchema.categorical.map { batch.hash($0.field, 0) })
        #expect(written == hashes)
    }

    @Test func isKeptAsJSONToTheLastBit() throws {
        var precise = example
        precise.numeric[0].centre = 0.1 + 0.2
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let json = try encoder.encode(precise)
        #expect(try JSONDecoder().decode(Preprocessing.self, from: json) == precise)
        #expect(String(decoding: json, as: UTF8.self).contains("\"schemaVersion\":4"))
    }

    /// What a verdict's digest is made of: it stays the same for models of older versions.
    @Test func aModelLooksAtTheFeaturesOfItsVersion() throws {
        func ranges(_ version: Int, _ feature: String) throws -> [Range<Int>] {
            var changed = example
            changed.schemaVersion = version
            changed.numeric[0].feature = feature
            return try PreprocessingPlan(changed).featureRanges.filter { !$0.isEmpty }
        }
        #expect(try ranges(1, "amount") == [0..<25])
        #expect(try ranges(2, "amount") == [0..<25])
        #expect(try ranges(2, "merchant_risk_2d") == [0..<51])
        #expect(try ranges(3, "amount") == [0..<25, 51..<56])
        #expect(try ranges(3, "merchant_risk_2d") == [0..<56])
        #expect(try ranges(4, "amount") == [0..<25, 51..<56])
        #expect(try ranges(4, "merchant_fraud_days") == [0..<57])
    }

    @Test func aDamagedPreprocessingIsRefused() {
        func refuses(_ error: PreprocessingError, _ change: (inout Preprocessing) -> Void) {
            var changed = example
            change(&changed)
            #expect(throws: error) { try PreprocessingPlan(changed) }
        }
        refuses(.unsupportedSchema(5)) { $0.schemaVersion = 5 }
        refuses(.unsupportedSchema(0)) { $0.schemaVersion = 0 }
        // Models of version 1 know the features of version 1 alone.
        refuses(.unknownFeature("merchant_risk_2d")) {
            $0.schemaVersion = 1
            $0.numeric[0].feature = "merchant_risk_2d"
        }
        refuses(.unknownFeature("since_last_ratio_30d")) {
            $0.schemaVersion = 2
            $0.numeric[0].feature = "since_last_ratio_30d"
        }
        refuses(.unknownFeature("colour")) { $0.numeric[0].feature = "colour" }
        refuses(.unknownFeature("category")) { $0.numeric[0].feature = "category" }
        refuses(.unknownFeature("amount")) { $0.categorical[0].feature = "amount" }
        refuses(.repeatedFeature("amount")) { $0.numeric[1].feature = "amount" }
        for scale in [0, -1, .nan, .infinity, 1e-300, 1e300] {
            refuses(.badScale(feature: "amount")) { $0.numeric[0].scale = scale }
        }
        refuses(.badScale(feature: "amount")) { $0.numeric[0].centre = .nan }
        refuses(.badScale(feature: "amount")) { $0.numeric[0].centre = 1e300 }
        refuses(.badCategories(feature: "category")) { $0.categorical[0].categories = ["b", "a"] }
        refuses(.badCategories(feature: "category")) { $0.categorical[0].categories = ["a", "a"] }
        refuses(.badCategories(feature: "category")) { $0.categorical[0].categories = ["other"] }
        refuses(.badCategories(feature: "category")) {
            $0.categorical[0].categories = (0..<256).map { "c\(1000 + $0)" }
        }
        refuses(.noColumns) { ($0.numeric, $0.categorical) = ([], []) }
    }

    @Test func reasonsNameTheFeaturesThatMadeItAnomalous() throws {
        let plan = try PreprocessingPlan(example)
        let row = try row(["amount": 400, "count_1h": .nan])
        let contributions = [-0.5, -0.25, -0.125, 0.0625, -0.5, 0.5, -0.25]
        let reasons = { (limit: Int) in
            row.withUnsafeBufferPointer { row in
                contributions.withUnsafeBufferPointer {
                    plan.reasons(
                        contributions: $0, numeric: row, memory: noMemory,
                        batch: batch(category: "casino", currency: "EUR"), row: 0, limit: limit)
                }
            }
        }
        let expected = [
            FeatureReason(
                name: "category", value: .text("casino"), usual: .text("grocery"), contribution: -0.5625,
                sentence: "category casino; most are grocery"),
            FeatureReason(
                name: "amount", value: .number(400), usual: .number(10), contribution: -0.5,
                sentence: "400.00 is 40 times the usual 10.00"),
        ]
        #expect(reasons(5) == expected)
        #expect(reasons(1) == [expected[0]])
        let json = try JSONEncoder().encode(expected)
        #expect(try JSONDecoder().decode([FeatureReason].self, from: json) == expected)
    }

    // MARK: Native encoding

    private var native: Preprocessing {
        Preprocessing(
            scaling: example.scaling, numeric: example.numeric, categorical: example.categorical,
            encoding: .native)
    }

    @Test func nativeEncodingGivesCodes() throws {
        let plan = try PreprocessingPlan(native)
        #expect(plan.columns.map(\.name) == ["amount", "count_1h", "category", "currency"])
        #expect(plan.columns.map(\.cardinality) == [nil, nil, 3, 2])
        #expect(plan.columns.allSatisfy { $0.category == nil })
        let row = try row(["amount": 14, "count_1h": 3])
        #expect(apply(plan, row, batch(category: "grocery", currency: "EUR")) == [2, 3, 1, 0])
        #expect(apply(plan, row, batch(category: "fuel", currency: "USD")) == [2, 3, 0, 1])
        #expect(apply(plan, row, batch(category: "casino", currency: "other")) == [2, 3, 2, 1])
        let missing = apply(plan, row, batch())
        #expect(missing[..<2] == [2, 3] && missing[2].isNaN && missing[3].isNaN)
    }

    @Test func reasonsOfCodesNameTheFeatureAndItsCategory() throws {
        let plan = try PreprocessingPlan(native)
        let row = try row(["amount": 400])
        let reasons = row.withUnsafeBufferPointer { row in
            [-0.25, 0.5, -0.5, 0.125].withUnsafeBufferPointer {
                plan.reasons(
                    contributions: $0, numeric: row, memory: noMemory, batch: batch(category: "casino"),
                    row: 0, limit: 5)
            }
        }
        #expect(
            reasons == [
                FeatureReason(
                    name: "category", value: .text("casino"), usual: .text("grocery"), contribution: -0.5,
                    sentence: "category casino; most are grocery"),
                FeatureReason(
                    name: "amount", value: .number(400), usual: .number(10), contribution: -0.25,
                    sentence: "400.00 is 40 times the usual 10.00"),
            ])
    }

    @Test func theEncodingIsKeptAndWithoutOneItIsOneHot() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let json = String(decoding: try encoder.encode(native), as: UTF8.self)
        #expect(json.contains("\"encoding\":\"native\""))
        #expect(try JSONDecoder().decode(Preprocessing.self, from: Data(json.utf8)) == native)
        let old = String(decoding: try encoder.encode(example), as: UTF8.self)
        #expect(!old.contains("encoding"))
        #expect(try JSONDecoder().decode(Preprocessing.self, from: Data(old.utf8)).encoding == .oneHot)
        let strange = json.replacingOccurrences(of: "native", with: "hashed")
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(Preprocessing.self, from: Data(strange.utf8))
        }
    }
}
