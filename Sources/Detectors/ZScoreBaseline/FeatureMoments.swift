import DetectorAPI

/// What is known of one feature. With `isRobust`, `mean` is the median and `spread` the deviation itself.
struct FeatureMoments: Sendable, Hashable {
    /// Values seen, missing ones not counted.
    var count: Double = 0
    var mean: Double = 0
    /// The sum of squared differences from the mean, so that two of these can be merged.
    var spread: Double = 0

    /// Adds a value: B. P. Welford, Technometrics 4(3), 1962.
    mutating func add(_ value: Double) {
        count += 1
        let difference = value - mean
        mean += difference / count
        spread += difference * (value - mean)
    }

    /// Adds what another has seen: T. F. Chan, G. H. Golub, R. J. LeVeque, COMPSTAT 1982, equation 2.1.
    mutating func merge(_ other: FeatureMoments) {
        guard other.count > 0 else { return }
        let total = count + other.count
        let difference = other.mean - mean
        mean += difference * (other.count / total)
        spread += other.spread + difference * difference * (count * (other.count / total))
        count = total
    }

    /// The standard deviation with divisor `count`; 0 for a feature that never varied.
    var deviation: Double { count > 0 ? (spread / count).squareRoot() : 0 }

    /// As the artifact keeps a robust one: the nearest Floats, of which a deviation does not become 0.
    var narrowed: FeatureMoments {
        let greatest = Double(Float.greatestFiniteMagnitude)
        let least = Double(Float.leastNormalMagnitude)
        let deviation = spread > 0 ? min(max(spread, least), greatest) : 0
        let centre = min(max(mean, -greatest), greatest)
        return FeatureMoments(count: count, mean: Double(Float(centre)), spread: Double(Float(deviation)))
    }
}

/// Mean and deviation of every column.
func momentFit(_ rows: FeatureRows, _ context: FitContext) throws -> [FeatureMoments] {
    let chunk = 4096
    var features = [FeatureMoments](repeating: FeatureMoments(), count: rows.columns)
    for first in stride(from: 0, to: rows.count, by: chunk) {
        if context.isCancelled() { throw DetectorError.cancelled }
        context.progress(Double(first) / Double(rows.count))
        let part = rows[first..<min(first + chunk, rows.count)]
        for column in 0..<rows.columns { features[column].merge(moments(part, column)) }
    }
    return features
}

/// One column of a few rows, in two passes: more exact than value by value, and without a division each.
private func moments(_ rows: FeatureRows, _ column: Int) -> FeatureMoments {
    var count = 0.0
    var sum = 0.0
    for row in 0..<rows.count {
        let value = rows.values[row * rows.columns + column]
        if value.isNaN { continue }
        count += 1
        sum += FeatureValue.finite(value)
    }
    guard count > 0 else { return FeatureMoments() }
    let mean = sum / count
    var spread = 0.0
    for row in 0..<rows.count {
        let value = rows.values[row * rows.columns + column]
        if value.isNaN { continue }
        let difference = FeatureValue.finite(value) - mean
        spread += difference * difference
    }
    return FeatureMoments(count: count, mean: mean, spread: spread)
}

enum FeatureValue {
    /// The value of a feature; infinities count as the greatest finite numbers, NaN stays.
    @inline(__always)
    static func finite(_ value: Float) -> Double {
        let greatest = Float.greatestFiniteMagnitude
        let low = value < -greatest ? -greatest : value
        return Double(low > greatest ? greatest : low)
    }

    /// The same of two.
    @inline(__always)
    static func finite(_ values: SIMD2<Float>) -> SIMD2<Double> {
        let greatest = SIMD2<Float>(repeating: .greatestFiniteMagnitude)
        let low = values.replacing(with: -greatest, where: values .< -greatest)
        let bounded = low.replacing(with: greatest, where: low .> greatest)
        return SIMD2(Double(bounded.x), Double(bounded.y))
    }
}
