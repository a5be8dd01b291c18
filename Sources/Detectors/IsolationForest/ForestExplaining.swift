import DetectorAPI

extension ForestPointers {
    /// Rows that share the values of a tree's nodes.
    private static var rowsPerBlock: Int { 256 }
    /// For fewer rows than this, only the values along their paths are computed.
    private static var fewRows: Int { 8 }

    /// Scores and says which features shortened or lengthened the paths.
    ///
    /// A node's value is the mean path length of the training rows below it. A step from a node to its child
    /// changes that value, and the change is credited to the feature that the node compares; over a path the
    /// changes sum to the leaf's path length minus the root's value. This is the decomposition of decision
    /// paths of Saabas ("Interpreting random forests", 2014), known from the treeinterpreter package. The score
    /// is a function of the summed paths alone, so each feature's sum, times the slope of the chord between
    /// the expected and the actual score, is its part of the difference of the two.
    ///
    /// A row's contributions are the same bits in every batch: the sums that values are made of are whole numbers.
    func explain<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>, leaf: Leaf.Type, walk: ForestWalk
    ) {
        contributions.update(repeating: 0)
        let block = max(1, min(rows.count, Self.rowsPerBlock, (1 << 20) / shape.keysPerRow))
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: block * shape.keysPerRow) { keys in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: max(block, shape.trees)) { positions in
                withExpectations(leaf) { expectations in
                    let keys = keys.baseAddress.unsafelyUnwrapped
                    let positions = positions.baseAddress.unsafelyUnwrapped
                    keys.initialize(repeating: 0, count: block * shape.keysPerRow)
                    for first in stride(from: 0, to: rows.count, by: block) {
                        let part = rows[first..<min(first + block, rows.count)]
                        let explained = ExplainedRows(
                            scores: scores.baseAddress.unsafelyUnwrapped + first,
                            contributions: contributions.baseAddress.unsafelyUnwrapped
                                + first * shape.columns)
                        if part.count < Self.fewRows {
                            for row in 0..<part.count {
                                explainAlone(part, row, explained, keys, positions, expectations, walk)
                            }
                        } else {
                            explainTogether(part, explained, keys, positions, expectations, walk)
                        }
                    }
                }
            }
        }
    }

    /// Where what is said of a block of rows goes.
    private struct ExplainedRows {
        let scores: UnsafeMutablePointer<Double>
        let contributions: UnsafeMutablePointer<Double>
    }

    /// One row down all trees.
    private func explainAlone<Leaf>(
        _ rows: FeatureRows, _ row: Int, _ explained: ExplainedRows, _ keys: UnsafeMutablePointer<UInt32>,
        _ positions: UnsafeMutablePointer<UInt32>, _ expectations: NodeExpectations<Leaf>, _ walk: ForestWalk
    ) {
        let anyMissing = writeKeys(of: rows, row: row, to: keys)
        walk(
            shape, words: nodes, wordStride: shape.wordsPerTree, keys: keys, keyStride: 0,
            anyMissing: anyMissing, count: shape.trees, positions: positions)
        let target = explained.contributions + row * shape.columns
        var sum: Int64 = 0
        for tree in 0..<shape.trees {
            let position = Int(positions[tree])
            expectations.followPath(tree: tree, to: position)
            sum &+= expectations.creditPath(tree: tree, to: position, target)
        }
        finish(row, sum: sum, explained)
    }

    /// Some rows down one tree after another.
    private func explainTogether<Leaf>(
        _ rows: FeatureRows, _ explained: ExplainedRows, _ keys: UnsafeMutablePointer<UInt32>,
        _ positions: UnsafeMutablePointer<UInt32>, _ expectations: NodeExpectations<Leaf>, _ walk: ForestWalk
    ) {
        var anyMissing = false
        for row in 0..<rows.count {
            let isMissing = writeKeys(of: rows, row: row, to: keys + row * shape.keysPerRow)
            anyMissing = anyMissing || isMissing
        }
        withUnsafeTemporaryAllocation(of: Int64.self, capacity: rows.count) { sums in
            sums.initialize(repeating: 0)
            for tree in 0..<shape.trees {
                walk(
                    shape, words: nodes + tree * shape.wordsPerTree, wordStride: 0, keys: keys,
                    keyStride: shape.keysPerRow, anyMissing: anyMissing, count: rows.count,
                    positions: positions)
                expectations.writeAll(tree: tree)
                for row in 0..<rows.count {
                    sums[row] &+= expectations.credit(
                        tree: tree, to: Int(positions[row]), explained.contributions + row * shape.columns)
                }
            }
            for row in 0..<rows.count { finish(row, sum: sums[row], explained) }
        }
    }

    private func finish(_ row: Int, sum: Int64, _ explained: ExplainedRows) {
        let score = PathLength.score(sum: sum, trees: shape.trees, normaliser: payload.normaliser)
        explained.scores[row] = score
        PathLength.scale(
            UnsafeMutableBufferPointer(
                start: explained.contributions + row * shape.columns, count: shape.columns),
            to: score,
            expected: PathLength.score(
                sum: payload.expectedSum, trees: shape.trees, normaliser: payload.normaliser),
            trees: shape.trees, normaliser: payload.normaliser)
    }
}

extension PathLength {
    /// Turns changes of the summed path length into parts of `score - expected`.
    static func scale(
        _ contributions: UnsafeMutableBufferPointer<Double>, to score: Double, expected: Double, trees: Int,
        normaliser: Double
    ) {
        var total = 0.0
        for contribution in contributions { total += contribution }
        let slope: Double
        if abs(total) > 1e-4 {
            slope = (score - expected) / total
        } else if normaliser > 0 {
            // The chord has shrunk to a point: the tangent, d(-2^-y)/dy = ln 2 x 2^-y.
            slope = -score * 0.6931471805599453 / (Double(trees) * normaliser)
        } else {
            slope = 0
        }
        for place in contributions.indices { contributions[place] *= slope }
    }
}
