import DetectorAPI
import Foundation
import Testing

@testable import BoostedTrees

/// What is learned, and what is refused.
@Suite struct FittingTests {
    @Test("frauds of fresh rows score lower, and probabilities are what they say")
    func learns() throws {
        let model = try Planted(4_000, withCategories: true).fit()
        let fresh = Planted(8_000, seed: 2, withCategories: true)
        let scores = try model.scores(fresh)
        #expect(auroc(scores, fresh.labels) > 0.85)
        #expect(scores.allSatisfy { (-1...0).contains($0) })
        let frauds = Double(fresh.labels.count { $0 == 1 })
        #expect(abs(-scores.reduce(0, +) / frauds - 1) < 0.15)
        // Of the rows that are called frauds more likely than not, about as many are as was said.
        let likely = scores.indices.filter { scores[$0] < -0.4 }
        let said = likely.reduce(0) { $0 - scores[$1] }
        #expect(likely.count > 200)
        #expect(abs(Double(likely.count { fresh.labels[$0] == 1 }) / said - 1) < 0.25)
    }

    @Test("the same rows, seed and parameters give the same bytes")
    func sameBytes() throws {
        let planted = Planted(1_000, gaps: 0.1, withCategories: true)
        let bytes = try planted.fit().encode()
        #expect(try planted.fit().encode() == bytes)
        #expect(try planted.fit(seed: 8).encode() != bytes)
        #expect(try planted.fit(["n_estimators": .integer(20)]).encode() != bytes)
    }

    @Test("rows that nobody labelled are left out")
    func unlabelled() throws {
        let planted = Planted(1_000)
        var more = planted
        let others = Planted(500, seed: 3)
        more.values += others.values
        more.labels += [Int8](repeating: -1, count: others.count)
        #expect(
            try more.fit(["n_estimators": .integer(10)]).encode()
                == (try planted.fit(["n_estimators": .integer(10)]).encode()))
    }

    @Test("with too few labels it says how many it found and how many it wants")
    func tooFewLabels() throws {
        func message(_ planted: Planted, _ labels: [Int8]?, _ parameters: [String: ParameterValue] = [:])
            throws -> String
        {
            let context = try planted.context(parameters)
            let error = #expect(throws: DetectorError.self) {
                _ = try planted.withRows { (rows) throws -> any DetectorModel in
                    guard let labels else {
                        return try BoostedTrees().fit(rows, labels: nil, context: context)
                    }
                    return try labels.withUnsafeBufferPointer {
                        try BoostedTrees().fit(rows, labels: $0, context: context)
                    }
                }
            }
            guard case .invalidInput(let reason)? = error else {
                return "another error: \(String(describing: error))"
            }
            return reason
        }
        let planted = Planted(300)
        var labels = [Int8](repeating: 0, count: 300)
        for row in 0..<12 { labels[row] = 1 }
        for row in 200..<300 { labels[row] = -1 }
        let few = try message(planted, labels)
        #expect(few.contains("12 labelled frauds and 188 genuine rows were found among 300"))
        #expect(few.contains("at least 50 labelled frauds"))
        #expect(try message(planted, labels, ["min_labels": .integer(13)]).contains("at least 13"))
        let none = try message(planted, nil)
        #expect(none.contains("there are none"))
        #expect(none.contains("--learn-labels"))
        #expect(try message(planted, [1, 0]).contains("2 labels for 300 rows"))
        #expect(try message(planted, [Int8](repeating: 1, count: 300)).contains("0 genuine rows"))
        #expect(try message(Planted(0), []).contains("no rows"))
    }

    @Test("twelve frauds are enough where that is said to be")
    func fewLabelsWhenTold() throws {
        var planted = Planted(300)
        planted.labels = (0..<300).map { $0 % 25 == 0 ? 1 : 0 }
        _ = try planted.fit(["min_labels": .integer(12), "min_data_in_leaf": .integer(1)])
    }

    @Test("without LightGBM it says how to have it, and a model that is there still scores")
    func libraryAway() throws {
        let error = #expect(throws: DetectorError.self) { _ = try LightGBM("/nowhere/lib_lightgbm.so") }
        guard case .unavailable(let reason)? = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(reason.contains("scripts/setup") && reason.contains("ML_SERVICE_LIGHTGBM"))
        #expect(reason.contains("/nowhere/lib_lightgbm.so"))
        // A library that is another one.
        #expect(throws: DetectorError.self) { _ = try LightGBM("libc.so.6") }
    }

    @Test("parameters at their limits, and columns of which nothing can be learned")
    func limits() throws {
        var planted = Planted(900, columns: 3)
        for (name, value) in [
            ("n_estimators", .integer(1)), ("num_leaves", .integer(2)), ("num_leaves", .integer(32)),
            ("learning_rate", .real(1)), ("min_data_in_leaf", .integer(1)), ("lambda_l2", .real(0)),
            ("feature_fraction", .real(0.05)), ("balance", .real(1)), ("min_labels", .integer(2)),
        ] as [(String, ParameterValue)] {
            let scores = try planted.fit(
                ["min_data_in_leaf": .integer(5)].merging([name: value]) { $1 }
            ).scores(planted)
            #expect(scores.allSatisfy { $0.isFinite })
        }
        // Leaves of more rows than there are: no tree, and the share of frauds for every row.
        let constant = try planted.fit(["min_data_in_leaf": .integer(100_000)])
        let scores = try constant.scores(planted)
        #expect(Set(scores).count == 1)
        let share = Double(planted.labels.count { $0 == 1 }) / 900
        #expect(abs(-scores[0] - share) < 0.02)
        planted.values = [Float](repeating: 5, count: planted.values.count)
        #expect(Set(try planted.fit().scores(planted)).count == 1)
        planted.values = [Float](repeating: .nan, count: planted.values.count)
        #expect(Set(try planted.fit().scores(planted)).count == 1)
    }

    @Test("told to stop, it stops; progress only rises")
    func cancellation() throws {
        let planted = Planted(1_000)
        let context = try planted.context(isCancelled: { true })
        #expect(throws: DetectorError.cancelled) {
            _ = try planted.withRows { rows in
                try planted.labels.withUnsafeBufferPointer {
                    try BoostedTrees().fit(rows, labels: $0, context: context)
                }
            }
        }
    }
}
