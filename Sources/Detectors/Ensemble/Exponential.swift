/// The same bits on every machine, which the C library's exponential does not promise.
enum Exponential {
    /// e^x within 2 units in the last place; x is taken as if within -700...700.
    static func natural(_ x: Double) -> Double {
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
    static func logistic(_ x: Double) -> Double { 1 / (1 + natural(-x)) }
}
