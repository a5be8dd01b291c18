import DetectorAPI

/// The artifact, little-endian:
///
///     0   UInt32  magic "TAIL"        4  UInt32  format: 1 or 2 (`TailLaw`), 3: 2 with groups
///     8   UInt32  columns             12 Float   limit of low surprises
///     16  for each column: UInt8 shape; Double weight; then by shape
///         0 empty, 4 cosine: nothing
///         1 number: the high side, the low side; a side: UInt8 knots; Float value, surprise of each;
///           Float shoulder (NaN: none); Float surprise outside
///         2 codes: UInt32 how many; Float surprise of each, NaN: says nothing
///         3 sine: UInt8 places; Float sine, cosine, surprise of each
///         5 groups, format 3: UInt32 bytes, these among them; UInt32 place of the categorical column; UInt32 codes;
///           UInt32 for each code where its sides begin, counted from `bytes`, 0: those of all rows; the two sides of
///           all rows; then those of the codes that have some, in their order
struct TailPayload: Hashable, Sendable {
    static let magic: UInt32 = 0x4C49_4154
    static let maximumColumns = 65_536
    private static let maximumCodes = 65_536
    /// Bytes before the first column.
    static let headerSize = 16
    /// Shape and weight.
    static let columnSize = 9

    var columns: [TailColumn]
    /// Surprises of low values are at most this.
    var lowLimit: Float
    var law = TailLaw.excess

    /// Written where a column has groups only, so that other models are read by whatever read them before.
    private static let groupedFormat: UInt32 = 3

    private var hasGroups: Bool {
        columns.contains { if case .grouped = $0.shape { true } else { false } }
    }

    func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(number: Self.magic)
        bytes.append(number: hasGroups ? Self.groupedFormat : law.rawValue)
        bytes.append(number: UInt32(columns.count))
        bytes.append(number: lowLimit.bitPattern)
        for column in columns {
            bytes.append(column.shape.tag.rawValue)
            bytes.append(number: column.weight.bitPattern)
            switch column.shape {
            case .empty, .cosine: break
            case .number(let high, let low):
                for side in [high, low] { bytes.append(side) }
            case .grouped(let groups): bytes.append(groups)
            case .codes(let surprises):
                bytes.append(number: UInt32(surprises.count))
                for surprise in surprises { bytes.append(float: surprise) }
            case .sine(let places):
                bytes.append(UInt8(places.count))
                for place in places {
                    for value in [place.sine, place.cosine, place.surprise] { bytes.append(float: value) }
                }
            }
        }
        return bytes
    }

    /// What a payload says of all its columns.
    struct Check {
        var columns: Int
        var lowLimit: Float
        var law: TailLaw
        /// Their sum.
        var weights = 0.0
    }

    /// Everything that scoring relies on.
    ///
    /// - Throws: `DetectorError.invalidArtifact`.
    static func check(_ bytes: UnsafeRawBufferPointer) throws(DetectorError) -> Check {
        var reader = TailReader(bytes)
        guard try reader.number(UInt32.self) == magic else {
            throw .invalidArtifact("it does not start as a tail-surprise model does")
        }
        let format = try reader.number(UInt32.self)
        guard let law = format == groupedFormat ? .excess : TailLaw(rawValue: format) else {
            throw .invalidArtifact("format \(format) is not known; this detector reads 1, 2 and 3")
        }
        let count = Int(try reader.number(UInt32.self))
        let limit = try reader.float()
        guard (1...maximumColumns).contains(count), limit >= 0, limit <= 60 else {
            throw .invalidArtifact("its header is damaged")
        }
        var check = Check(columns: count, lowLimit: limit, law: law)
        var isAfterSine = false
        for place in 0..<count {
            let tag = TailColumn.Tag(rawValue: try reader.number(UInt8.self))
            let weight = Double(bitPattern: try reader.number(UInt64.self))
            guard weight >= 1, weight <= 1_000 else {
                throw .invalidArtifact("column \(place) has a weight that cannot be")
            }
            check.weights += weight
            if tag == .cosine, !isAfterSine {
                throw .invalidArtifact("column \(place) is a cosine without a sine")
            }
            if isAfterSine, tag != .cosine { throw .invalidArtifact("column \(place) should be a cosine") }
            isAfterSine = tag == .sine
            switch tag {
            case .empty, .cosine: break
            case .number:
                try reader.passSide(place)
                try reader.passSide(place)
            case .grouped where format == groupedFormat:
                try reader.passGroups(place, columns: count, most: maximumCodes)
            case .codes: try reader.passCodes(place, most: maximumCodes)
            case .sine: try reader.passPlaces(place)
            case .grouped, nil: throw .invalidArtifact("column \(place) is of a shape that is not known")
            }
        }
        if isAfterSine { throw .invalidArtifact("the last column is a sine") }
        guard reader.isAtEnd else { throw .invalidArtifact("there are bytes after its last column") }
        return check
    }
}

extension TailColumn.Shape {
    fileprivate var tag: TailColumn.Tag {
        switch self {
        case .empty: .empty
        case .number: .number
        case .grouped: .grouped
        case .codes: .codes
        case .sine: .sine
        case .cosine: .cosine
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    /// NaN as its one canonical pattern.
    fileprivate mutating func append(float: Float) {
        append(number: (float.isNaN ? Float.nan : float).bitPattern)
    }

    fileprivate mutating func append(_ groups: TailGroups) {
        let header = 12 + 4 * groups.codes.count
        var sides: [UInt8] = []
        sides.append(groups.all.high)
        sides.append(groups.all.low)
        var places: [Int] = []
        for code in groups.codes {
            places.append(code == nil ? 0 : header + sides.count)
            guard let code else { continue }
            sides.append(code.high)
            sides.append(code.low)
        }
        for number in [header + sides.count, groups.column, groups.codes.count] + places {
            append(number: UInt32(number))
        }
        append(contentsOf: sides)
    }

    fileprivate mutating func append(_ side: TailSide) {
        append(UInt8(side.values.count))
        for (value, surprise) in zip(side.values, side.surprises) {
            append(float: value)
            append(float: surprise)
        }
        append(float: side.shoulder ?? .nan)
        append(float: side.outside)
    }
}

/// Little-endian numbers of a payload, from front to back, checked.
private struct TailReader {
    private let bytes: UnsafeRawBufferPointer
    private var place = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }

    mutating func number<Number: FixedWidthInteger>(_: Number.Type) throws(DetectorError) -> Number {
        let size = MemoryLayout<Number>.size
        guard bytes.count - place >= size else {
            throw .invalidArtifact("its \(bytes.count) bytes end too early")
        }
        defer { place += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Number.self))
    }

    mutating func float() throws(DetectorError) -> Float { Float(bitPattern: try number(UInt32.self)) }

    /// Floats that lie one after another, passed over.
    private mutating func floats(_ count: Int) throws(DetectorError) -> Floats {
        guard count * 4 <= bytes.count - place, let start = bytes.baseAddress else {
            throw .invalidArtifact("its \(bytes.count) bytes end too early")
        }
        defer { place += count * 4 }
        return Floats(start: start + place, count: count)
    }

    private struct Floats {
        let start: UnsafeRawPointer
        let count: Int

        subscript(_ index: Int) -> Float {
            Float(bitPattern: UInt32(littleEndian: (start + 4 * index).loadUnaligned(as: UInt32.self)))
        }
    }

    mutating func passSide(_ column: Int) throws(DetectorError) {
        let count = Int(try number(UInt8.self))
        guard (1...TailSide.maximumKnots).contains(count) else { throw Self.wrongSide(column) }
        // Value and surprise of each knot, the shoulder, the surprise outside.
        let floats = try floats(2 * count + 2)
        let (shoulder, outside) = (floats[2 * count], floats[2 * count + 1])
        var (last, lastSurprise) = (-Float.infinity, Float(0))
        var isShoulderFound = shoulder.isNaN
        for knot in 0..<count {
            let (value, surprise) = (floats[2 * knot], floats[2 * knot + 1])
            guard value > last, value.isFinite, surprise >= lastSurprise else { throw Self.wrongSide(column) }
            // One before the last.
            if value == shoulder, knot < count - 1 { isShoulderFound = true }
            (last, lastSurprise) = (value, surprise)
        }
        let greatest = Float(TailSide.greatest)
        guard lastSurprise <= greatest, outside >= 0, outside <= greatest, isShoulderFound else {
            throw Self.wrongSide(column)
        }
    }

    private static func wrongSide(_ column: Int) -> DetectorError {
        .invalidArtifact("column \(column) has a side that cannot be")
    }

    mutating func passGroups(_ column: Int, columns: Int, most: Int) throws(DetectorError) {
        let start = place
        let size = Int(try number(UInt32.self))
        let by = Int(try number(UInt32.self))
        let count = Int(try number(UInt32.self))
        guard by < columns, by != column, (1...most).contains(count) else { throw Self.wrongGroups(column) }
        let places = place
        _ = try floats(count)
        try passSide(column)
        try passSide(column)
        for code in 0..<count {
            let first = bytes.loadUnaligned(fromByteOffset: places + 4 * code, as: UInt32.self)
            guard first != 0 else { continue }
            guard Int(UInt32(littleEndian: first)) == place - start else { throw Self.wrongGroups(column) }
            try passSide(column)
            try passSide(column)
        }
        guard size == place - start else { throw Self.wrongGroups(column) }
    }

    private static func wrongGroups(_ column: Int) -> DetectorError {
        .invalidArtifact("column \(column) has groups that cannot be")
    }

    mutating func passCodes(_ column: Int, most: Int) throws(DetectorError) {
        let count = Int(try number(UInt32.self))
        guard (1...most).contains(count) else {
            throw .invalidArtifact("column \(column) has \(count) codes")
        }
        let surprises = try floats(count)
        for code in 0..<count {
            let surprise = surprises[code]
            guard surprise.isNaN || (surprise >= 0 && surprise <= Float(TailSide.greatest)) else {
                throw .invalidArtifact("column \(column) has a code of impossible surprise")
            }
        }
    }

    mutating func passPlaces(_ column: Int) throws(DetectorError) {
        let count = Int(try number(UInt8.self))
        guard (1...TailColumn.maximumPlaces).contains(count) else {
            throw .invalidArtifact("column \(column) has \(count) places")
        }
        let floats = try floats(3 * count)
        for place in 0..<count {
            let (sine, cosine, surprise) = (floats[3 * place], floats[3 * place + 1], floats[3 * place + 2])
            guard sine.isFinite, cosine.isFinite, surprise >= 0, surprise <= Float(TailSide.greatest) else {
                throw .invalidArtifact("column \(column) has a place that cannot be")
            }
        }
    }
}
