import DetectorAPI

/// The artifact, little-endian:
///
///     0   UInt32  magic "TAIL"        4  UInt32  format: 1 or 2, of the same layout (`TailLaw`)
///     8   UInt32  columns             12 Float   limit of low surprises
///     16  for each column: UInt8 shape; Double weight; then by shape
///         0 empty, 4 cosine: nothing
///         1 number: the high side, the low side; a side: UInt8 knots; Float value, surprise of each;
///           Float shoulder (NaN: none); Float surprise outside
///         2 codes: UInt32 how many; Float surprise of each, NaN: says nothing
///         3 sine: UInt8 places; Float sine, cosine, surprise of each
struct TailPayload: Hashable, Sendable {
    static let magic: UInt32 = 0x4C49_4154
    static let maximumColumns = 65_536
    private static let maximumCodes = 65_536

    var columns: [TailColumn]
    /// Surprises of low values are at most this.
    var lowLimit: Float
    var law = TailLaw.excess

    func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(number: Self.magic)
        bytes.append(number: law.rawValue)
        bytes.append(number: UInt32(columns.count))
        bytes.append(number: lowLimit.bitPattern)
        for column in columns {
            bytes.append(column.shape.tag)
            bytes.append(number: column.weight.bitPattern)
            switch column.shape {
            case .empty, .cosine: break
            case .number(let high, let low):
                for side in [high, low] { bytes.append(side) }
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

    /// - Throws: `DetectorError.invalidArtifact`.
    static func decode(_ bytes: UnsafeRawBufferPointer) throws(DetectorError) -> TailPayload {
        var reader = TailReader(bytes)
        guard try reader.number(UInt32.self) == magic else {
            throw .invalidArtifact("it does not start as a tail-surprise model does")
        }
        let format = try reader.number(UInt32.self)
        guard let law = TailLaw(rawValue: format) else {
            throw .invalidArtifact("format \(format) is not known; this detector reads 1 and 2")
        }
        let count = Int(try reader.number(UInt32.self))
        let limit = try reader.float()
        guard (1...maximumColumns).contains(count), limit >= 0, limit <= 60 else {
            throw .invalidArtifact("its header is damaged")
        }
        var columns: [TailColumn] = []
        columns.reserveCapacity(min(count, bytes.count / 9))  // nine bytes a column at least
        for place in 0..<count {
            let tag = try reader.number(UInt8.self)
            let weight = Double(bitPattern: try reader.number(UInt64.self))
            guard weight >= 1, weight <= 1_000 else {
                throw .invalidArtifact("column \(place) has a weight that cannot be")
            }
            let shape: TailColumn.Shape
            switch tag {
            case 0: shape = .empty
            case 1: shape = .number(high: try reader.side(place), low: try reader.side(place))
            case 2: shape = .codes(try reader.codes(place, most: maximumCodes))
            case 3: shape = .sine(try reader.places(place))
            case 4:
                guard case .sine? = columns.last?.shape else {
                    throw .invalidArtifact("column \(place) is a cosine without a sine")
                }
                shape = .cosine
            default: throw .invalidArtifact("column \(place) is of a shape that is not known")
            }
            if case .sine? = columns.last?.shape, tag != 4 {
                throw .invalidArtifact("column \(place) should be a cosine")
            }
            columns.append(TailColumn(shape: shape, weight: weight))
        }
        if case .sine? = columns.last?.shape { throw .invalidArtifact("the last column is a sine") }
        guard reader.isAtEnd else { throw .invalidArtifact("there are bytes after its last column") }
        return TailPayload(columns: columns, lowLimit: limit, law: law)
    }
}

extension TailColumn.Shape {
    fileprivate var tag: UInt8 {
        switch self {
        case .empty: 0
        case .number: 1
        case .codes: 2
        case .sine: 3
        case .cosine: 4
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

    mutating func side(_ column: Int) throws(DetectorError) -> TailSide {
        let damaged = DetectorError.invalidArtifact("column \(column) has a side that cannot be")
        let count = Int(try number(UInt8.self))
        guard (1...TailSide.maximumKnots).contains(count) else { throw damaged }
        var (values, surprises): ([Float], [Float]) = ([], [])
        values.reserveCapacity(count)
        surprises.reserveCapacity(count)
        for _ in 0..<count {
            let (value, surprise) = (try float(), try float())
            guard value.isFinite, surprise >= 0, surprise <= Float(TailSide.greatest),
                values.last.map({ $0 < value }) ?? true, surprises.last.map({ $0 <= surprise }) ?? true
            else { throw damaged }
            values.append(value)
            surprises.append(surprise)
        }
        let shoulder = try float()
        let outside = try float()
        guard outside >= 0, outside <= Float(TailSide.greatest) else { throw damaged }
        guard !shoulder.isNaN else {
            return TailSide(values: values, surprises: surprises, shoulder: nil, outside: outside)
        }
        guard values.dropLast().contains(shoulder) else { throw damaged }
        return TailSide(values: values, surprises: surprises, shoulder: shoulder, outside: outside)
    }

    mutating func codes(_ column: Int, most: Int) throws(DetectorError) -> [Float] {
        let count = Int(try number(UInt32.self))
        guard (1...most).contains(count) else {
            throw .invalidArtifact("column \(column) has \(count) codes")
        }
        var surprises: [Float] = []
        surprises.reserveCapacity(min(count, bytes.count / 4))
        for _ in 0..<count {
            let surprise = try float()
            guard surprise.isNaN || (surprise >= 0 && surprise <= Float(TailSide.greatest)) else {
                throw .invalidArtifact("column \(column) has a code of impossible surprise")
            }
            surprises.append(surprise)
        }
        return surprises
    }

    mutating func places(_ column: Int) throws(DetectorError) -> [TailPlace] {
        let count = Int(try number(UInt8.self))
        guard (1...TailColumn.maximumPlaces).contains(count) else {
            throw .invalidArtifact("column \(column) has \(count) places")
        }
        var places: [TailPlace] = []
        for _ in 0..<count {
            let place = TailPlace(sine: try float(), cosine: try float(), surprise: try float())
            guard place.sine.isFinite, place.cosine.isFinite, place.surprise >= 0,
                place.surprise <= Float(TailSide.greatest)
            else { throw .invalidArtifact("column \(column) has a place that cannot be") }
            places.append(place)
        }
        return places
    }
}
