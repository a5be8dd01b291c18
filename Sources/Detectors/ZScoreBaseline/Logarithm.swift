/// The same bits on every machine, which the C library's logarithm does not promise.
package enum Logarithm {
    package static let ofTwo = 0.6931471805599453

    /// The natural logarithm of a positive normal number, within 2 units in the last place.
    package static func natural(_ x: Double) -> Double {
        var exponent = x.exponent
        var fraction = x.significand
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
}
