import DetectorAPI
import Synchronization

/// A forest whose nodes cut by several columns at once, scored from the artifact's bytes.
final class HyperplaneModel: Explaining, Sizing {
    private let artifact: ArtifactBytes
    private let payload: HyperplanePayload
    /// For each node the mean path length of the training rows below it; computed when first asked for.
    private let expectations = Mutex<[Double]?>(nil)

    /// - Throws: `DetectorError.invalidArtifact`.
    init(decoding artifact: ArtifactBytes) throws(DetectorError) {
        payload = try HyperplanePayload(checking: artifact.bytes)
        self.artifact = artifact
    }

    /// A forest just grown, which needs no checks.
    init(_ payload: HyperplanePayload, _ artifact: ArtifactBytes) {
        self.payload = payload
        self.artifact = artifact
    }

    var columns: Int { payload.columns }
    /// With the expectations, which the first explanation computes: a node takes 8 bytes of the artifact at least.
    var sizeInMemory: Int { 2 * artifact.bytes.count }

    var expectedScore: Double {
        PathLength.score(sum: payload.expectedSum, trees: payload.trees, normaliser: payload.normaliser)
    }

    func encode() -> [UInt8] { [UInt8](artifact.bytes) }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try rows.check(columns: columns, places: scores.count)
        withExtendedLifetime(artifact) {
            let forest = HyperplanePointers(payload, artifact.bytes)
            withUnsafeTemporaryAllocation(of: Double.self, capacity: columns) { values in
                let values = values.baseAddress.unsafelyUnwrapped
                for row in 0..<rows.count {
                    write(rows, row, forest.centres, to: values)
                    let sum = path(forest, values)
                    scores[row] = PathLength.score(
                        sum: sum, trees: payload.trees, normaliser: payload.normaliser)
                }
            }
        }
    }

    /// As for axis-parallel cuts; a step is credited to its node's columns by their parts of the projection.
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
            let forest = HyperplanePointers(payload, artifact.bytes)
            let expectations = expectations.withLock { known in
                let expectations = known ?? self.expectations(forest)
                known = expectations
                return expectations
            }
            withUnsafeTemporaryAllocation(of: Double.self, capacity: columns) { values in
                let values = values.baseAddress.unsafelyUnwrapped
                for row in 0..<rows.count {
                    write(rows, row, forest.centres, to: values)
                    let target = contributions.baseAddress.unsafelyUnwrapped + row * columns
                    var sum: Int64 = 0
                    for tree in 0..<payload.trees {
                        let start = Int(forest.starts[tree])
                        let kind = walk(forest, tree, values) { node, child, terms in
                            let change = expectations[start + child] - expectations[start + node]
                            credit(change, terms, values, to: target)
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
    }

    /// A row's distances from the centres; 0 for missing values, so that they decide nothing.
    @inline(__always)
    private func write(
        _ rows: FeatureRows, _ row: Int, _ centres: UnsafePointer<Float>,
        to values: UnsafeMutablePointer<Double>
    ) {
        let source = rows.values.baseAddress.unsafelyUnwrapped + row &* columns
        for column in 0..<columns {
            values[column] = Hyperplane.distance(source[column], from: centres[column])
        }
    }

    /// The path lengths of one row, summed over the trees: four of them in step, so that their loads overlap.
    @inline(__always)
    private func path(_ forest: HyperplanePointers, _ values: UnsafePointer<Double>) -> Int64 {
        var sum: Int64 = 0
        var tree = 0
        while tree &+ 4 <= payload.trees {
            var walks = (
                HyperplaneWalk(forest, payload, tree), HyperplaneWalk(forest, payload, tree &+ 1),
                HyperplaneWalk(forest, payload, tree &+ 2), HyperplaneWalk(forest, payload, tree &+ 3)
            )
            while walks.0.node.inner | walks.1.node.inner | walks.2.node.inner | walks.3.node.inner != 0 {
                walks.0.step(values, payload.terms)
                walks.1.step(values, payload.terms)
                walks.2.step(values, payload.terms)
                walks.3.step(values, payload.terms)
            }
            sum &+= forest.paths[walks.0.node.kind] &+ forest.paths[walks.1.node.kind]
            sum &+= forest.paths[walks.2.node.kind] &+ forest.paths[walks.3.node.kind]
            tree &+= 4
        }
        while tree < payload.trees {
            sum &+= forest.paths[walk(forest, tree, values) { _, _, _ in }]
            tree &+= 1
        }
        return sum
    }

    /// Walks down one tree; `step` is told each node, the child and the node's terms.
    ///
    /// - Returns: The kind of the leaf.
    @inline(__always)
    private func walk(
        _ forest: HyperplanePointers, _ tree: Int, _ values: UnsafePointer<Double>,
        _ step: (Int, Int, UnsafePointer<HyperplaneTerm>) -> Void
    ) -> Int {
        let start = Int(forest.starts[tree])
        let nodes = forest.nodes + start
        // Inner nodes of the trees before: all their nodes but one more leaf than inner ones in each.
        let terms = forest.terms + (start &- tree) / 2 &* payload.terms
        var index = 0
        while true {
            let node = nodes[index]
            if node.inner == 0 { return node.kind }
            let inner = Int(node.inner) &- 1
            let own = terms + inner &* payload.terms
            var projection = 0.0
            for term in 0..<payload.terms {
                projection += Double(own[term].coefficient) * values[Int(own[term].column)]
            }
            let child = 2 &* inner &+ (projection > Double(node.threshold) ? 2 : 1)
            step(index, child, own)
            index = child
        }
    }

    private func credit(
        _ change: Double, _ terms: UnsafePointer<HyperplaneTerm>, _ values: UnsafePointer<Double>,
        to contributions: UnsafeMutablePointer<Double>
    ) {
        func part(_ term: Int) -> Double {
            abs(Double(terms[term].coefficient) * values[Int(terms[term].column)])
        }
        var total = 0.0
        for term in 0..<payload.terms { total += part(term) }
        for term in 0..<payload.terms {
            let share = total > 0 ? part(term) / total : 1 / Double(payload.terms)
            contributions[Int(terms[term].column)] += change * share
        }
    }

    private func expectations(_ forest: HyperplanePointers) -> [Double] {
        var sums = [Double](repeating: 0, count: payload.nodes)
        var weights = sums
        for tree in 0..<payload.trees {
            let start = Int(forest.starts[tree])
            for index in (start..<Int(forest.starts[tree + 1])).reversed() {
                let node = forest.nodes[index]
                if node.inner == 0 {
                    weights[index] = Double(forest.origins[node.kind].count)
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

/// A walk down one tree that stays where it is once it has come to a leaf: no branch to be guessed wrong.
private struct HyperplaneWalk {
    private let nodes: UnsafePointer<HyperplaneNode>
    private let terms: UnsafePointer<HyperplaneTerm>
    private var index = 0
    private(set) var node: HyperplaneNode

    @inline(__always)
    init(_ forest: HyperplanePointers, _ payload: HyperplanePayload, _ tree: Int) {
        let start = Int(forest.starts[tree])
        nodes = forest.nodes + start
        node = nodes[0]
        // A tree that is one leaf has no terms of its own: any will do, they decide nothing.
        let first = (start &- tree) / 2
        terms = forest.terms + (node.inner == 0 ? 0 : first) &* payload.terms
    }

    @inline(__always)
    mutating func step(_ values: UnsafePointer<Double>, _ count: Int) {
        let isLeaf = node.inner == 0
        let inner = isLeaf ? 0 : Int(node.inner) &- 1
        let own = terms + inner &* count
        var projection = 0.0
        for term in 0..<count {
            projection += Double(own[term].coefficient) * values[Int(own[term].column)]
        }
        let child = 2 &* inner &+ (projection > Double(node.threshold) ? 2 : 1)
        index = isLeaf ? index : child
        node = nodes[index]
    }
}

enum Hyperplane {
    /// A value's distance from its column's centre; 0 for a missing one.
    @inline(__always)
    static func distance(_ value: Float, from centre: Float) -> Double {
        if value.isNaN { return 0 }
        let greatest = Float.greatestFiniteMagnitude
        return Double(min(max(value, -greatest), greatest)) - Double(centre)
    }
}
