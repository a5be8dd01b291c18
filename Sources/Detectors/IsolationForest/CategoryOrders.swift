import DetectorAPI

/// How columns of categories become columns that trees can cut: each as some random orders of its categories.
///
/// A tree sees one of a column's orders, as numbers, and cuts it between two of them: what goes left is a random
/// subset of the categories, as with isotree's `categ_split_type = subset`, without a column for each of them. Other
/// trees see other orders. A category that the training rows lack has a place like any other. A value that is no
/// whole number below the column's cardinality is missing, in all of its orders.
///
/// The wide rows that trees see have the columns where they were, categorical ones as their first order, and behind
/// them the second orders of all categorical columns, the third ones, and so on.
struct CategoryOrders: Sendable {
    static let maximumCardinality = 65_536
    static let maximumOrders = 8
    /// Fewer would be too few subsets.
    static let leastOrders = 4
    /// Scoring has a fast way for rows of so many columns.
    private static let fastColumns = 64

    struct Column: Sendable, Hashable {
        /// In the rows outside.
        var column: UInt32
        var cardinality: UInt32
    }

    /// Of the rows outside.
    let columns: Int
    /// Ascending.
    let categorical: [Column]
    /// For each categorical column.
    let orders: Int
    /// The place of each category, column after column, order after order.
    let places: [UInt16]

    /// Columns of the wide rows.
    var wideColumns: Int { columns + (orders - 1) * categorical.count }

    /// Draws orders for the columns that hold categories; nil if none does.
    ///
    /// - Throws: `DetectorError.invalidInput` for a column of no categories or more than 65,536.
    init?(_ kinds: [FeatureColumn], columns: Int, seed: UInt64) throws(DetectorError) {
        var categorical: [Column] = []
        for (place, column) in kinds.prefix(columns).enumerated() {
            guard case .categorical(let cardinality) = column.kind else { continue }
            guard (1...Self.maximumCardinality).contains(cardinality) else {
                throw .invalidInput(
                    "column \(column.name) has \(cardinality) categories; 1 to \(Self.maximumCardinality) are possible"
                )
            }
            categorical.append(Column(column: UInt32(place), cardinality: UInt32(cardinality)))
        }
        if categorical.isEmpty { return nil }
        let room = (Self.fastColumns - (columns - categorical.count)) / categorical.count
        orders = min(Self.maximumOrders, max(Self.leastOrders, room))
        var places: [UInt16] = []
        var generator = SeededGenerator(seed: seed, stream: .max - 1)
        for column in categorical {
            for _ in 0..<orders {
                var order = (0..<Int(column.cardinality)).map { UInt16($0) }
                order.shuffle(using: &generator)
                places += order
            }
        }
        self.columns = columns
        self.categorical = categorical
        self.places = places
    }

    /// What was read from an artifact, not checked yet.
    fileprivate init(columns: Int, categorical: [Column], orders: Int, places: [UInt16]) {
        self.columns = columns
        self.categorical = categorical
        self.orders = orders
        self.places = places
    }

    /// Where a wide row has one of the orders of a categorical column, given by its place among `categorical`.
    @inline(__always)
    func cutColumn(of index: Int, order: Int) -> Int {
        order == 0 ? Int(categorical[index].column) : columns + (order - 1) * categorical.count + index
    }

    /// The column of the rows outside that a column of the wide rows tells of.
    func origin(_ wide: Int) -> Int {
        wide < columns ? wide : Int(categorical[(wide - columns) % categorical.count].column)
    }

    /// Whether a column of the wide rows holds places of categories.
    func isCategorical(_ wide: Int) -> Bool {
        wide >= columns || categorical.contains { $0.column == wide }
    }

    /// Writes a wide row.
    ///
    /// - Parameter row: `columns` values.
    func write(_ row: UnsafePointer<Float>, to wide: UnsafeMutablePointer<Float>) {
        wide.update(from: row, count: columns)
        categorical.withUnsafeBufferPointer { categorical in
            places.withUnsafeBufferPointer { places in
                var first = 0
                for index in categorical.indices {
                    let column = Int(categorical[index].column)
                    let cardinality = Int(categorical[index].cardinality)
                    let value = row[column]
                    let isKnown = value >= 0 && value < Float(cardinality) && value == value.rounded(.down)
                    for order in 0..<orders {
                        wide[cutColumn(of: index, order: order)] =
                            isKnown ? Float(places[first + Int(value)]) : .nan
                        first += cardinality
                    }
                }
            }
        }
    }

    /// Keeps one order, drawn at random, of each categorical column among the chosen ones, so that a tree cuts it as
    /// often as any other column.
    ///
    /// - Parameter chosen: One bit for each column of the rows outside.
    /// - Returns: One bit for each column of the wide rows.
    func drawOrders(_ chosen: [UInt64], _ generator: inout SeededGenerator) -> [UInt64] {
        var wide = chosen + [UInt64](repeating: 0, count: (wideColumns + 63) / 64 - chosen.count)
        for (index, column) in categorical.enumerated() {
            let bit: UInt64 = 1 << UInt64(column.column % 64)
            guard chosen[Int(column.column / 64)] & bit != 0 else { continue }
            let order = generator.below(orders)
            if order == 0 { continue }
            wide[Int(column.column / 64)] &= ~bit
            let target = cutColumn(of: index, order: order)
            wide[target / 64] |= 1 << UInt64(target % 64)
        }
        return wide
    }
}

/// The artifact of a forest that sees categories, format 1. Little-endian.
///
///     0   header, 64 bytes: magic, format, columns, categorical columns, orders
///     64  categorical   CategoryOrders.Column x categorical columns
///         places        UInt16 x orders x cardinality, column after column
///         forest        the artifact of a forest of the wide rows, plain, short or extended, to the end
///
/// The forest starts at a multiple of 64, so that it is scored from where it is.
extension CategoryOrders {
    private static let magic: UInt32 = 0x4352_4F46  // "FORC"
    private static let version: UInt16 = 1
    private static let headerSize = 64

    static func areIn(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= headerSize && bytes.loadUnaligned(as: UInt32.self) == magic
    }

    private static func forestOffset(categorical: Int, places: Int) -> Int {
        (headerSize + categorical * MemoryLayout<Column>.stride + places * 2).aligned
    }

    /// The artifact of a forest together with these orders.
    func artifact(with forest: [UInt8]) -> [UInt8] {
        let offset = Self.forestOffset(categorical: categorical.count, places: places.count)
        return [UInt8](unsafeUninitializedCapacity: offset + forest.count) { bytes, count in
            let bytes = UnsafeMutableRawBufferPointer(bytes)
            for place in 0..<offset { bytes[place] = 0 }
            bytes.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt32.self)
            bytes.storeBytes(of: Self.version, toByteOffset: 4, as: UInt16.self)
            bytes.storeBytes(of: UInt32(columns), toByteOffset: 8, as: UInt32.self)
            bytes.storeBytes(of: UInt32(categorical.count), toByteOffset: 12, as: UInt32.self)
            bytes.storeBytes(of: UInt32(orders), toByteOffset: 16, as: UInt32.self)
            bytes.copy(categorical, at: Self.headerSize)
            bytes.copy(places, at: Self.headerSize + categorical.count * MemoryLayout<Column>.stride)
            bytes.copy(forest, at: offset)
            count = offset + forest.count
        }
    }

    /// Reads and checks the orders of an artifact.
    ///
    /// - Precondition: `areIn(bytes)`.
    /// - Returns: Also the place of the forest.
    static func read(
        _ bytes: UnsafeRawBufferPointer
    ) throws(DetectorError) -> (orders: CategoryOrders, forest: Range<Int>) {
        let version = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        guard version == Self.version else {
            throw .invalidArtifact(
                "format \(version) of categories is not known; this detector reads \(Self.version)")
        }
        let columns = Int(bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let count = Int(bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        let orders = Int(bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        guard (1...ForestShape.maximumColumns).contains(columns), (1...columns).contains(count),
            (1...maximumOrders).contains(orders)
        else { throw .invalidArtifact("a number in its header is out of range") }
        guard bytes.count >= forestOffset(categorical: count, places: 0) else {
            throw .invalidArtifact("\(bytes.count) bytes are too few for its \(count) categorical columns")
        }
        let stride = MemoryLayout<Column>.stride
        let categorical = (0..<count).map {
            bytes.loadUnaligned(fromByteOffset: headerSize + $0 * stride, as: Column.self)
        }
        var last = -1
        var placeCount = 0
        for column in categorical {
            guard Int(column.column) > last, column.column < columns,
                (1...UInt32(maximumCardinality)).contains(column.cardinality)
            else { throw .invalidArtifact("its categorical columns are out of order or range") }
            last = Int(column.column)
            placeCount += orders * Int(column.cardinality)
        }
        let offset = forestOffset(categorical: count, places: placeCount)
        guard bytes.count > offset else {
            throw .invalidArtifact(
                "\(bytes.count) bytes are too few for its \(placeCount) places of categories")
        }
        let places = (0..<placeCount).map {
            bytes.loadUnaligned(fromByteOffset: headerSize + count * stride + $0 * 2, as: UInt16.self)
        }
        let read = CategoryOrders(columns: columns, categorical: categorical, orders: orders, places: places)
        guard read.placesAreInRange else {
            throw .invalidArtifact("a category's place is not among its column's")
        }
        return (read, offset..<bytes.count)
    }

    private var placesAreInRange: Bool {
        var first = 0
        for column in categorical {
            let end = first + orders * Int(column.cardinality)
            if places[first..<end].contains(where: { UInt32($0) >= column.cardinality }) { return false }
            first = end
        }
        return true
    }
}
