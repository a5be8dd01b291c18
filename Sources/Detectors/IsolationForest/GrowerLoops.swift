import CForestKernels

/// Ways to run the loops over a node's rows; they give the same nodes. Vectors take four to sixteen rows at once, the
/// portable loops row by row.
struct GrowerLoops: Sendable {
    let unit: VectorUnit

    init(unit: VectorUnit) { self.unit = forest_growing_unit(unit) }

    /// What this processor does best.
    static let best = GrowerLoops(unit: .inUse)
    static let portable = GrowerLoops(unit: .portable)

    /// Copies the rows' keys to `nodeKeys` and gives the least and the greatest.
    @inline(__always)
    func range(
        keys: UnsafePointer<Int32>, rows: UnsafePointer<UInt16>, count: Int,
        nodeKeys: UnsafeMutablePointer<Int32>
    ) -> (low: Int32, high: Int32) {
        if unit != .portable {
            let range = forest_range(keys, rows, count, nodeKeys, unit)
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
        if unit != .portable { return forest_part(rows, nodeKeys, count, word, target, unit) }
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
        if unit != .portable { return forest_count_above(nodeKeys, count, word, unit) }
        var above = 0
        for place in 0..<count { above &+= nodeKeys[place] > word ? 1 : 0 }
        return above
    }

    /// For each of 16 thresholds how many keys are above it, and the sum of their quantities.
    ///
    /// - Returns: false where the caller has to do it.
    @inline(__always)
    func addAbove(
        _ keys: UnsafePointer<Int32>, _ quantities: UnsafePointer<Int32>, _ count: Int,
        _ thresholds: UnsafePointer<Int32>, _ counts: UnsafeMutablePointer<Int32>,
        _ sums: UnsafeMutablePointer<Int32>
    ) -> Bool {
        guard unit != .portable else { return false }
        forest_add_above(keys, quantities, count, thresholds, counts, sums, unit)
        return true
    }

    /// Writes the numbers of the set bits, lowest first, to as many places as there are bits.
    @inline(__always)
    func listBits(_ bits: [UInt64], into numbers: inout [UInt32]) {
        if forest_list_bits(bits, bits.count, &numbers, unit) != 0 { return }
        var place = 0
        for word in bits.indices {
            var rest = bits[word]
            while rest != 0 {
                numbers[place] = UInt32(truncatingIfNeeded: 64 &* word &+ rest.trailingZeroBitCount)
                place &+= 1
                rest &= rest &- 1
            }
        }
    }
}
