import DetectorAPI

/// A median and a deviation for each column. Immutable, so any number of threads may score.
final class RobustModel: Explaining {
    struct Column {
        var median: Double
        /// 0: the column never varied.
        var deviation: Double
    }

    private let features: [Column]
    private let most: Double

    init(_ features: [Column], most: Double) {
        self.features = features
        self.most = most
    }

    var columns: Int { features.count }

    /// A missing value lies 0 deviations away.
    var expectedScore: Double { 0 }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        for row in 0..<rows.count {
            var score = 0.0
            for column in 0..<columns { score += contribution(rows.values[row * columns + column], column) }
            scores[row] = score
        }
    }

    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try score(rows, into: scores)
        for index in 0..<rows.count * columns {
            contributions[index] = contribution(rows.values[index], index % columns)
        }
    }

    /// Lower is more anomalous: the deviations count negative, as a mean over the columns.
    private func contribution(_ value: Float, _ column: Int) -> Double {
        let feature = features[column]
        let distance = abs(Double(value) - feature.median)
        if value.isNaN || distance == 0 { return 0 }
        return -min(feature.deviation > 0 ? distance / feature.deviation : most, most) / Double(columns)
    }
}

extension RobustModel.Column {
    /// The deviation of a normal distribution in terms of its median and of its mean absolute deviation.
    private static let perMedianDistance = 1.4826
    private static let perMeanDistance = 1.2533

    init(_ values: [Double]) {
        median = Self.median(values)
        let distances = values.map { [median] in abs($0 - median) }
        deviation = Self.perMedianDistance * Self.median(distances)
        if deviation == 0, !distances.isEmpty {
            // More than half of the values are the same.
            deviation = Self.perMeanDistance * distances.reduce(0, +) / Double(distances.count)
        }
    }

    /// 0 for no values.
    private static func median(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return 0 }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// The artifact, little-endian: "RZSCORE1", `most`, then median and deviation for each column, as doubles.
extension RobustModel {
    private static let magic = Array("RZSCORE1".utf8)
    private static let headerSize = 16

    func encode() -> [UInt8] {
        let numbers = [most] + features.flatMap { [$0.median, $0.deviation] }
        return Self.magic + numbers.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
    }

    /// The bytes may have been damaged since: whatever scoring relies on is checked here.
    convenience init(decoding bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        guard bytes.count > Self.headerSize, bytes.starts(with: Self.magic) else {
            throw .invalidArtifact("it does not start as a robust z-score does")
        }
        guard (bytes.count - Self.headerSize) % 16 == 0 else {
            throw .invalidArtifact("it ends in the middle of a column")
        }
        let numbers = stride(from: Self.magic.count, to: bytes.count, by: 8).map { offset in
            Double(
                bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            )
        }
        guard (1...1_000).contains(numbers[0]), numbers.allSatisfy(\.isFinite) else {
            throw .invalidArtifact("it holds a number that cannot be")
        }
        let columns = stride(from: 1, to: numbers.count, by: 2).map {
            Column(median: numbers[$0], deviation: numbers[$0 + 1])
        }
        self.init(columns, most: numbers[0])
    }
}
