/// Logarithm and exponential from +, -, * and / alone, which IEEE 754 rounds the same way everywhere.
///
/// A platform's libm may differ from another's, or from its own next version, in the last bit; a verdict must not.
/// Swift never contracts a product and a sum into a fused operation by itself, so these expressions are what they say.
public enum DeterministicMath {
    /// The logarithm of 2.
    public static let logOfTwo = 0.6931471805599453

    /// The natural logarithm of a positive, finite, normal number, within 2 units in the last place.
    @inlinable
    public static func log(_ x: Double) -> Double {
        var exponent = Int64(x.bitPattern >> 52) - 1023
        var fraction = Double(bitPattern: x.bitPattern & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000)
        if fraction > 1.4142135623730951 {
            fraction *= 0.5
            exponent += 1
        }
        // ln(f) = 2 artanh(s), s = (f - 1) / (f + 1), |s| < 0.172: the series' 12th term is below 1e-19.
        let s = (fraction - 1) / (fraction + 1)
        let square = s * s
        var series = square * (1.0 / 23)
        series = square * (series + 1.0 / 21)
        series = square * (series + 1.0 / 19)
        series = square * (series + 1.0 / 17)
        series = square * (series + 1.0 / 15)
        series = square * (series + 1.0 / 13)
        series = square * (series + 1.0 / 11)
        series = square * (series + 1.0 / 9)
        series = square * (series + 1.0 / 7)
        series = square * (series + 1.0 / 5)
        series = square * (series + 1.0 / 3)
        // ln 2 in two parts, so that the product with the exponent is exact.
        let high = Double(exponent) * 0x1.62e42fefa38p-1
        let low = Double(exponent) * 0x1.ef35793c7673p-45
        return high + (2 * s + (2 * s * series + low))
    }

    /// e^x within 2 units in the last place; x is taken as if within -700...700.
    @inlinable
    public static func exp(_ x: Double) -> Double {
        let x = min(max(x, -700), 700)
        let whole = (x * 1.4426950408889634).rounded(.toNearestOrEven)
        // ln 2 in two parts, so that the product with the exponent is exact.
        let rest = (x - whole * 0x1.62e42fefa38p-1) - whole * 0x1.ef35793c7673p-45
        // |rest| < 0.35: the series' next term is below 1e-17.
        var sum = 1.0 / 6_227_020_800
        sum = sum * rest + 1.0 / 479_001_600
        sum = sum * rest + 1.0 / 39_916_800
        sum = sum * rest + 1.0 / 3_628_800
        sum = sum * rest + 1.0 / 362_880
        sum = sum * rest + 1.0 / 40_320
        sum = sum * rest + 1.0 / 5_040
        sum = sum * rest + 1.0 / 720
        sum = sum * rest + 1.0 / 120
        sum = sum * rest + 1.0 / 24
        sum = sum * rest + 1.0 / 6
        sum = sum * rest + 0.5
        sum = sum * rest + 1
        sum = sum * rest + 1
        return sum * Double(sign: .plus, exponent: Int(whole), significand: 1)
    }

    /// 1 / (1 + e^-x).
    @inlinable
    public static func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
}
