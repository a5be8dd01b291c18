import CLightGBM
import DetectorAPI
import Testing

@testable import BoostedTrees

/// The trees that we score are the ones that LightGBM grew.
@Suite struct LightGBMTests {
    /// LightGBM's own sums over the trees.
    private func predictions(_ library: LightGBM, _ text: String, _ rows: LabelledRows) throws -> [Double] {
        var booster: UnsafeMutableRawPointer?
        var iterations: Int32 = 0
        try library.check(library.functions.booster_load(text, &iterations, &booster))
        defer { _ = library.functions.booster_free(booster) }
        var sums = [Double](repeating: .nan, count: rows.count)
        var written: Int64 = 0
        try rows.withRows { table in
            // Kind 1: raw sums.
            try library.check(
                library.functions.booster_predict(
                    booster, table.values.baseAddress, 0, Int32(table.count), Int32(table.columns), 1, 1, 0,
                    -1,
                    "num_threads=1", &written, &sums))
        }
        #expect(Int(written) == rows.count)
        return sums
    }

    @Test(
        "margins are LightGBM's to within 1e-6, with gaps, categories, infinities and what training did not see",
        arguments: [(0.0, false), (0.15, false), (0, true), (0.15, true)])
    func equality(gaps: Double, withCategories: Bool) throws {
        let library = try LightGBM()
        let planted = Planted(3_000, gaps: gaps, withCategories: withCategories)
        let parameters = BoostedParameters(try planted.context().parameters)
        let table = try labelled(planted, parameters)
        let fitter = BoostedFitter(table, parameters, try planted.context(), library: library)
        let grown = try fitter.grow(table, run: 0)
        let model = try BoostedFitter.model(grown, table, Calibration(slope: 1, intercept: 0))

        var fresh = Planted(3_000, seed: 9, gaps: gaps, withCategories: withCategories)
        // What was not in training: missing values, infinities, zeros and categories.
        let odd: [Float] = [.nan, .infinity, -.infinity, 0, -0.0, 1e-38, 1.5, -1, 39, 40, 1e9]
        for row in 0..<1_000 { fresh.values[row * 6 + row % 6] = odd[row % odd.count] }
        let checked = try labelled(fresh, parameters)
        let theirs = try predictions(library, grown.text, checked)
        var ours = [Double](repeating: .nan, count: fresh.count)
        try fresh.withRows { rows in
            try ours.withUnsafeMutableBufferPointer { try model.margins(rows, into: $0) }
        }
        let worst = zip(ours, theirs).map { abs($0 - grown.base - $1) }.max() ?? 1
        #expect(worst < 1e-6)
        #expect(Set(ours).count > 500)
    }

    private func labelled(_ planted: Planted, _ parameters: BoostedParameters) throws -> LabelledRows {
        try planted.withRows { rows in
            try planted.labels.withUnsafeBufferPointer {
                try LabelledRows(rows, $0, planted.columns, parameters)
            }
        }
    }

    @Test("a text that is no model is refused and never traps")
    func hostileText() throws {
        let library = try LightGBM()
        let planted = Planted(900, gaps: 0.1, withCategories: true)
        let parameters = BoostedParameters(try planted.context(["n_estimators": .integer(5)]).parameters)
        let table = try labelled(planted, parameters)
        let fitter = BoostedFitter(
            table, parameters, try planted.context(["n_estimators": .integer(5)]), library: library)
        let grown = try fitter.grow(table, run: 0)
        var generator = SeededGenerator(seed: 5)
        var refused = 0
        for _ in 0..<2_000 {
            var text = Array(grown.text.utf8)
            for _ in 0...generator.below(4) {
                switch generator.below(3) {
                case 0: text.remove(at: generator.below(text.count))
                case 1: text.insert(UInt8(48 + generator.below(10)), at: generator.below(text.count))
                default: text[generator.below(text.count)] = UInt8(32 + generator.below(95))
                }
            }
            let hostile = BoostedFitter.Grown(text: String(decoding: text, as: UTF8.self), base: 0)
            do {
                let model = try BoostedFitter.model(hostile, table, Calibration(slope: 1, intercept: 0))
                #expect(try model.scores(planted).allSatisfy { $0.isFinite })
            } catch is DetectorError {
                refused += 1
            }
        }
        #expect(refused > 100)
    }
}
