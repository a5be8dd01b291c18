import Exact

/// Path lengths of isolation trees and the score made of them.
///
/// F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008, equations 1 and 2. Everything here is
/// plain IEEE 754 arithmetic, so that a score has the same bits on every machine; the C library's functions
/// differ between versions and processors in the last bit.
enum PathLength {
    /// Path lengths are whole multiples of 2^-32, so that their sum is exact and does not depend on its order.
    static let fractionBits = 32
    /// No path is longer: at most 16 levels, and c(65536) < 24.
    static let maximumFixed = Int64(64) << Int64(fractionBits)

    private static let eulerGamma = 0.5772156649015329

    /// c(n): the mean length of an unsuccessful search in a binary tree of `count` rows, equation 1.
    ///
    /// As scikit-learn has it: 0 for one row, 1 for two, and the harmonic number as ln(n - 1) + gamma.
    static func average(_ count: Int) -> Double {
        if count <= 1 { return 0 }
        if count == 2 { return 1 }
        let n = Double(count)
        return 2 * (DeterministicMath.log(n - 1) + eulerGamma) - 2 * (n - 1) / n
    }

    /// The path length of a leaf at `depth` that holds `count` training rows, in units of 2^-32.
    static func fixed(depth: Int, count: Int) -> Int64 {
        let scale = Double(Int64(1) << Int64(fractionBits))
        return Int64(depth) << Int64(fractionBits) + Int64((average(count) * scale).rounded())
    }

    /// -2^(-mean / normaliser), equation 2 with scikit-learn's sign.
    ///
    /// - Parameters:
    ///   - sum: The path lengths of one row in all trees, in units of 2^-32.
    ///   - normaliser: c(sample size); 0 for a sample of one row, where every score is -0.5.
    static func score(sum: Int64, trees: Int, normaliser: Double) -> Double {
        score(sum: Double(sum) * 0x1p-32, trees: trees, normaliser: normaliser)
    }

    static func score(sum: Double, trees: Int, normaliser: Double) -> Double {
        guard normaliser > 0 else { return -0.5 }
        return -powerOfTwo(-(sum / (Double(trees) * normaliser)))
    }

    /// 2^x for x in [-1000, 0], within 2 units in the last place.
    static func powerOfTwo(_ x: Double) -> Double {
        // x = whole + quarters / 4 + rest, |rest| <= 1/8.
        let nearest = (x * 4).rounded(.toNearestOrEven)
        let step = Int(nearest)
        let rest = (x - nearest * 0.25) * 0.6931471805599453
        // exp(rest): the tenth term is below 7e-18.
        var sum = 1.0 / 362_880
        sum = sum * rest + 1.0 / 40_320
        sum = sum * rest + 1.0 / 5_040
        sum = sum * rest + 1.0 / 720
        sum = sum * rest + 1.0 / 120
        sum = sum * rest + 1.0 / 24
        sum = sum * rest + 1.0 / 6
        sum = sum * rest + 0.5
        sum = sum * rest + 1
        sum = sum * rest + 1
        let quarter: Double =
            switch step & 3 {
            case 0: 1
            case 1: 1.189207115002721
            case 2: 1.4142135623730951
            default: 1.681792830507429
            }
        return sum * quarter * Double(sign: .plus, exponent: max(step >> 2, -1000), significand: 1)
    }
}
