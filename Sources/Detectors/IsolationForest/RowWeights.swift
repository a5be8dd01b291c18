import DetectorAPI

/// Draws rows without replacement, each as likely as its weight among those that are left.
///
/// A complete binary tree of sums, the rows its leaves: drawing walks down, and takes the row's weight off the sums on
/// its way (C. K. Wong and M. C. Easton, "An efficient method for weighted sampling without replacement", SIAM Journal
/// on Computing 9(1), 1980). Sums are whole numbers, so that no rounding depends on their order.
struct RowWeights {
    /// The weights' share of this many units. A row of the least weight above 0 has at least one.
    private static let units = 0x1p52

    /// Rows that can be drawn.
    let rows: Int
    /// The root at 1, row r at `leaves + r`.
    private var sums: [UInt64]
    private let leaves: Int

    /// - Throws: `DetectorError.invalidInput` for weights that are not one for each row, finite and 0 or more, or all 0.
    init(_ weights: [Float], rows count: Int) throws(DetectorError) {
        guard weights.count == count else {
            throw .invalidInput("\(weights.count) weights for \(count) rows")
        }
        var total = 0.0
        var positive = 0
        for (row, weight) in weights.enumerated() {
            guard weight >= 0, weight.isFinite else {
                throw .invalidInput("the weight of row \(row) is \(weight); it must be finite and 0 or more")
            }
            total += Double(weight)
            positive += weight > 0 ? 1 : 0
        }
        guard positive > 0 else { throw .invalidInput("no row has a weight above 0") }
        rows = positive
        leaves = count <= 1 ? 1 : 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
        sums = [UInt64](repeating: 0, count: 2 * leaves)
        for (row, weight) in weights.enumerated() where weight > 0 {
            sums[leaves + row] = max(1, UInt64((Double(weight) / total * Self.units).rounded()))
        }
        for node in stride(from: leaves - 1, to: 0, by: -1) {
            sums[node] = sums[2 * node] + sums[2 * node + 1]
        }
    }

    /// Draws different rows.
    ///
    /// - Precondition: `chosen.count <= rows`.
    mutating func draw(into chosen: inout [UInt32], _ generator: inout SeededGenerator) {
        var taken = [UInt64](repeating: 0, count: chosen.count)
        sums.withUnsafeMutableBufferPointer { sums in
            for place in chosen.indices {
                var rest = generator.next().multipliedFullWidth(by: sums[1]).high
                var node = 1
                while node < leaves {
                    node *= 2
                    if rest >= sums[node] {
                        rest -= sums[node]
                        node += 1
                    }
                }
                chosen[place] = UInt32(truncatingIfNeeded: node - leaves)
                taken[place] = sums[node]
                Self.add(0 &- sums[node], node, sums)
            }
            for place in chosen.indices { Self.add(taken[place], leaves + Int(chosen[place]), sums) }
        }
    }

    /// Adds to a leaf and all sums above it.
    private static func add(_ weight: UInt64, _ leaf: Int, _ sums: UnsafeMutableBufferPointer<UInt64>) {
        var node = leaf
        while node > 0 {
            sums[node] &+= weight
            node /= 2
        }
    }
}
