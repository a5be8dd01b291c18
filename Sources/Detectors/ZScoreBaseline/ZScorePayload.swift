import DetectorAPI

/// The artifact, little-endian. Format 2:
///
///     0   UInt32  magic "ZSCR"        4  UInt16  format
///     6   UInt8   1: robust           7  UInt8   combination: 0 sum, 1 largest
///     8   UInt32  columns             12 UInt32  zero
///     16  UInt64  the most values that a column has seen
///     24  robust: Float  median, deviation; for each column
///         else:   Double mean, sum of squares; for each column
///     ..  how many values fewer each column has seen: 7 bits a byte, the lowest first, 0x80 when more follow
///
/// A median of Floats is one (or lies between two), and MADs move by more than a Float's last place; means and sums of
/// squares stay Doubles, to which values can be added, one at a time and for ever. Format 1, of 32 bytes and 24 for each
/// column (Doubles: count, mean or median, spread), is read, and written again by models that were read from it, so that
/// their scores and bytes stay what they were.
struct ZScorePayload {
    static let magic: UInt32 = 0x5243_535A
    static let maximumColumns = 65_536
    /// Counts are Doubles, which number exactly so far.
    private static let maximumCount = UInt64(1) << 53

    enum Format: UInt16, Sendable {
        case wide = 1
        case narrow = 2
    }

    var features: [FeatureMoments]
    var isRobust: Bool
    var combination: Combination
    var format: Format

    func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(number: Self.magic)
        bytes.append(number: format.rawValue)
        bytes.append(isRobust ? 1 : 0)
        bytes.append(combination.rawValue)
        bytes.append(number: UInt32(features.count))
        bytes.append(number: UInt32(0))
        switch format {
        case .wide:
            bytes.append(number: UInt64(0))
            bytes.append(number: UInt64(0))
            for feature in features {
                for value in [feature.count, feature.mean, feature.spread] {
                    bytes.append(number: value.bitPattern)
                }
            }
        case .narrow:
            let most = features.map(\.count).max() ?? 0
            bytes.append(number: UInt64(most))
            for feature in features {
                for value in [feature.mean, feature.spread] {
                    if isRobust {
                        bytes.append(number: Float(value).bitPattern)
                    } else {
                        bytes.append(number: value.bitPattern)
                    }
                }
            }
            for feature in features { bytes.append(varying: UInt64(most - feature.count)) }
        }
        return bytes
    }

    init(
        features: [FeatureMoments], isRobust: Bool, combination: Combination, format: Format
    ) {
        self.features = features
        self.isRobust = isRobust
        self.combination = combination
        self.format = format
    }

    init(checking bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        var reader = PayloadReader(bytes)
        guard bytes.count >= 24 else {
            throw .invalidArtifact("\(bytes.count) bytes are shorter than every header")
        }
        guard try reader.number(UInt32.self) == Self.magic else {
            throw .invalidArtifact("it does not start as a z-score baseline does")
        }
        let version = try reader.number(UInt16.self)
        guard let format = Format(rawValue: version) else {
            throw .invalidArtifact("format \(version) is not known; this detector reads 1 and 2")
        }
        let robust = try reader.number(UInt8.self)
        guard robust <= 1, let combination = Combination(rawValue: try reader.number(UInt8.self)) else {
            throw .invalidArtifact("an option in its header is not known")
        }
        let columns = Int(try reader.number(UInt32.self))
        let spare = try reader.number(UInt32.self)
        let head = try reader.number(UInt64.self)
        guard (1...Self.maximumColumns).contains(columns), spare == 0 else {
            throw .invalidArtifact("its header is damaged")
        }
        self.format = format
        self.isRobust = robust == 1
        self.combination = combination
        switch format {
        case .wide:
            guard head == 0, try reader.number(UInt64.self) == 0 else {
                throw .invalidArtifact("its header is damaged")
            }
            features = try Self.wide(&reader, columns)
        case .narrow:
            guard head <= Self.maximumCount else {
                throw .invalidArtifact("it has seen more values than can be counted")
            }
            features = try Self.narrow(&reader, columns, most: head, isRobust: isRobust)
        }
        guard reader.isAtEnd else {
            throw .invalidArtifact("\(bytes.count) bytes are too many for \(columns) columns")
        }
        for (column, feature) in features.enumerated() {
            guard feature.count >= 0, feature.count <= Double(Self.maximumCount),
                feature.count == feature.count.rounded(), feature.mean.isFinite, feature.spread >= 0,
                feature.spread.isFinite
            else { throw .invalidArtifact("column \(column) holds a number that cannot be") }
        }
    }

    private static func wide(
        _ reader: inout PayloadReader, _ columns: Int
    ) throws(DetectorError) -> [FeatureMoments] {
        var features: [FeatureMoments] = []
        for _ in 0..<columns {
            features.append(
                FeatureMoments(
                    count: try reader.double(), mean: try reader.double(), spread: try reader.double()))
        }
        return features
    }

    private static func narrow(
        _ reader: inout PayloadReader, _ columns: Int, most: UInt64, isRobust: Bool
    ) throws(DetectorError) -> [FeatureMoments] {
        var features: [FeatureMoments] = []
        for _ in 0..<columns {
            features.append(
                isRobust
                    ? FeatureMoments(mean: Double(try reader.float()), spread: Double(try reader.float()))
                    : FeatureMoments(mean: try reader.double(), spread: try reader.double()))
        }
        var hasMost = false
        for column in 0..<columns {
            let fewer = try reader.varying()
            guard fewer <= most else { throw .invalidArtifact("column \(column) has seen less than nothing") }
            features[column].count = Double(most - fewer)
            hasMost = hasMost || fewer == 0
        }
        guard hasMost else { throw .invalidArtifact("no column has seen the most values") }
        return features
    }
}
