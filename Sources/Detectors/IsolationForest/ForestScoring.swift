import DetectorAPI

extension ForestPointers {
    /// Bytes of keys in flight: with the nodes of a tree they stay in the first-level cache.
    private static var blockBytes: Int { 16 * 1024 }
    /// Fewer rows than this are walked one by one through all trees, more of them tree by tree.
    private static var fewRows: Int { 16 }

    func score<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>, leaf: Leaf.Type,
        walk: ForestWalk
    ) {
        let block = max(1, min(rows.count, max(Self.fewRows, Self.blockBytes / (shape.keysPerRow * 4))))
        // Lanes come in sixteens.
        let lanes = (block + 15) & ~15
        let hasLanes = rows.count >= Self.fewRows && shape.stages > 0
        let walks = max(lanes, shape.trees)
        let keysBytes = block * shape.keysPerRow * 4
        let lanesBytes = hasLanes ? lanes * shape.keysPerRow * 4 : 0
        withUnsafeTemporaryAllocation(
            byteCount: 64 + keysBytes + lanesBytes + block * 8 + walks * 4, alignment: 64
        ) {
            scratch in
            let base = scratch.baseAddress.unsafelyUnwrapped
            let keys = base.bindMemory(to: UInt32.self, capacity: block * shape.keysPerRow)
            let byColumn = KeyLanes(
                keys: (base + keysBytes).bindMemory(to: Int32.self, capacity: lanesBytes / 4), stride: lanes)
            let sums = (base + keysBytes + lanesBytes).bindMemory(to: Int64.self, capacity: block)
            let positions = (base + keysBytes + lanesBytes + block * 8).bindMemory(
                to: UInt32.self, capacity: walks)
            keys.initialize(repeating: 0, count: block * shape.keysPerRow)
            byColumn.keys.initialize(repeating: 0, count: lanesBytes / 4)
            var first = 0
            while first < rows.count {
                let count = min(block, rows.count - first)
                var anyMissing = false
                for row in 0..<count {
                    let isMissing = writeKeys(of: rows, row: first + row, to: keys + row * shape.keysPerRow)
                    anyMissing = anyMissing || isMissing
                }
                if count < Self.fewRows {
                    for row in 0..<count {
                        sums[row] = path(
                            keys + row * shape.keysPerRow, anyMissing, positions, leaf: leaf, walk: walk)
                    }
                } else {
                    if hasLanes { byColumn.write(keys, shape, anyMissing, count: count) }
                    sums.initialize(repeating: 0, count: count)
                    for tree in 0..<shape.trees {
                        addPaths(
                            tree, keys, hasLanes ? byColumn : nil, anyMissing, sums, count, positions,
                            leaf: leaf, walk: walk)
                    }
                }
                for row in 0..<count {
                    scores[first + row] = PathLength.score(
                        sum: sums[row], trees: shape.trees, normaliser: payload.normaliser)
                }
                first += count
            }
        }
    }

    /// A key for each column, twice: for nodes that send missing values left, and right.
    ///
    /// - Returns: Whether a value is missing.
    @inline(__always)
    func writeKeys(of rows: FeatureRows, row: Int, to keys: UnsafeMutablePointer<UInt32>) -> Bool {
        let values = rows.values.baseAddress.unsafelyUnwrapped + row &* shape.columns
        let second = keys + 1 &<< shape.columnBits
        var missing = false
        for column in 0..<shape.columns {
            let value = values[column]
            let key = FeatureKey.key(of: value, centre: centres[column]) & shape.keyMask
            let isMissing = value.isNaN
            keys[column] = isMissing ? FeatureKey.missingLow : key
            second[column] = isMissing ? FeatureKey.missingHigh : key
            missing = missing || isMissing
        }
        return missing
    }

    /// Walks `count` rows down one tree and adds their path lengths.
    @inline(__always)
    private func addPaths<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ tree: Int, _ keys: UnsafePointer<UInt32>, _ byColumn: KeyLanes?, _ anyMissing: Bool,
        _ sums: UnsafeMutablePointer<Int64>, _ count: Int, _ positions: UnsafeMutablePointer<UInt32>,
        leaf: Leaf.Type, walk: ForestWalk
    ) {
        let words = nodes + tree &* shape.wordsPerTree
        if let byColumn {
            walk.enter(
                shape, words: words, byColumn, anyMissing: anyMissing, count: count, positions: positions)
        }
        walk(
            shape, words: words, wordStride: 0, keys: keys, keyStride: shape.keysPerRow,
            anyMissing: anyMissing, count: count, positions: positions, isEntered: byColumn != nil)
        let leaves = leaves.assumingMemoryBound(to: Leaf.self) + tree &* shape.leavesPerTree
        for row in 0..<count {
            sums[row] &+= paths[Int(truncatingIfNeeded: leaves[Int(truncatingIfNeeded: positions[row])])]
        }
    }

    /// The path lengths of one row, summed over the trees.
    @inline(__always)
    private func path<Leaf: FixedWidthInteger & UnsignedInteger>(
        _ keys: UnsafePointer<UInt32>, _ anyMissing: Bool, _ positions: UnsafeMutablePointer<UInt32>,
        leaf: Leaf.Type, walk: ForestWalk
    ) -> Int64 {
        walk(
            shape, words: nodes, wordStride: shape.wordsPerTree, keys: keys, keyStride: 0,
            anyMissing: anyMissing, count: shape.trees, positions: positions)
        var leaves = leaves.assumingMemoryBound(to: Leaf.self)
        var sum: Int64 = 0
        for tree in 0..<shape.trees {
            sum &+= paths[Int(truncatingIfNeeded: leaves[Int(truncatingIfNeeded: positions[tree])])]
            leaves += shape.leavesPerTree
        }
        return sum
    }
}

/// Rows' keys by column, as signed numbers: of column c and row r at `c * stride + r`. So many rows at once are compared with
/// the same node.
struct KeyLanes {
    let keys: UnsafeMutablePointer<Int32>
    let stride: Int

    /// - Parameter anyMissing: false: both halves of a row's keys are the same, and the lower one is enough.
    @inline(__always)
    func write(_ rows: UnsafePointer<UInt32>, _ shape: ForestShape, _ anyMissing: Bool, count: Int) {
        write(rows, shape, first: 0, count)
        if anyMissing { write(rows, shape, first: 1 &<< shape.columnBits, count) }
    }

    @inline(__always)
    private func write(_ rows: UnsafePointer<UInt32>, _ shape: ForestShape, first: Int, _ count: Int) {
        for column in first..<first + shape.columns {
            let target = keys + column &* stride
            var source = rows + column
            for row in 0..<count {
                target[row] = Int32(bitPattern: source.pointee ^ 0x8000_0000)
                source += shape.keysPerRow
            }
        }
    }
}
