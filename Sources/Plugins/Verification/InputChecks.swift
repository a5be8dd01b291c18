import DetectorAPI

/// What a detector says that it makes use of (`DetectorInfo.uses`), it has to understand.
extension Check {
    static let categories = Check("columns of categories") { subject in
        guard subject.detector.info.uses.contains(.categories) else {
            return .notApplicable("it does not use categories")
        }
        let cardinality = 5
        // The first column is a number, the second a category: the more rows, the lower its code.
        var table = SampleTable.normal(300, columns: 2)
        for row in 0..<table.count {
            table.values[2 * row + 1] = row % 17 == 0 ? .nan : Float(min(row % 8, row % 11, cardinality - 1))
        }
        let kinds = [FeatureColumn.Kind.numeric, .categorical(cardinality: cardinality)]
        subject.note("fitting \(table), its second column of \(cardinality) categories")
        let model = try subject.detector.fit(table, kinds: kinds)
        let scores = try model.scores(of: table)
        guard try subject.detector.fit(table, kinds: kinds).encode() == model.encode() else {
            throw CheckFailure("fitted twice with the same seed, the artifacts differ")
        }
        guard isSame(try subject.decode(model.encode()).scores(of: table), scores) else {
            throw CheckFailure("its model scores otherwise after encoding and decoding")
        }
        let missing = try model.scores(of: SampleTable([0, .nan], columns: 2))
        for code in [5, -1, 1.5, .infinity, -.infinity, 1e30] as [Float] {
            subject.note("scoring the category \(code) of \(cardinality)")
            guard isSame(try model.scores(of: SampleTable([0, code], columns: 2)), missing) else {
                throw CheckFailure("the category \(code) of \(cardinality) is not scored as a missing one")
            }
        }
        return .passed("\(table.count) rows, \(cardinality) categories; all other codes count as missing")
    }

    static let weights = Check("weights of rows") { subject in
        guard subject.detector.info.uses.contains(.weights) else {
            return .notApplicable("it does not use weights")
        }
        let usual = SampleTable.normal(400, columns: 3)
        let far = SampleTable([Float](repeating: 6, count: 3 * 100), columns: 3)
        let table = SampleTable(usual.values + far.values, columns: 3)
        func fit(farWeight: Float) throws -> any DetectorModel {
            subject.note("fitting \(usual.count) rows of weight 1, \(far.count) of weight \(farWeight)")
            let weights = (0..<table.count).map { $0 < usual.count ? 1 : farWeight }
            return try subject.detector.fit(table, weights: weights)
        }
        let without = try fit(farWeight: 0)
        guard try fit(farWeight: 0).encode() == without.encode() else {
            throw CheckFailure("fitted twice with the same seed and weights, the artifacts differ")
        }
        let row = far.rows(0..<1)
        let (ignored, counted) = (try without.scores(of: row)[0], try fit(farWeight: 1).scores(of: row)[0])
        guard ignored < counted else {
            throw CheckFailure(
                "100 of 500 rows at (6, 6, 6) score \(ignored) when their weight is 0, and \(counted) when it is 1"
            )
        }
        let wrong: [[Float]] = [
            [1], [Float](repeating: 0, count: 500), [Float](repeating: -1, count: 500),
            [Float](repeating: .nan, count: 500), [Float](repeating: .infinity, count: 500),
        ]
        for weights in wrong {
            subject.note("fitting 500 rows with \(weights.count) weights of \(weights[0])")
            do {
                _ = try subject.detector.fit(table, weights: weights)
            } catch DetectorError.invalidInput {
                continue
            }
            throw CheckFailure("\(weights.count) weights of \(weights[0]) for 500 rows are not refused")
        }
        return .passed("rows of weight 0 do not count; wrong weights are refused")
    }

    static let labels = Check("labels") { subject in
        let detector = subject.detector
        guard detector.info.needsLabels else { return .notApplicable("it does not need labels") }
        let table = SampleTable.normal(Subject.leastLabelledRows, columns: 3)
        let context = try TrialRun.context(for: detector.info, columns: table.columns)
        let few: [(String, [Int8]?)] = [
            ("no labels", nil), ("labels that are all 0", [Int8](repeating: 0, count: table.count)),
            ("labels that are all 1", [Int8](repeating: 1, count: table.count)),
            ("labels that are all -1", [Int8](repeating: -1, count: table.count)),
            ("fewer labels than rows", [0, 1]),
        ]
        for (name, labels) in few {
            subject.note("fitting \(table.count) rows with \(name)")
            guard try isRefused(table, labels, by: detector, context) else {
                throw CheckFailure("\(name): not refused")
            }
        }
        var labels = table.withRows { $0.labelsOfFurthest() }
        // Nobody knows of every third usual row.
        for row in labels.indices where row % 3 == 0 && labels[row] == 0 { labels[row] = -1 }
        subject.note("fitting \(table.count) rows, some of which nobody knows of")
        guard try !isRefused(table, labels, by: detector, context) else {
            throw CheckFailure("\(table.count) rows, a quarter of them anomalies, some unknown: refused")
        }
        return .passed("too few are refused; rows of which nobody knows are not")
    }
}

private func isRefused(
    _ table: SampleTable, _ labels: [Int8]?, by detector: any Detector, _ context: FitContext
) throws -> Bool {
    do {
        _ = try detector.fit(table, labels: labels, context)
        return false
    } catch DetectorError.invalidInput {
        return true
    }
}
