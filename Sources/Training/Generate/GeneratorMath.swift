import DetectorAPI
import Exact

/// Random numbers that are the same, to the last bit, on every machine: sums and products only, no libm.
extension SeededGenerator {
    /// Nearly normal, mean 0, deviation 1: the sum of twelve uniform numbers, within -6 to 6.
    mutating func normal() -> Double {
        var sum: UInt64 = 0
        for _ in 0..<3 {
            let bits = next()
            sum += bits & 0xFFFF + bits >> 16 & 0xFFFF + bits >> 32 & 0xFFFF + bits >> 48
        }
        return Double(sum) / 65_536 - 6
    }

    /// Poisson, for small means: Knuth, volume 2, 3.4.1, algorithm Q.
    mutating func poisson(_ mean: Double) -> Int {
        let limit = DeterministicMath.exp(-mean)
        var product = unit()
        var count = 0
        while product > limit {
            product *= unit()
            count += 1
        }
        return count
    }
}
