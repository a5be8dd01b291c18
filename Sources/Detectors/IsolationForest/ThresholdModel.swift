import DetectorAPI

/// A forest that something else has grown, scored from the artifact's bytes: each cut compares a value with a threshold
/// as it is, where the forests grown here compare shortened keys.
final class ThresholdModel: Explaining, Sizing {
    private let artifact: ArtifactBytes
    private let payload: ThresholdPayload

    /// - Throws: `DetectorError.invalidArtifact`.
    init(decoding artifact: ArtifactBytes) throws(DetectorError) {
        payload = try ThresholdPayload(checking: artifact.bytes)
        self.artifact = artifact
    }

    /// Trees from elsewhere.
    ///
    /// - Throws: `DetectorError.invalidInput`, also for trees that cut columns of categories.
    init(_ trees: IsolationTrees) throws(DetectorError) {
        guard trees.orders.isEmpty else {
            throw .invalidInput("trees that cut columns of categories cannot be taken in")
        }
        (payload, artifact) = try ThresholdWriter.write(trees)
    }

    var columns: Int { payload.columns }
    var sizeInMemory: Int { artifact.bytes.count }

    var expectedScore: Double {
        PathLength.score(sum: payload.expectedSum, trees: payload.trees, normaliser: payload.normaliser)
    }

    func encode() -> [UInt8] { [UInt8](artifact.bytes) }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try rows.check(columns: columns, places: scores.count)
        withExtendedLifetime(artifact) {
            let forest = ThresholdPointers(payload, artifact.bytes)
            for row in 0..<rows.count {
                let values = rows.values.baseAddress.unsafelyUnwrapped + row &* columns
                var sum: Int64 = 0
                for tree in 0..<payload.trees {
                    sum &+= forest.paths[walk(forest, tree, values) { _, _, _ in }]
                }
                scores[row] = PathLength.score(
                    sum: sum, trees: payload.trees, normaliser: payload.normaliser)
            }
        }
    }

    /// As for the forests grown here: each step's change of the expected path length is its column's.
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try rows.check(columns: columns, places: scores.count)
        guard contributions.count >= rows.count * columns else {
            throw DetectorError.invalidInput("\(contributions.count) places for contributions are too few")
        }
        contributions.update(repeating: 0)
        withExtendedLifetime(artifact) {
            let forest = ThresholdPointers(payload, artifact.bytes)
            let expectations = expectations(forest)
            for row in 0..<rows.count {
                let values = rows.values.baseAddress.unsafelyUnwrapped + row &* columns
                let target = contributions.baseAddress.unsafelyUnwrapped + row * columns
                var sum: Int64 = 0
                for tree in 0..<payload.trees {
                    let start = Int(forest.starts[tree])
                    let kind = walk(forest, tree, values) { node, child, column in
                        target[column] += expectations[start + child] - expectations[start + node]
                    }
                    sum &+= forest.paths[kind]
                }
                let score = PathLength.score(
                    sum: sum, trees: payload.trees, normaliser: payload.normaliser)
                scores[row] = score
                PathLength.scale(
                    UnsafeMutableBufferPointer(start: target, count: columns), to: score,
                    expected: expectedScore, trees: payload.trees, normaliser: payload.normaliser)
            }
        }
    }

    /// Walks down one tree; `step` is told each node, the child and the column.
    ///
    /// - Returns: The kind of the leaf.
    @inline(__always)
    private func walk(
        _ forest: ThresholdPointers, _ tree: Int, _ values: UnsafePointer<Float>,
        _ step: (Int, Int, Int) -> Void
    ) -> Int {
        let nodes = forest.nodes + Int(forest.starts[tree])
        var index = 0
        while true {
            let node = nodes[index]
            if node.inner == 0 { return node.kind }
            let child = 2 &* Int(node.inner) &- (node.goesRight(values[node.column]) ? 0 : 1)
            step(index, child, node.column)
            index = child
        }
    }

    /// For each node the mean path length of the training rows below it.
    private func expectations(_ forest: ThresholdPointers) -> [Double] {
        var sums = [Double](repeating: 0, count: payload.nodes)
        var weights = sums
        for tree in 0..<payload.trees {
            let start = Int(forest.starts[tree])
            for index in (start..<Int(forest.starts[tree + 1])).reversed() {
                let node = forest.nodes[index]
                if node.inner == 0 {
                    weights[index] = Double(forest.rows[node.kind])
                    sums[index] = weights[index] * (Double(forest.paths[node.kind]) * 0x1p-32)
                } else {
                    let child = start + 2 * Int(node.inner) - 1
                    weights[index] = weights[child] + weights[child + 1]
                    sums[index] = sums[child] + sums[child + 1]
                }
            }
        }
        return zip(sums, weights).map { $0 / $1 }
    }
}

extension ThresholdModel: TreeExporting {
    func isolationTrees() throws -> IsolationTrees {
        withExtendedLifetime(artifact) {
            let forest = ThresholdPointers(payload, artifact.bytes)
            let trees = (0..<payload.trees).map { tree in
                (forest.starts[tree]..<forest.starts[tree + 1]).map { index -> IsolationNode in
                    let node = forest.nodes[Int(index)]
                    if node.inner == 0 {
                        return .leaf(
                            pathLength: Double(forest.paths[node.kind]) * 0x1p-32,
                            rows: Int(forest.rows[node.kind]))
                    }
                    return .cut(
                        column: node.column, threshold: node.threshold,
                        missingGoesLeft: node.selector & ThresholdNode.missingBit == 0,
                        left: 2 * Int(node.inner) - 1, right: 2 * Int(node.inner))
                }
            }
            return IsolationTrees(
                columns: columns, sampleSize: payload.sampleSize, normaliser: payload.normaliser, trees: trees
            )
        }
    }
}
