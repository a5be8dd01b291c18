import DetectorAPI

extension ForestPointers {
    private static var rowsPerBlock: Int { 256 }

    /// Scores and says which features shortened or lengthened the paths.
    ///
    /// A node's value is the mean path length of the training rows below it. A step from a node to its child
    /// changes that value, and the change is credited to the feature that the node compares; over a path the
    /// changes sum to the leaf's path length minus the root's value. This is the decomposition of decision
    /// paths of Saabas ("Interpreting random forests", 2014), known from the treeinterpreter package. The score
    /// is a function of the summed paths alone, so each feature's sum, times the slope of the chord between
    /// the expected and the actual score, is its part of the difference of the two.
    func explain<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>, leaf: Leaf.Type
    ) {
        let keysPerRow = shape.keysPerRow
        let block = max(1, min(rows.count, Self.rowsPerBlock))
        contributions.update(repeating: 0)
        let expected = PathLength.score(
            sum: payload.expectedSum, trees: shape.trees, normaliser: payload.normaliser)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: block * keysPerRow) { keys in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * shape.leavesPerTree) { scratch in
                let keys = keys.baseAddress.unsafelyUnwrapped
                let values = scratch.baseAddress.unsafelyUnwrapped
                keys.initialize(repeating: 0, count: block * keysPerRow)
                var sums = [Int64](repeating: 0, count: block)
                for first in stride(from: 0, to: rows.count, by: block) {
                    let count = min(block, rows.count - first)
                    for row in 0..<count {
                        _ = writeKeys(of: rows, row: first + row, to: keys + row * keysPerRow)
                        sums[row] = 0
                    }
                    for tree in 0..<shape.trees {
                        writeValues(tree: tree, to: values, leaf: leaf)
                        for row in 0..<count {
                            let target = contributions.baseAddress.unsafelyUnwrapped
                            sums[row] += credit(
                                tree: tree, keys: keys + row * keysPerRow, values: values,
                                to: target + (first + row) * shape.columns, leaf: leaf)
                        }
                    }
                    for row in 0..<count {
                        let score = PathLength.score(
                            sum: sums[row], trees: shape.trees, normaliser: payload.normaliser)
                        scores[first + row] = score
                        let start = (first + row) * shape.columns
                        PathLength.scale(
                            UnsafeMutableBufferPointer(
                                rebasing: contributions[start..<start + shape.columns]),
                            to: score, expected: expected, trees: shape.trees, normaliser: payload.normaliser)
                    }
                }
            }
        }
    }

    /// The nodes' values as a heap with the root at 1, the leaves at `leavesPerTree` and after.
    ///
    /// - Parameter values: `4 x leavesPerTree` places; the second half is used on the way.
    private func writeValues<Leaf: FixedWidthInteger & UnsignedInteger>(
        tree: Int, to values: UnsafeMutablePointer<Double>, leaf: Leaf.Type
    ) {
        let leaves = leaves.assumingMemoryBound(to: Leaf.self) + tree * shape.leavesPerTree
        let weights = values + 2 * shape.leavesPerTree
        for position in 0..<shape.leavesPerTree {
            let kind = Int(leaves[position])
            // A leaf above the last level has a copy at each end below it.
            let copies = Double(1 << (shape.levels - Int(origins[kind].depth)))
            let weight = Double(origins[kind].count) / copies
            weights[shape.leavesPerTree + position] = weight
            values[shape.leavesPerTree + position] = weight * (Double(paths[kind]) * 0x1p-32)
        }
        for node in stride(from: shape.leavesPerTree - 1, to: 0, by: -1) {
            weights[node] = weights[2 * node] + weights[2 * node + 1]
            values[node] = values[2 * node] + values[2 * node + 1]
        }
        for node in 1..<2 * shape.leavesPerTree { values[node] /= weights[node] }
    }

    /// Walks one row down one tree, credits its steps to the features and returns its path length.
    private func credit<Leaf: FixedWidthInteger & UnsignedInteger>(
        tree: Int, keys: UnsafePointer<UInt32>, values: UnsafePointer<Double>,
        to contributions: UnsafeMutablePointer<Double>, leaf: Leaf.Type
    ) -> Int64 {
        let words = nodes + tree * shape.wordsPerTree
        var node = 1
        for level in 0..<shape.levels {
            let word = words[shape.word(level: level, position: node - 1 << level)]
            let child = 2 * node + (word < keys[Int(word & shape.selectorMask)] ? 1 : 0)
            // Below a leaf there is no node and nothing changes.
            if word != ForestShape.noNode {
                let column = Int(word & (shape.missingBit - 1))
                contributions[column] += values[child] - values[node]
            }
            node = child
        }
        let leaves = leaves.assumingMemoryBound(to: Leaf.self) + tree * shape.leavesPerTree
        return paths[Int(leaves[node - shape.leavesPerTree])]
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
