import DetectorAPI

/// The artifact, format 1, little-endian; its parts start at multiples of 64 and are followed by zeros.
///
///     0   UInt32  magic "ENSB"        4  UInt16  format 1          6  zeros
///     8   UInt32  columns             12 UInt32  knots of all tables
///     16  UInt64  size of the z-score's artifact                   24 UInt64 size of the forest's
///     32  zeros
///     64  Double  weight, for each member: forest, z-score, columns
///     ..  UInt32  knots, for each member
///     ..  Float   value, -ln p, for each knot
///     ..  the z-score's artifact
///     ..  the forest's artifact
struct EnsemblePayload {
    static let magic: UInt32 = 0x4253_4E45
    static let version: UInt16 = 1
    static let headerSize = 64
    static let maximumColumns = 65_536

    let tables: [RankTable]
    let weights: [Double]
    let zscoreRange: Range<Int>
    let forestRange: Range<Int>

    static func encode(
        forest: [UInt8], zscore: [UInt8], tables: [RankTable], weights: [Double]
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        func align() { bytes += [UInt8](repeating: 0, count: -bytes.count & 63) }
        append(magic)
        append(UInt32(version))
        append(UInt32(tables.count - 2))
        append(UInt32(tables.reduce(0) { $0 + $1.values.count }))
        append(UInt64(zscore.count))
        append(UInt64(forest.count))
        align()
        for weight in weights { append(weight.bitPattern) }
        for table in tables { append(UInt32(table.values.count)) }
        for table in tables {
            for (value, surprise) in zip(table.values, table.surprises) {
                append(value.bitPattern)
                append(surprise.bitPattern)
            }
        }
        align()
        bytes += zscore
        align()
        bytes += forest
        return bytes
    }

    /// Checks everything but the members' artifacts.
    init(checking bytes: UnsafeRawBufferPointer) throws(DetectorError) {
        guard bytes.count >= Self.headerSize else {
            throw .invalidArtifact("\(bytes.count) bytes are shorter than the header of \(Self.headerSize)")
        }
        guard bytes.number(at: 0, UInt32.self) == Self.magic else {
            throw .invalidArtifact("it does not start as an ensemble does")
        }
        let version = bytes.number(at: 4, UInt32.self)
        guard version == UInt32(Self.version) else {
            throw .invalidArtifact("format \(version) is not known; this detector reads \(Self.version)")
        }
        let columns = Int(bytes.number(at: 8, UInt32.self))
        let knots = Int(bytes.number(at: 12, UInt32.self))
        let zscoreSize = bytes.number(at: 16, UInt64.self)
        let forestSize = bytes.number(at: 24, UInt64.self)
        let members = columns + 2
        guard (1...Self.maximumColumns).contains(columns), knots <= members * RankTable.maximumKnots,
            zscoreSize <= UInt64(bytes.count), forestSize <= UInt64(bytes.count)
        else { throw .invalidArtifact("its header tells of sizes that no ensemble has") }
        let countsOffset = Self.headerSize + 8 * members
        let knotsOffset = countsOffset + 4 * members
        let knotsEnd = knotsOffset + 8 * knots
        let zscoreOffset = (knotsEnd + 63) & ~63
        zscoreRange = zscoreOffset..<zscoreOffset + Int(zscoreSize)
        let forestOffset = (zscoreRange.upperBound + 63) & ~63
        forestRange = forestOffset..<forestOffset + Int(forestSize)
        guard bytes.count == forestRange.upperBound else {
            throw .invalidArtifact("\(bytes.count) bytes where its header says \(forestRange.upperBound)")
        }
        guard
            [32..<Self.headerSize, knotsEnd..<zscoreOffset, zscoreRange.upperBound..<forestOffset].allSatisfy(
                {
                    bytes[$0].allSatisfy { $0 == 0 }
                })
        else { throw .invalidArtifact("there is something between its parts") }
        weights = (0..<members).map { bytes.double(at: Self.headerSize + 8 * $0) }
        try Self.check(weights)
        tables = try Self.tables(bytes, members: members, countsOffset: countsOffset, knots: knots)
    }

    private static func check(_ weights: [Double]) throws(DetectorError) {
        var sum = 0.0
        for weight in weights {
            guard weight >= 0, weight <= 1 else { throw .invalidArtifact("a weight is not from 0 to 1") }
            sum += weight
        }
        guard abs(sum - 1) < 1e-6 else { throw .invalidArtifact("its weights sum to \(sum), not to 1") }
    }

    private static func tables(
        _ bytes: UnsafeRawBufferPointer, members: Int, countsOffset: Int, knots: Int
    ) throws(DetectorError) -> [RankTable] {
        var tables: [RankTable] = []
        tables.reserveCapacity(members)
        var left = knots
        var offset = countsOffset + 4 * members
        for member in 0..<members {
            let count = Int(bytes.number(at: countsOffset + 4 * member, UInt32.self))
            guard count <= min(left, RankTable.maximumKnots) else {
                throw .invalidArtifact("member \(member) has more knots than there are")
            }
            left -= count
            var values: [Float] = []
            var surprises: [Float] = []
            for _ in 0..<count {
                let value = Float(bitPattern: bytes.number(at: offset, UInt32.self))
                let surprise = Float(bitPattern: bytes.number(at: offset + 4, UInt32.self))
                guard value >= 0, value.isFinite, values.last.map({ $0 < value }) ?? true,
                    surprise > surprises.last ?? 0, surprise < RankTable.greatestKnot
                else { throw .invalidArtifact("the knots of member \(member) do not ascend") }
                values.append(value)
                surprises.append(surprise)
                offset += 8
            }
            tables.append(RankTable(values: values, surprises: surprises))
        }
        guard left == 0 else { throw .invalidArtifact("it has \(left) knots of no member") }
        return tables
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func number<Number: FixedWidthInteger>(at offset: Int, _: Number.Type) -> Number {
        Number(littleEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    fileprivate func double(at offset: Int) -> Double {
        Double(bitPattern: number(at: offset, UInt64.self))
    }
}
