import CForestKernels

/// The two ways to run the loops over a node's rows; they give the same nodes.
enum GrowerLoops: Sendable {
    /// Sixteen rows at once.
    case vector
    /// Row by row.
    case portable

    /// What this processor does best.
    static let best: GrowerLoops = forest_growing_is_supported() != 0 ? .vector : .portable

    /// Copies the rows' keys to `nodeKeys` and gives the least and the greatest.
    @inline(__always)
    func range(
        keys: UnsafePointer<Int32>, rows: UnsafePointer<UInt16>, count: Int,
        nodeKeys: UnsafeMutablePointer<Int32>
    ) -> (low: Int32, high: Int32) {
        if self == .vector {
            let range = forest_range(keys, rows, count, nodeKeys)
            return (range.low, range.high)
        }
        var low = Int32.max
        var high = Int32.min
        for place in 0..<count {
            let key = keys[Int(rows[place])]
            nodeKeys[place] = key
            low = min(low, key)
            high = max(high, key)
        }
        return (low, high)
    }

    /// Copies rows that go left to the start of `target` and those that go right to its end.
    ///
    /// - Returns: The number of rows on the left.
    @inline(__always)
    func part(
        rows: UnsafePointer<UInt16>, nodeKeys: UnsafePointer<Int32>, count: Int, word: Int32,
        into target: UnsafeMutablePointer<UInt16>
    ) -> Int {
        if self == .vector { return forest_part(rows, nodeKeys, count, word, target) }
        var left = 0
        var last = count &- 1
        for place in 0..<count {
            let row = rows[place]
            let goesRight = nodeKeys[place] > word ? 1 : 0
            target[left] = row
            target[last] = row
            left &+= 1 &- goesRight
            last &-= goesRight
        }
        return left
    }

    /// How many keys are above `word`.
    @inline(__always)
    func countAbove(_ word: Int32, _ nodeKeys: UnsafePointer<Int32>, _ count: Int) -> Int {
        if self == .vector { return forest_count_above(nodeKeys, count, word) }
        var above = 0
        for place in 0..<count { above &+= nodeKeys[place] > word ? 1 : 0 }
        return above
    }
}
