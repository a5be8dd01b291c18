import Exact

/// Sine, cosine and what is made of them, from +, -, *, / and sqrt alone, like `Exact`'s logarithm.
extension DeterministicMath {
    /// sign(x) * ln(1 + |x|), for a finite number, without losing the small ones.
    static func signedLog1p(_ x: Double) -> Double {
        let a = x.magnitude
        let u = 1 + a
        // What the rounding of 1 + a cut off, given back to first order.
        let value = u == 1 ? a : log(u) + (a - (u - 1)) / u
        return x < 0 ? -value : value
    }

    /// Sine of an angle in degrees, at most 2^52 of them.
    static func sineDegrees(_ degrees: Double) -> Double {
        let (quadrant, radians) = reduced(degrees)
        let value = quadrant & 1 == 0 ? sineKernel(radians) : cosineKernel(radians)
        return quadrant & 2 == 0 ? value : -value
    }

    /// Cosine of an angle in degrees, at most 2^52 of them.
    static func cosineDegrees(_ degrees: Double) -> Double {
        let (quadrant, radians) = reduced(degrees)
        let value = quadrant & 1 == 0 ? cosineKernel(radians) : sineKernel(radians)
        return (quadrant + 1) & 2 == 0 ? value : -value
    }

    /// The nearest multiple of 90 degrees, and what is left in radians. Degrees make that subtraction exact.
    private static func reduced(_ degrees: Double) -> (quadrant: Int64, radians: Double) {
        let quadrant = Int64(degrees / 90 + (degrees < 0 ? -0.5 : 0.5))
        return (quadrant, (degrees - Double(quadrant) * 90) * 0x1.1df46a2529d39p-6)
    }

    /// Taylor's series for |x| <= pi/4; the first term left out is below 1e-19.
    private static func sineKernel(_ x: Double) -> Double {
        let z = x * x
        var sum = -1.0 / 1_307_674_368_000 + z * (1.0 / 355_687_428_096_000)
        sum = 1.0 / 6_227_020_800 + z * sum
        sum = -1.0 / 39_916_800 + z * sum
        sum = 1.0 / 362_880 + z * sum
        sum = -1.0 / 5040 + z * sum
        sum = 1.0 / 120 + z * sum
        sum = -1.0 / 6 + z * sum
        return x + x * (z * sum)
    }

    /// Likewise; the first term left out is below 3e-18.
    private static func cosineKernel(_ x: Double) -> Double {
        let z = x * x
        var sum = -1.0 / 87_178_291_200 + z * (1.0 / 20_922_789_888_000)
        sum = 1.0 / 479_001_600 + z * sum
        sum = -1.0 / 3_628_800 + z * sum
        sum = 1.0 / 40320 + z * sum
        sum = -1.0 / 720 + z * sum
        sum = 1.0 / 24 + z * sum
        return 1 - (0.5 * z - z * (z * sum))
    }

    /// Length in kilometres of the straight line through the Earth between two places, in degrees.
    ///
    /// The chord by the haversine formula, which keeps its precision for places close together; sphere of the IUGG's
    /// mean radius.
    static func chordKilometres(
        latitude1: Double, longitude1: Double, latitude2: Double, longitude2: Double
    ) -> Double {
        let north = sineDegrees((latitude2 - latitude1) * 0.5)
        let east = sineDegrees((longitude2 - longitude1) * 0.5)
        let h = north * north + cosineDegrees(latitude1) * cosineDegrees(latitude2) * (east * east)
        return 2 * 6371.0088 * h.squareRoot()
    }
}
