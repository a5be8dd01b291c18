import DetectorAPI

/// The artifact, format 1, little-endian: 32 bytes of header, then 24 bytes for each feature.
///
///     0   UInt32  magic "ZSCR"        4  UInt16  format 1
///     6   UInt8   1: robust           7  UInt8   combination: 0 sum, 1 largest
///     8   UInt32  columns             12  zeros
///     32  Double count, mean (or median), spread (sum of squares, or the robust deviation); for each column
struct ZScorePayload {
    static let magic: UInt32 = 0x5243_535A
    static let version: UInt16 = 1
    static let headerSize = 32
    static let featureSize = 24
    static let maximumColumns = 65_536

    var features: [FeatureMoments]
    var isRobust: Bool
    var combination: Combination

    init(features: [FeatureMoments], isRobust: Bool, combination: Combination) {
        self.features = features
        self.isRobust = isRobust
        self.combination = combination
    }

    func encode() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.headerSize + features.count * Self.featureSize)
        bytes.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt32.self)
            bytes.storeBytes(of: Self.version, toByteOffset: 4, as: UInt16.self)
            bytes.storeBytes(of: isRobust ? 1 : 0, toByteOffset: 6, as: UInt8.self)
            bytes.storeBytes(of: combination.rawValue, toByteOffset: 7, as: UInt8.self)
            bytes.storeBytes(of: UInt32(features.count), toByteOffset: 8, as: UInt32.self)
            for (column, feature) in features.enumerated() {
                let offset = Self.headerSize + column * Self.featureSize
                bytes.storeBytes(of: feature.count, toByteOffset: offset, as: Double.self)
                bytes.storeBytes(of: feature.mean, toByteOffset: offset + 8, as: Double.self)
                bytes.storeBytes(of: feature.spread, toByteOffset: offset + 16, as: Double.self)
            }
        }
        return bytes
    }

    init(checking bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        guard bytes.count >= Self.headerSize else {
            throw .invalidArtifact("\(bytes.count) bytes are shorter than the header of \(Self.headerSize)")
        }
        guard bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self) == Self.magic else {
            throw .invalidArtifact("it does not start as a z-score baseline does")
        }
        let version = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        guard version == Self.version else {
            throw .invalidArtifact("format \(version) is not known; this detector reads \(Self.version)")
        }
        guard bytes[6] <= 1, let combination = Combination(rawValue: bytes[7]) else {
            throw .invalidArtifact("an option in its header is not known")
        }
        let columns = Int(bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        guard (1...Self.maximumColumns).contains(columns),
            bytes.count == Self.headerSize + columns * Self.featureSize
        else { throw .invalidArtifact("\(bytes.count) bytes do not hold \(columns) columns") }
        isRobust = bytes[6] == 1
        self.combination = combination
        features = (0..<columns).map { column in
            let offset = Self.headerSize + column * Self.featureSize
            return FeatureMoments(
                count: bytes.loadUnaligned(fromByteOffset: offset, as: Double.self),
                mean: bytes.loadUnaligned(fromByteOffset: offset + 8, as: Double.self),
                spread: bytes.loadUnaligned(fromByteOffset: offset + 16, as: Double.self))
        }
        for (column, feature) in features.enumerated() {
            guard feature.count >= 0, feature.count.isFinite, feature.mean.isFinite,
                feature.spread >= 0, feature.spread.isFinite
            else { throw .invalidArtifact("column \(column) holds a number that cannot be") }
        }
    }
}
