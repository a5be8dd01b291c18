import Features
import Randomness
import Testing
import Transactions

@Suite struct PreprocessingFitterTests {
    private func fit(
        _ rows: [[Float]], categories: [[String?]] = [], _ options: PreprocessingFitter.Options = .init()
    ) -> Preprocessing {
        var fitter = PreprocessingFitter(options: options)
        for (index, row) in rows.enumerated() {
            add(row, categories.isEmpty ? nil : categories[index], to: &fitter)
        }
        return fitter.finish()
    }

    private func add(_ row: [Float], _ categories: [String?]?, to fitter: inout PreprocessingFitter) {
        let none = [String?](repeating: nil, count: PreprocessingPlan.categoryCount)
        row.withUnsafeBufferPointer { fitter.add(numeric: $0, categories: categories ?? none) }
    }

    /// Rows in which every feature has the same values.
    private func rows(_ values: [Float]) -> [[Float]] {
        values.map { Array(repeating: $0, count: UserWindow.featureCount) }
    }

    @Test func standardIsMeanAndDeviation() {
        let fitted = fit(rows([1, 2, 3, 4, .nan]))
        #expect(fitted.numeric.count == UserWindow.featureCount)
        #expect(fitted.numeric[0].centre == 2.5)
        #expect(abs(fitted.numeric[0].scale - 1.2909944487358056) < 1e-15)
        #expect(fitted.numeric[0].usual == 2)
        #expect(fitted.schemaVersion == 4)
    }

    @Test func robustIsMedianAndQuartiles() {
        let values = (0...100).map { Float($0) } + [1e9]
        let fitted = fit(rows(values), .init(scaling: .robust))
        #expect(abs(fitted.numeric[0].centre - 50.5) <= 0.5)
        #expect(abs(fitted.numeric[0].scale - 50.5) <= 1)
        #expect(fitted.numeric[0].usual == fitted.numeric[0].centre)
        // More than half the values are one: its spread is the deviation.
        let flag = fit(rows([0, 0, 0, 0, 0, 0, 0, 1]), .init(scaling: .robust))
        #expect(flag.numeric[0].centre == 0)
        #expect(abs(flag.numeric[0].scale - 0.35355339059327) < 1e-12)
    }

    @Test func quartilesAreWithinOnePartIn128() {
        var random = Randomness()
        for _ in 0..<20 {
            let values = (0..<2001).map { _ in Float.random(in: -1e4...1e4, using: &random) }
            let fitted = fit(rows(values), .init(scaling: .robust))
            let sorted = values.sorted()
            let (q1, q2, q3) = (Double(sorted[500]), Double(sorted[1000]), Double(sorted[1500]))
            #expect(abs(fitted.numeric[0].centre - q2) <= q2.magnitude / 128)
            #expect(abs(fitted.numeric[0].scale - (q3 - q1)) <= (q1.magnitude + q3.magnitude) / 128)
        }
    }

    @Test func noneLeavesNumbersAlone() {
        let fitted = fit(rows([1, 2, 6]), .init(scaling: .none))
        #expect(fitted.numeric.allSatisfy { $0.centre == 0 && $0.scale == 1 && $0.usual == 2 })
    }

    /// Rows that are seen together are worked on several columns at a time: to the bit the same as one by one.
    @Test func rowsTogetherGiveTheBitsOfRowsOneByOne() {
        var random = Randomness()
        let width = UserWindow.featureCount
        for count in [1, 2, 57, 1_100] {
            let values = (0..<count * width).map { place -> Float in
                if place % width == 3 || Int.random(in: 0..<9, using: &random) == 0 { return .nan }
                return Float.random(in: -5e5...5e5, using: &random) * (place % width == 5 ? 1e-20 : 1)
            }
            var apart = PreprocessingFitter()
            var together = PreprocessingFitter()
            let none = [UInt64](repeating: 0, count: count * PreprocessingPlan.categoryCount)
            values.withUnsafeBufferPointer { values in
                for row in 0..<count {
                    apart.add(
                        numeric: UnsafeBufferPointer(rebasing: values[row * width..<(row + 1) * width]),
                        categories: Array(repeating: nil, count: PreprocessingPlan.categoryCount))
                }
                none.withUnsafeBufferPointer { together.add(numeric: values, categories: $0) { _ in nil } }
            }
            #expect(together.finish() == apart.finish())
            #expect(together.rowCount == count)
        }
    }

    /// What is fitted at once, of few rows or many, is what a fitter gives.
    @Test(arguments: [1, 2, 57, 1_024, 1_025]) func fittingAtOnceGivesTheBitsOfAFitter(count: Int) {
        var random = Randomness()
        let width = UserWindow.featureCount
        let values = (0..<count * width).map { place -> Float in
            if place % width == 3 || Int.random(in: 0..<9, using: &random) == 0 { return .nan }
            if place % width == 7 { return Int.random(in: 0..<5, using: &random) == 0 ? 1 : 0 }
            return Float.random(in: -5e5...5e5, using: &random)
        }
        let categories = (0..<count * PreprocessingPlan.categoryCount).map { _ in
            UInt64.random(in: 0..<9, using: &random)
        }
        for scaling in Preprocessing.Scaling.allCases {
            let options = PreprocessingFitter.Options(
                scaling: scaling, numericFeatures: scaling == .robust ? ["amount", "speed_kmh"] : nil,
                minimumShare: 0.1, coldBelow: 5)
            var fitter = PreprocessingFitter(options: options)
            let together = values.withUnsafeBufferPointer { values in
                categories.withUnsafeBufferPointer { categories in
                    fitter.add(numeric: values, categories: categories) { "category \($0)" }
                    return PreprocessingFitter.fit(
                        numeric: values, categories: categories, options: options
                    ) { "category \($0)" }
                }
            }
            #expect(together == fitter.finish())
        }
    }

    @Test func whatNeverVariedOrNeverCame() throws {
        var constant = rows([5, 5, 5])
        for index in constant.indices { constant[index][24] = .nan }
        let fitted = fit(constant)
        #expect(fitted.numeric.count == UserWindow.featureCount - 1)
        #expect(!fitted.numeric.contains { $0.feature == "speed_kmh" })
        #expect(fitted.numeric[0].centre == 5 && fitted.numeric[0].scale == 1)
        #expect(fitted.categorical.isEmpty)
        // No rows at all: nothing to apply, said when it is compiled.
        #expect(throws: PreprocessingError.noColumns) { try PreprocessingPlan(fit([])) }
        let tenth = fit(rows(Array(repeating: 0.1, count: 1000)))
        #expect(tenth.numeric[0].scale == 1)
    }

    @Test func onlyTheFeaturesAskedFor() {
        let options = PreprocessingFitter.Options(
            numericFeatures: ["speed_kmh", "amount"], categoricalFeatures: ["channel"])
        let categories = Array(repeating: ["a", "b", "c", "d"] as [String?], count: 2)
        let fitted = fit(rows([1, 2]), categories: categories, options)
        #expect(fitted.numeric.map(\.feature) == ["amount", "speed_kmh"])
        #expect(fitted.categorical.map(\.feature) == ["channel"])
    }

    @Test func rareCategoriesArePooled() {
        let names: [String?] =
            Array(repeating: "common", count: 150) + Array(repeating: "b", count: 2)
            + Array(repeating: "a", count: 2)
            + Array(repeating: "other", count: 45) + ["rare"] + Array(repeating: nil, count: 100)
        let fitted = fit(
            rows(Array(repeating: 1, count: 300)), categories: names.map { [$0, nil, nil, nil] })
        #expect(
            fitted.categorical == [
                .init(feature: "category", categories: ["a", "b", "common"], usual: "common")
            ])
        let few = fit(
            rows(Array(repeating: 1, count: 300)), categories: names.map { [$0, nil, nil, nil] },
            .init(minimumShare: 0, maximumCategories: 2))
        #expect(few.categorical[0].categories == ["a", "common"])
        let pooled = fit(
            rows(Array(repeating: 1, count: 300)), categories: names.map { [$0, nil, nil, nil] },
            .init(minimumShare: 0.9))
        #expect(pooled.categorical == [.init(feature: "category", categories: [], usual: "other")])
    }

    /// Far more texts than can be counted: the common ones are found all the same.
    @Test func commonCategoriesAreFoundAmongAnyNumber() {
        var random = Randomness()
        var fitter = PreprocessingFitter()
        let row = [Float](repeating: 1, count: UserWindow.featureCount)
        for number in 0..<100_000 {
            let text = random.chance(5) ? "five" : random.chance(2) ? "two" : "rare \(number)"
            add(row, [text, nil, nil, nil], to: &fitter)
        }
        #expect(fitter.finish().categorical[0].categories == ["five", "two"])
    }

    @Test func mergingPartsGivesTheWhole() throws {
        var random = Randomness()
        for scaling in Preprocessing.Scaling.allCases {
            let options = PreprocessingFitter.Options(scaling: scaling)
            var whole = PreprocessingFitter(options: options)
            var parts = [whole, whole, whole]
            for _ in 0..<2000 {
                let row = (0..<UserWindow.featureCount).map { _ in
                    random.chance(10) ? .nan : Float.random(in: -100...1000, using: &random)
                }
                let categories = (0..<4).map { _ in random.chance(10) ? nil : "c\(random.below(20))" }
                add(row, categories, to: &whole)
                add(row, categories, to: &parts[random.below(3)])
            }
            parts[2].merge(parts[0])
            parts[2].merge(parts[1])
            #expect(parts[2].rowCount == 2000)
            let (a, b) = (whole.finish(), parts[2].finish())
            #expect(a.categorical == b.categorical)
            let close = zip(a.numeric, b.numeric).allSatisfy {
                abs($0.centre - $1.centre) <= 1e-11 * 1000 && abs($0.scale - $1.scale) <= 1e-11 * 1000
            }
            #expect(close)
            #expect(scaling != .robust || a.numeric.map(\.scale) == b.numeric.map(\.scale))
        }
    }

    @Test func rowsOfABatchAreSeenAsTheyAre() {
        var batch = TransactionBatch()
        for number in 0..<4 {
            batch.append(
                Transaction(
                    transactionID: "t", userID: "u", amount: 1, timestampMilliseconds: 0, currency: "EUR",
                    country: number == 0 ? nil : "DE"))
        }
        let values = [Float](repeating: 2, count: 4 * UserWindow.featureCount)
        let fitted = values.withUnsafeBufferPointer { Preprocessing.fit(numeric: $0, batch: batch) }
        #expect(fitted.categorical.map(\.feature) == ["country", "currency"])
        #expect(fitted.categorical.map(\.categories) == [["DE"], ["EUR"]])
    }

    /// Rows as a table, with hashes for texts: the same as row by row, to the bit.
    @Test(arguments: [3, 160, 1_024, 1_025, 3_000]) func aTableIsSeenAsItsRowsAre(count: Int) {
        var random = Randomness()
        let options = PreprocessingFitter.Options(scaling: .robust)
        var rowByRow = PreprocessingFitter(options: options)
        var atOnce = rowByRow
        var texts: [UInt64: String] = [:]
        var (numbers, hashes): ([Float], [UInt64]) = ([], [])
        for _ in 0..<count {
            let row = (0..<UserWindow.featureCount).map { _ in
                random.chance(10) ? .nan : Float.random(in: -100...1000, using: &random)
            }
            let categories = (0..<4).map { random.chance(10) ? nil : "c\(random.below($0 * 30 + 3))" }
            add(row, categories, to: &rowByRow)
            numbers += row
            for text in categories {
                let hash = text.map { TextHash.hash($0) } ?? 0
                hashes.append(hash)
                texts[hash] = text
            }
        }
        numbers.withUnsafeBufferPointer { numbers in
            hashes.withUnsafeBufferPointer { hashes in
                atOnce.add(numeric: numbers, categories: hashes) { texts[$0] }
            }
        }
        #expect(atOnce.rowCount == count)
        #expect(rowByRow.finish() == atOnce.finish())
    }

    /// Bytes that are no text read alike though their hashes differ: they are one category.
    @Test func textsThatReadAlikeAreOneCategory() throws {
        var fitter = PreprocessingFitter()
        let numbers = [Float](repeating: 1, count: 4 * UserWindow.featureCount)
        let hashes: [UInt64] = [11, 0, 0, 0, 12, 0, 0, 0, 11, 0, 0, 0, 13, 0, 0, 0]
        numbers.withUnsafeBufferPointer { numbers in
            hashes.withUnsafeBufferPointer { hashes in
                fitter.add(numeric: numbers, categories: hashes) { $0 == 13 ? nil : "\u{FFFD}" }
            }
        }
        let fitted = fitter.finish()
        #expect(fitted.categorical.map(\.categories) == [["\u{FFFD}"]])
        _ = try PreprocessingPlan(fitted)
    }
}
