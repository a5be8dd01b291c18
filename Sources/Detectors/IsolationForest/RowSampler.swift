import DetectorAPI

/// Draws rows without replacement: every set of them equally likely, or by weights.
struct RowSampler {
    /// The rows drawn; the order means nothing.
    private(set) var chosen: [UInt32]
    private let rows: Int
    private let loops: GrowerLoops
    /// Few rows: one bit each, set for those drawn. Many rows: empty.
    private var bits: [UInt64] = []
    /// Many rows: a hash set of those drawn, 0 for a free place.
    private var drawn: [UInt32] = []
    private var weights: RowWeights?

    /// - Precondition: At least `size` rows can be drawn.
    init(rows: Int, size: Int, weights: RowWeights? = nil, loops: GrowerLoops = .best) {
        self.rows = rows
        self.loops = loops
        self.weights = weights
        chosen = [UInt32](repeating: 0, count: size)
        if weights != nil { return }
        if size == rows {
            for row in 0..<size { chosen[row] = UInt32(row) }
        } else if rows <= 16 * size {
            bits = [UInt64](repeating: 0, count: (rows + 63) / 64)
        } else {
            drawn = [UInt32](repeating: 0, count: 4 * (1 << (Int.bitWidth - size.leadingZeroBitCount)))
        }
    }

    mutating func draw(_ generator: inout SeededGenerator) {
        if weights != nil {
            weights?.draw(into: &chosen, &generator)
        } else if !bits.isEmpty {
            drawBits(&generator)
        } else if !drawn.isEmpty {
            drawWithRejection(&generator)
        }
    }

    /// Tosses a coin for each row, 64 at a time, then corrects the number by adding or removing random rows.
    ///
    /// A set of coin tosses is, among sets of its size, uniformly random, and stays so with a uniformly
    /// random row more or less.
    private mutating func drawBits(_ generator: inout SeededGenerator) {
        // The coin's bias in 32nds; what rounding leaves is corrected below.
        let bias = min(31, max(1, (chosen.count * 32 + rows / 2) / rows))
        var count = 0
        for word in bits.indices {
            var coins: UInt64 = 0
            for bit in bias.trailingZeroBitCount..<5 {
                let random = generator.next()
                coins = bias >> bit & 1 == 1 ? coins | random : coins & random
            }
            if word == bits.count - 1 && rows % 64 != 0 { coins &= 1 << UInt64(rows % 64) - 1 }
            bits[word] = coins
            count += coins.nonzeroBitCount
        }
        while count != chosen.count {
            let row = generator.below(rows)
            let bit: UInt64 = 1 << UInt64(row % 64)
            let isSet = bits[row / 64] & bit != 0
            if isSet == (count > chosen.count) {
                bits[row / 64] ^= bit
                count += isSet ? -1 : 1
            }
        }
        loops.listBits(bits, into: &chosen)
    }

    private mutating func drawWithRejection(_ generator: inout SeededGenerator) {
        for place in drawn.indices { drawn[place] = 0 }
        let mask = drawn.count - 1
        var place = 0
        while place < chosen.count {
            let row = UInt32(generator.below(rows))
            var slot = Int(row &* 0x9E37_79B1) & mask
            while drawn[slot] != 0 && drawn[slot] != row &+ 1 { slot = (slot + 1) & mask }
            if drawn[slot] == 0 {
                drawn[slot] = row &+ 1
                chosen[place] = row
                place += 1
            }
        }
    }
}
