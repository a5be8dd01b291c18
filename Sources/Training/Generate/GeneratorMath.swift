import DetectorAPI

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
        let limit = exponential(-mean)
        var product = unit()
        var count = 0
        while product > limit {
            product *= unit()
            count += 1
        }
        return count
    }
}

/// e to the power of `x`, for -40 to 40, to about 1e-15: Taylor's series after taking out powers of 2.
func exponential(_ x: Double) -> Double {
    let exponent = (x * 1.442_695_040_888_963_4).rounded()
    // ln 2 in two parts, the first of which has few enough bits for an exact product.
    let rest = x - exponent * 0.693_147_180_369_123_8 - exponent * 1.908_214_929_270_587_7e-10
    var sum = 1.0
    for power in stride(from: 14, through: 1, by: -1) { sum = 1 + sum * rest / Double(power) }
    return Double(sign: .plus, exponent: Int(exponent), significand: sum)
}
