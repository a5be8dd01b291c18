/// Logarithm, sine and cosine from +, -, *, / and sqrt alone, which IEEE 754 rounds the same way everywhere.
///
/// A platform's libm may differ from another's, or from its own next version, in the last bit; a verdict must not.
/// Swift never contracts a product and a sum into a fused operation by itself, so these expressions are what they say.
public enum DeterministicMath {
    /// Natural logarithm of a positive, finite, normal number, to about 1 ulp.
    ///
    /// x = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s) with s = (m - 1) / (m + 1), whose series in s^2
    /// needs eleven terms, as s^2 < 0.0295.
    public static func log(_ x: Double) -> Double {
        var exponent = Int64(x.bitPattern >> 52) - 1023
        var mantissa = Double(bitPattern: x.bitPattern & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000)
        if mantissa > 1.4142135623730951 {
            mantissa *= 0.5
            exponent += 1
        }
        let f = mantissa - 1
        let s = f / (2 + f)
        let z = s * s
        let z2 = z * z
        let low = (1.0 / 3) + z * (1.0 / 5) + z2 * (1.0 / 7 + z * (1.0 / 9))
        let middle = (1.0 / 11) + z * (1.0 / 13) + z2 * (1.0 / 15 + z * (1.0 / 17))
        let high = (1.0 / 19) + z * (1.0 / 21)
        let z4 = z2 * z2
        let tail = z * (low + z4 * (middle + z4 * high))
        let e = Double(exponent)
        // ln 2 in two parts; the first has 37 bits, so that its product with an exponent is exact.
        let ln2High = 0x1.62e42fefap-1
        let ln2Low = 0x1.cf79abc9e3b3ap-40
        // 2 s (1 + tail) as f - s (f - 2 tail): f is exact and leads, so that the roundings of s weigh little.
        return e * ln2High + (f - (s * (f - 2 * tail) - e * ln2Low))
    }

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
