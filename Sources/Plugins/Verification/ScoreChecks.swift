import DetectorAPI
import Foundation
import Synchronization

extension Check {
    /// Ordinary and extreme rows, on a model of ordinary ones.
    private static func modelAndRows(_ subject: Subject) throws -> (any DetectorModel, SampleTable) {
        let model = try subject.fit(SampleTable.normal(1_000, columns: 5))
        let ordinary = SampleTable.normal(237, columns: 5, seed: 2)
        return (model, SampleTable(ordinary.values + SampleTable.extremes(columns: 5).values, columns: 5))
    }

    static let permutation = Check("a row's score is its own") { subject in
        let (model, table) = try modelAndRows(subject)
        let alone = try (0..<table.count).map { try model.scores(of: table.rows([$0]))[0] }
        func compare(_ order: [Int], _ what: String) throws {
            let scores = try model.scores(of: table.rows(order))
            guard
                let place = order.indices.first(where: {
                    scores[$0].bitPattern != alone[order[$0]].bitPattern
                })
            else { return }
            throw CheckFailure(
                "\(what): row \(place), \(table[order[place]]), scores \(scores[place]) there and "
                    + "\(alone[order[place]]) alone")
        }
        // Growing batches first, so that the smallest one that differs is the one that is told.
        for size in 1...table.count {
            subject.note("scoring \(size) rows")
            try compare(Array(0..<size), "in a batch of \(size)")
        }
        try compare((0..<table.count).reversed(), "in a batch of \(table.count), backwards")
        var generator = SeededGenerator(seed: subject.settings.seed)
        for _ in 0..<20 {
            try compare(
                (0..<table.count).shuffled(using: &generator), "in a shuffled batch of \(table.count)")
        }
        return .passed("alone, in batches of 1 to \(table.count), backwards, shuffled 20 times")
    }

    static let threads = Check("scoring from 8 threads at once") { subject in
        let (model, table) = try modelAndRows(subject)
        let expected = try model.scores(of: table)
        let failures = inThreads(8) { thread in
            // Each thread at another place of the batch, so that what they share shows.
            let first = thread * table.count / 8
            let order = Array(first..<table.count) + Array(0..<first)
            let turned = table.rows(order)
            for _ in 0..<200 {
                guard let scores = try? model.scores(of: turned) else { return "scoring throws" }
                if let place = order.indices.first(where: {
                    scores[$0].bitPattern != expected[order[$0]].bitPattern
                }) {
                    return
                        "row \(table[order[place]]) scores \(scores[place]), alone \(expected[order[place]])"
                }
            }
            return nil
        }
        if let failure = failures.first { throw CheckFailure("\(failure) (\(failures.count) of 8 threads)") }
        return .passed("8 x 200 batches of \(table.count)")
    }

    static let direction = Check("lower is more anomalous") { subject in
        let table = SampleTable.normal(1_000, columns: 4)
        let model = try subject.fit(table)
        // Of a detector that needs labels, the rows that were not labelled as anomalies.
        let labels =
            subject.detector.info.needsLabels
            ? table.withRows { $0.labelsOfFurthest() } : [Int8](repeating: 0, count: table.count)
        let usual = zip(try model.scores(of: table), labels).filter { $1 == 0 }.map { $0.0 }.sorted()
        let outliers = SampleTable(rows: [[12, 12, 12, 12], [-12, -12, -12, -12], [12, -12, 12, -12]])
        let scores = try model.scores(of: outliers)
        let bound = usual[usual.count / 20]
        for (row, score) in scores.enumerated() where score >= bound {
            throw CheckFailure(
                "\(outliers[row]), 12 deviations away in each column, scores \(score); "
                    + "95 % of the usual rows score above \(bound)")
        }
        return .passed(
            "planted rows score \(scores.max() ?? 0) at most, the median is \(usual[usual.count / 2])")
    }

    static let contributions = Check("contributions sum to the score") { subject in
        let (model, table) = try modelAndRows(subject)
        guard let explaining = model as? any Explaining else { return .notApplicable("it does not explain") }
        let expected = try model.scores(of: table)
        var scores = [Double](repeating: .nan, count: table.count)
        var contributions = [Double](repeating: .nan, count: table.count * table.columns)
        try table.withRows { rows in
            try scores.withUnsafeMutableBufferPointer { scores in
                try contributions.withUnsafeMutableBufferPointer {
                    try explaining.explain(rows, into: scores, contributions: $0)
                }
            }
        }
        var worst = 0.0
        for row in 0..<table.count {
            guard scores[row].bitPattern == expected[row].bitPattern else {
                throw CheckFailure(
                    "\(table[row]) scores \(scores[row]) when explained, \(expected[row]) otherwise")
            }
            let sum = contributions[row * table.columns..<(row + 1) * table.columns].reduce(0, +)
            let difference = abs(sum - (scores[row] - explaining.expectedScore))
            guard difference <= 1e-9 else {
                throw CheckFailure(
                    "\(table[row]): the contributions sum to \(sum), the score minus \(explaining.expectedScore) "
                        + "is \(scores[row] - explaining.expectedScore)")
            }
            worst = max(worst, difference)
        }
        return .measured("\(table.count) rows, off by \(worst) at most", ["contribution-error": worst])
    }

    static let learning = Check("learning row by row") { subject in
        let table = SampleTable.normal(500, columns: 4)
        let model = try subject.fit(table)
        guard let updating = model as? any Updating else { return .notApplicable("it does not learn") }
        let before = model.encode()
        let learner = updating.makeLearner()
        let fresh = SampleTable.normal(600, columns: 4, seed: 5)
        let rows = SampleTable(fresh.values + SampleTable.extremes(columns: 4).values, columns: 4)
        var refused = 0
        for row in 0..<300 { try rows[row].withUnsafeBufferPointer { try learner.learn($0) } }
        let halfway = learner.model()
        let halfwayBytes = halfway.encode()
        for row in 300..<rows.count {
            subject.note("learning \(rows[row])")
            do {
                try rows[row].withUnsafeBufferPointer { try learner.learn($0) }
            } catch DetectorError.invalidInput where row >= fresh.count {
                refused += 1
            }
        }
        let learned = learner.model()
        guard model.encode() == before else {
            throw CheckFailure("the model that it started from has changed")
        }
        guard halfway.encode() == halfwayBytes else {
            throw CheckFailure("the model after 300 rows changed when more were learned")
        }
        let scores = try learned.scores(of: rows)
        guard isSame(try (try subject.decode(learned.encode())).scores(of: rows), scores) else {
            throw CheckFailure("what it learned scores otherwise after encoding and decoding")
        }
        return .passed("\(rows.count) rows, \(refused) refused; the models before stay as they were")
    }
}

/// Runs `body` in threads of their own, all at the same time.
///
/// - Returns: What they complained of.
func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> String?) -> [String] {
    final class Failures: Sendable {
        let texts = Mutex<[String]>([])
    }
    let failures = Failures()
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        // Dispatch would run as many at once as there are processors.
        Thread.detachNewThread {
            if let failure = body(index) { failures.texts.withLock { $0.append(failure) } }
            group.leave()
        }
    }
    group.wait()
    return failures.texts.withLock { $0 }
}
