import DetectorAPI

extension ForestPointers {
    /// Bytes of keys in flight: with the nodes of a tree they stay in the first-level cache.
    private static var blockBytes: Int { 16 * 1024 }

    func score<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>, leaf: Leaf.Type
    ) {
        let keysPerRow = 2 * shape.columns
        let block = max(1, min(rows.count, Self.blockBytes / (keysPerRow * 4)))
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: block * keysPerRow) { keys in
            withUnsafeTemporaryAllocation(of: Int64.self, capacity: block) { sums in
                let keys = keys.baseAddress.unsafelyUnwrapped
                let sums = sums.baseAddress.unsafelyUnwrapped
                var first = 0
                while first < rows.count {
                    let count = min(block, rows.count - first)
                    for row in 0..<count {
                        writeKeys(of: rows, row: first + row, to: keys + row * keysPerRow)
                    }
                    sums.update(repeating: 0, count: count)
                    for tree in 0..<shape.trees {
                        addPaths(tree: tree, keys: keys, sums: sums, count: count, leaf: leaf)
                    }
                    for row in 0..<count {
                        scores[first + row] = PathLength.score(
                            sum: sums[row], trees: shape.trees, normaliser: payload.normaliser)
                    }
                    first += count
                }
            }
        }
    }

    /// Two keys for each feature: for nodes that send missing values left, and right.
    @inline(__always)
    func writeKeys(of rows: FeatureRows, row: Int, to keys: UnsafeMutablePointer<UInt32>) {
        let values = rows.values.baseAddress.unsafelyUnwrapped + row * shape.columns
        for column in 0..<shape.columns {
            let value = values[column]
            let key = FeatureKey.key(of: value, centre: centres[column])
            keys[2 * column] = value.isNaN ? FeatureKey.missingLow : key
            keys[2 * column + 1] = value.isNaN ? FeatureKey.missingHigh : key
        }
    }

    /// Walks `count` rows down one tree and adds their path lengths.
    @inline(__always)
    private func addPaths<Leaf: FixedWidthInteger & UnsignedInteger>(
        tree: Int, keys: UnsafePointer<UInt32>, sums: UnsafeMutablePointer<Int64>, count: Int,
        leaf: Leaf.Type
    ) {
        let words = nodes + tree * shape.wordsPerTree
        let leaves = leaves.assumingMemoryBound(to: Leaf.self) + tree * shape.leavesPerTree
        for row in 0..<count {
            let position = leafPosition(words, keys + row * 2 * shape.columns)
            sums[row] &+= kinds[Int(truncatingIfNeeded: leaves[position])].path
        }
    }

    /// Where the walk of a row ends: the number of the leaf from the left.
    @inline(__always)
    private func leafPosition(_ words: UnsafePointer<UInt32>, _ keys: UnsafePointer<UInt32>) -> Int {
        let mask = shape.selectorMask
        var index = 1
        for _ in 0..<shape.firstLevels {
            let node = words[index]
            index = index &+ index &+ (node < keys[Int(truncatingIfNeeded: node & mask)] ? 1 : 0)
        }
        var position = index &- 1 &<< shape.firstLevels
        var firstBlock = 1
        for stage in 1..<max(1, shape.stages) {
            let block = words + (firstBlock &+ position) &* ForestShape.wordsPerBlock
            index = 1
            for _ in 0..<ForestShape.levelsPerBlock {
                let node = block[index]
                index = index &+ index &+ (node < keys[Int(truncatingIfNeeded: node & mask)] ? 1 : 0)
            }
            firstBlock &+= 1 &<< (shape.firstLevels &+ (stage &- 1) &* ForestShape.levelsPerBlock)
            position = position &* ForestShape.wordsPerBlock &+ index &- ForestShape.wordsPerBlock
        }
        return position
    }
}
