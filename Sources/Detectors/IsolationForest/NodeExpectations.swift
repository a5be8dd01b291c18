/// The mean path lengths of the training rows below the nodes of one tree: all of them, or those on one path.
///
/// A leaf above the last level has a copy at each end below it, so a node's mean is that of the `2^k` leaves below
/// it, a leaf of depth d weighing its rows times 2^d. Weights and weighted path lengths are whole numbers: their sums
/// do not depend on the order. Works in memory of the caller's; one tree at a time.
struct NodeExpectations<Leaf: FixedWidthInteger & UnsignedInteger> {
    /// Weight, and weight times path length in units of 2^-`fractionBits`.
    typealias Sum = SIMD2<Int64>

    private let shape: ForestShape
    private let nodes: UnsafePointer<UInt32>
    private let leaves: UnsafePointer<Leaf>
    private let paths: UnsafePointer<Int64>
    /// For each kind of leaf.
    private let kinds: UnsafeMutablePointer<Sum>
    /// The words of each level.
    private let places: UnsafeMutablePointer<ForestShape.LevelPlace>
    /// All nodes, a heap with the root at 1.
    private let sums: UnsafeMutablePointer<Sum>
    private let values: UnsafeMutablePointer<Double>
    /// The nodes of a path, the root first.
    private let pathValues: UnsafeMutablePointer<Double>
    private let unit: Double

    fileprivate init(_ forest: ForestPointers, _ memory: UnsafeMutableRawPointer) {
        shape = forest.shape
        nodes = forest.nodes
        leaves = forest.leaves.assumingMemoryBound(to: Leaf.self)
        paths = forest.paths
        let nodeCount = 2 * shape.leavesPerTree
        let kindCount = forest.payload.kinds
        sums = memory.bindMemory(to: Sum.self, capacity: nodeCount)
        kinds = (memory + nodeCount * 16).bindMemory(to: Sum.self, capacity: kindCount)
        values = (memory + (nodeCount + kindCount) * 16).bindMemory(to: Double.self, capacity: nodeCount)
        pathValues = values + nodeCount
        places = UnsafeMutableRawPointer(pathValues + shape.levels + 1).bindMemory(
            to: ForestShape.LevelPlace.self, capacity: shape.levels + 1)
        // The weights of a tree sum to at most 4^levels, and paths are below 2^6: 62 bits are enough.
        let fractionBits = min(PathLength.fractionBits, 56 - 2 * shape.levels)
        unit = 1 / Double(Int64(1) << Int64(fractionBits))
        for kind in 0..<kindCount {
            let origin = forest.origins[kind]
            let weight = Int64(origin.count) &<< Int64(origin.depth)
            let path = forest.paths[kind] >> Int64(PathLength.fractionBits - fractionBits)
            kinds[kind] = Sum(weight, weight &* path)
        }
        for level in 0..<shape.levels { places[level] = shape.place(ofLevel: level) }
    }

    fileprivate static func size(_ forest: ForestPointers) -> Int {
        let nodeCount = 2 * forest.shape.leavesPerTree
        let levels = forest.shape.levels + 1
        return (nodeCount + forest.payload.kinds) * 16 + (nodeCount + levels) * 8
            + levels * MemoryLayout<ForestShape.LevelPlace>.stride
    }

    @inline(__always)
    private func value(_ sum: Sum) -> Double { Double(sum[1]) / Double(sum[0]) * unit }

    /// Computes the values on the way to the leaf at `position`: each leaf of the tree is looked at once.
    @inline(__always)
    func followPath(tree: Int, to position: Int) {
        let leaves = self.leaves + tree &* shape.leavesPerTree
        var sum = kinds[Int(truncatingIfNeeded: leaves[position])]
        pathValues[shape.levels] = value(sum)
        for below in 0..<shape.levels {
            let sibling = leaves + ((position &>> below) ^ 1) &<< below
            for leaf in 0..<1 &<< below { sum &+= kinds[Int(truncatingIfNeeded: sibling[leaf])] }
            pathValues[shape.levels &- 1 &- below] = value(sum)
        }
    }

    /// Credits the steps of that path to the features, and returns the path length.
    @inline(__always)
    func creditPath(tree: Int, to position: Int, _ contributions: UnsafeMutablePointer<Double>) -> Int64 {
        for level in 0..<shape.levels {
            let column = column(tree: tree, level: level, position &>> (shape.levels &- level))
            contributions[column] += pathValues[level &+ 1] - pathValues[level]
        }
        return paths[Int(truncatingIfNeeded: leaves[tree &* shape.leavesPerTree &+ position])]
    }

    /// Computes the values of all nodes.
    @inline(__always)
    func writeAll(tree: Int) {
        let leaves = self.leaves + tree &* shape.leavesPerTree
        for position in 0..<shape.leavesPerTree {
            sums[shape.leavesPerTree &+ position] = kinds[Int(truncatingIfNeeded: leaves[position])]
        }
        for node in stride(from: shape.leavesPerTree &- 1, to: 0, by: -1) {
            sums[node] = sums[2 &* node] &+ sums[2 &* node &+ 1]
        }
        for node in 1..<2 &* shape.leavesPerTree { values[node] = value(sums[node]) }
    }

    /// The same as `creditPath`, after `writeAll`.
    @inline(__always)
    func credit(tree: Int, to position: Int, _ contributions: UnsafeMutablePointer<Double>) -> Int64 {
        let end = shape.leavesPerTree &+ position
        var value = values[1]
        for level in 0..<shape.levels {
            let column = column(tree: tree, level: level, position &>> (shape.levels &- level))
            let next = values[end &>> (shape.levels &- 1 &- level)]
            contributions[column] += next - value
            value = next
        }
        return paths[Int(truncatingIfNeeded: leaves[tree &* shape.leavesPerTree &+ position])]
    }

    /// The column that a node compares. Below a leaf there is no node, and nothing changes for whatever column.
    @inline(__always)
    private func column(tree: Int, level: Int, _ position: Int) -> Int {
        let word = nodes[tree &* shape.wordsPerTree &+ places[level].word(position)]
        return Int(word == ForestShape.noNode ? 0 : word & (shape.missingBit &- 1))
    }
}

extension ForestPointers {
    /// Lends memory for the expectations of this forest.
    func withExpectations<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ leaf: Leaf.Type, _ body: (NodeExpectations<Leaf>) -> Void
    ) {
        withUnsafeTemporaryAllocation(byteCount: NodeExpectations<Leaf>.size(self), alignment: 16) { memory in
            body(NodeExpectations(self, memory.baseAddress.unsafelyUnwrapped))
        }
    }
}
