import DetectorAPI

/// Checks trees from elsewhere and writes them as an artifact, level after level.
struct ThresholdWriter {
    private var paths: [Int64] = []
    private var rows: [UInt32] = []
    private var starts: [UInt32] = []
    private var nodes: [ThresholdNode] = []
    private var expectedSum = 0.0
    private var numbers: [Kind: Int] = [:]

    private struct Kind: Hashable {
        var path: Int64
        var rows: UInt32
    }

    /// - Throws: `DetectorError.invalidInput`.
    static func write(_ trees: IsolationTrees) throws(DetectorError) -> (ThresholdPayload, ArtifactBytes) {
        guard (1...ForestShape.maximumColumns).contains(trees.columns) else {
            throw .invalidInput("\(trees.columns) columns; 1 to \(ForestShape.maximumColumns) can be used")
        }
        guard (1...ForestParameters.maximumTrees).contains(trees.trees.count) else {
            throw .invalidInput(
                "\(trees.trees.count) trees; 1 to \(ForestParameters.maximumTrees) can be used")
        }
        guard (1...ThresholdPayload.maximumRows).contains(trees.sampleSize),
            ThresholdPayload.isNormaliser(trees.normaliser)
        else { throw .invalidInput("a sample of \(trees.sampleSize), a normaliser of \(trees.normaliser)") }
        guard trees.trees.reduce(0, { $0 + $1.count }) < 1 << 26 else {
            throw .invalidInput("more than 2^26 nodes")
        }
        var writer = ThresholdWriter()
        for (number, tree) in trees.trees.enumerated() {
            try writer.add(tree, number: number, columns: trees.columns)
        }
        return writer.finish(trees)
    }

    private mutating func add(
        _ tree: [IsolationNode], number: Int, columns: Int
    ) throws(DetectorError) {
        func fault(_ node: Int, _ what: String) -> DetectorError {
            .invalidInput("node \(node) of tree \(number) \(what)")
        }
        guard !tree.isEmpty else { throw .invalidInput("tree \(number) has no nodes") }
        starts.append(UInt32(nodes.count))
        var (weighted, weights) = (0.0, 0.0)
        // A node's place in the queue is its place in the artifact's tree.
        var queue = [0]
        var next = 0
        var inner: UInt32 = 0
        while next < queue.count {
            let node = queue[next]
            next += 1
            switch tree[node] {
            case .leaf(let pathLength, let count):
                guard (0...ThresholdPayload.maximumPath).contains(pathLength),
                    (1...ThresholdPayload.maximumRows).contains(count)
                else { throw fault(node, "has a path of \(pathLength) and \(count) rows") }
                let kind = self.number(
                    of: Kind(path: Int64((pathLength * 0x1p32).rounded()), rows: UInt32(count)))
                nodes.append(ThresholdNode(inner: 0, threshold: Float(bitPattern: UInt32(kind)), selector: 0))
                weighted += Double(count) * pathLength
                weights += Double(count)
            case .cut(let column, let threshold, let missingGoesLeft, let left, let right):
                // Children after their parents, and none twice: so no way goes round.
                guard (0..<columns).contains(column), !threshold.isNaN, left > node, right > node,
                    left < tree.count, right < tree.count, queue.count + 2 <= tree.count
                else { throw fault(node, "has a column, threshold or child that is none") }
                inner += 1
                nodes.append(
                    ThresholdNode(
                        inner: inner, threshold: threshold,
                        selector: UInt32(column) | (missingGoesLeft ? 0 : ThresholdNode.missingBit)))
                queue.append(left)
                queue.append(right)
            }
        }
        guard queue.count == tree.count, Set(queue).count == queue.count else {
            throw .invalidInput("tree \(number) has nodes that no way, or more than one, leads to")
        }
        expectedSum += weighted / weights
    }

    private mutating func number(of kind: Kind) -> Int {
        if let number = numbers[kind] { return number }
        numbers[kind] = paths.count
        paths.append(kind.path)
        rows.append(kind.rows)
        return paths.count - 1
    }

    private func finish(_ trees: IsolationTrees) -> (ThresholdPayload, ArtifactBytes) {
        let payload = ThresholdPayload(
            columns: trees.columns, trees: starts.count, sampleSize: trees.sampleSize, kinds: paths.count,
            nodes: nodes.count, normaliser: trees.normaliser, expectedSum: expectedSum)
        let artifact = ArtifactBytes(count: payload.size) { bytes in
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            payload.writeHeader(to: bytes)
            bytes.copy(paths, at: payload.pathsOffset)
            bytes.copy(rows, at: payload.rowsOffset)
            bytes.copy(starts + [UInt32(nodes.count)], at: payload.startsOffset)
            bytes.copy(nodes, at: payload.nodesOffset)
        }
        return (payload, artifact)
    }
}
