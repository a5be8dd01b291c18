import CForestKernels

/// Cuts where a column's values fall apart in two groups: the best of some thresholds at equal distances.
///
/// The best cut leaves the least variance within its two sides, the "pooled gain" of SCiForest (F. T. Liu,
/// K. M. Ting, Z.-H. Zhou, "On Detecting Clustered Anomalies Using SCiForest", ECML PKDD 2010) and of
/// D. Cortes, "Revisiting randomized choices in isolation forests", 2021, with variances for deviations: then
/// counts and sums are enough. All sums are of whole numbers, so their order does not matter.
struct GapFinder {
    static let candidates = 16
    /// Levels that are cut so; further down, random cuts do as well.
    static let levels = 3

    private let loops: GrowerLoops
    /// Whole numbers in proportion to the values of a node's rows.
    private let quantities: UnsafeMutablePointer<Int32>
    private let thresholds: UnsafeMutablePointer<Int32>
    /// Rows above each threshold, and the sums of their quantities.
    private let counts: UnsafeMutablePointer<Int32>
    private let sums: UnsafeMutablePointer<Int32>

    /// Works in the memory of `buffers`, which has to outlive it.
    init(_ buffers: GrowerBuffers, _ loops: GrowerLoops) {
        self.loops = loops
        quantities = buffers.quantities
        thresholds = buffers.candidates
        counts = thresholds + Self.candidates
        sums = counts + Self.candidates
    }

    /// The best of the thresholds.
    func best(_ cut: GrowerBuffers.Cut, _ keys: UnsafePointer<Int32>, count: Int, keyMask: Int32) -> Int32 {
        let offset = Double(cut.random) * 0x1p-32
        for candidate in 0..<Self.candidates {
            let share = (Double(candidate) + offset) * (1 / Double(Self.candidates))
            thresholds[candidate] = cut.threshold(share, keyMask: keyMask)
        }
        let (present, total) = quantify(cut, keys, count)
        if !loops.addAbove(keys, quantities, count, thresholds, counts, sums) {
            for first in stride(from: 0, to: Self.candidates, by: 4) { addUp(keys, count, first) }
        }
        return choose(present: present, total: total)
    }

    /// Values as whole numbers from 0 to 4095, by their distance from the least; missing ones as 0.
    private func quantify(
        _ cut: GrowerBuffers.Cut, _ keys: UnsafePointer<Int32>, _ count: Int
    ) -> (present: Int64, total: Int64) {
        // Halves, since the difference of two numbers may be greater than the greatest.
        let low = FeatureKey.value(ofSigned: cut.low) * 0.5
        let range = FeatureKey.value(ofSigned: cut.high) * 0.5 - low
        let scale = range > 0x1p-100 ? 4095 / range : 0
        var present: Int32 = 0
        var total: Int32 = 0
        for place in 0..<count {
            let distance = (FeatureKey.value(ofSigned: keys[place]) * 0.5 - low) * scale
            // Adding 2^23 leaves the rounded number in the low bits.
            let quantity = Int32(bitPattern: (distance + 0x1p23).bitPattern) & 0xFFF
            let isPresent: Int32 = keys[place] == SampleKeys.missing ? 0 : -1
            quantities[place] = quantity & isPresent
            total &+= quantity & isPresent
            present &-= isPresent
        }
        return (Int64(present), Int64(total))
    }

    /// Counts and sums what lies above four of the thresholds.
    private func addUp(_ keys: UnsafePointer<Int32>, _ count: Int, _ first: Int) {
        let four = SIMD4(
            thresholds[first] &>> 1, thresholds[first + 1] &>> 1, thresholds[first + 2] &>> 1,
            thresholds[first + 3] &>> 1)
        var fourCounts = SIMD4<Int32>(repeating: 0)
        var fourSums = SIMD4<Int32>(repeating: 0)
        for place in 0..<count {
            // -1 where the difference is negative. Halved, so that it does not overflow; the lowest bits are zero.
            let isAbove = (four &- SIMD4(repeating: keys[place] &>> 1)) &>> SIMD4(repeating: 31)
            fourCounts &-= isAbove
            fourSums &+= isAbove & SIMD4(repeating: quantities[place])
        }
        for lane in 0..<4 {
            counts[first + lane] = fourCounts[lane]
            sums[first + lane] = fourSums[lane]
        }
    }

    /// The threshold with the most variance between its sides. Each has rows on both.
    private func choose(present: Int64, total: Int64) -> Int32 {
        var best = 0
        var greatest = -1.0
        for candidate in 0..<Self.candidates {
            let right = Int64(counts[candidate])
            // n1 n2 (mean1 - mean2)^2, but for a factor that all of them share.
            let difference = Double(Int64(sums[candidate]) &* present &- total &* right)
            let gain = difference * difference / Double((present &- right) &* right)
            if gain > greatest {
                greatest = gain
                best = candidate
            }
        }
        return thresholds[best]
    }
}

extension GrowerBuffers.Cut {
    /// The key at a share of the way from the least to the greatest value: at least one key is not above it and
    /// at least one is.
    @inline(__always)
    func threshold(_ share: Double, keyMask: Int32) -> Int32 {
        let lowest = Double(FeatureKey.value(ofSigned: low))
        let highest = Double(FeatureKey.value(ofSigned: high))
        let key = FeatureKey.signedKey(ofCentred: Float(lowest + share * (highest - lowest))) & keyMask
        // Rounding may have led outside. Keys are apart by at least the lowest bit of the mask.
        let step = keyMask & (0 &- keyMask)
        let below = key < high ? key : high &- step
        return below < low ? low : below
    }
}
