import DetectorAPI

/// Draws rows without replacement, in time and memory that depend on the sample only when rows are many.
struct RowSampler {
    private(set) var chosen: [UInt32]
    private let rows: Int
    /// Few rows: a permutation, shuffled on from draw to draw.
    private var permutation: [UInt32] = []
    /// Many rows: a hash set of those drawn, 0 for a free place.
    private var drawn: [UInt32] = []

    init(rows: Int, size: Int) {
        self.rows = rows
        chosen = [UInt32](repeating: 0, count: size)
        if size == rows {
            for row in 0..<size { chosen[row] = UInt32(row) }
        } else if rows <= 8 * size {
            permutation = (0..<UInt32(rows)).map { $0 }
        } else {
            drawn = [UInt32](repeating: 0, count: 4 * (1 << (Int.bitWidth - size.leadingZeroBitCount)))
        }
    }

    mutating func draw(_ generator: inout SeededGenerator) {
        if !permutation.isEmpty {
            drawFromPermutation(&generator)
        } else if !drawn.isEmpty {
            drawWithRejection(&generator)
        }
    }

    /// The first steps of Fisher and Yates' shuffle.
    private mutating func drawFromPermutation(_ generator: inout SeededGenerator) {
        for place in chosen.indices {
            permutation.swapAt(place, place + generator.below(rows - place))
            chosen[place] = permutation[place]
        }
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
