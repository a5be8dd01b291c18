import Transactions

/// How one numeric column is made.
struct ColumnScale {
    let source: Int
    let centre: Float
    /// 1 / scale.
    let factor: Float

    /// - Parameter source: The feature's position in the schema.
    init(_ column: Preprocessing.NumericColumn, source: Int) throws(PreprocessingError) {
        self.source = source
        centre = Float(column.centre)
        factor = Float(1 / column.scale)
        guard centre.isFinite, column.scale.isFinite, column.scale > 0, factor.isFinite, factor > 0 else {
            throw .badScale(feature: column.feature)
        }
    }
}

/// A plan's tables, in memory of their own: arrays would be retained and released for each row.
final class PlanTables: @unchecked Sendable {  // nothing is written after init
    private let sources: UnsafeMutableBufferPointer<Int32>
    private let centres: UnsafeMutableBufferPointer<Float>
    private let factors: UnsafeMutableBufferPointer<Float>
    private let groups: UnsafeMutableBufferPointer<CategoryGroup>
    /// The groups' hash tables, one after the other.
    private let slots: UnsafeMutableBufferPointer<CategorySlot>
    /// The columns are the schema's first features, in its order.
    private let isPrefix: Bool

    /// Columns that are missing for users with fewer transactions in 30 d.
    private let coldColumns: UnsafeMutableBufferPointer<Int32>
    private let coldBelow: Float
    /// Of `count_30d` in a row of features.
    private static let monthCount = 16

    init(
        scales: [ColumnScale], groups: [CategoryGroup], slots: [CategorySlot], coldBelow: Int = 0,
        coldColumns: [Int] = []
    ) {
        self.coldBelow = Float(coldBelow)
        self.coldColumns = .copy(of: coldColumns.map { Int32($0) })
        sources = .copy(of: scales.map { Int32($0.source) })
        centres = .copy(of: scales.map(\.centre))
        factors = .copy(of: scales.map(\.factor))
        self.groups = .copy(of: groups)
        self.slots = .copy(of: slots)
        isPrefix = scales.map(\.source) == Array(0..<scales.count)
    }

    deinit {
        sources.deallocate()
        centres.deallocate()
        factors.deallocate()
        groups.deallocate()
        slots.deallocate()
        coldColumns.deallocate()
    }

    func source(ofColumn column: Int) -> Int { Int(sources[column]) }

    func number(of hash: UInt64, in group: CategoryGroup) -> Int { group.number(of: hash, slots: slots) }

    @inline(__always)
    func apply(
        _ numeric: UnsafeBufferPointer<Float>, _ encoded: UnsafeMutableBufferPointer<Float>,
        _ categories: (UInt64, UInt64, UInt64, UInt64), _ columnCount: Int
    ) {
        if isPrefix {
            // The usual case, without gathering.
            for index in 0..<sources.count {
                encoded[index] = bounded((numeric[index] - centres[index]) * factors[index])
            }
        } else {
            for index in sources.indices {
                let value = numeric[Int(sources[index])]
                encoded[index] = bounded((value - centres[index]) * factors[index])
            }
        }
        if numeric[Self.monthCount] < coldBelow {
            for column in coldColumns { encoded[Int(column)] = .nan }
        }
        for index in sources.count..<columnCount { encoded[index] = 0 }
        for group in groups {
            let hash =
                switch group.source {
                case 0: categories.0
                case 1: categories.1
                case 2: categories.2
                default: categories.3
                }
            if group.isCode {
                encoded[group.firstColumn] = hash == 0 ? .nan : Float(group.place(of: hash, slots: slots))
            } else if hash != 0 {
                encoded[group.firstColumn + group.place(of: hash, slots: slots)] = 1
            }
        }
    }
}

extension UnsafeMutableBufferPointer where Element: BitwiseCopyable {
    fileprivate static func copy(of elements: [Element]) -> Self {
        let memory = allocate(capacity: elements.count)
        _ = memory.initialize(from: elements)
        return memory
    }
}

/// The nearest finite number; NaN stays.
@inline(__always)
private func bounded(_ value: Float) -> Float {
    let limit = Float.greatestFiniteMagnitude
    return value > limit ? limit : value < -limit ? -limit : value
}

/// A place in a hash table: a category's hash and number. Hash 0, which no text has, means that it is free.
struct CategorySlot: Sendable, BitwiseCopyable {
    var hash: UInt64 = 0
    var number = 0
}

/// The columns of one categorical feature, found by open addressing.
struct CategoryGroup: Sendable, BitwiseCopyable {
    /// Position in `FeatureSchema.categorical`.
    let source: Int
    let firstColumn: Int
    /// Categories of their own; the pool follows them.
    let categoryCount: Int
    /// Where texts without a category of their own are put: the pool, or the usual category.
    let unseenPlace: Int
    /// One column of the categories' numbers, not one for each.
    let isCode: Bool
    /// The table's place in the slots of all groups.
    private let firstSlot: Int
    /// The table's size, a power of two and at least twice the number of categories, less one.
    private let mask: Int

    /// - Parameter slots: The tables of the groups before; this one's is appended.
    init(
        _ group: Preprocessing.CategoricalColumns, _ encoding: Preprocessing.Encoding, firstColumn: Int,
        unseenPlace: Int, slots: inout [CategorySlot]
    ) throws(PreprocessingError) {
        let categories = group.categories
        var isSorted = categories.count <= Preprocessing.maximumCategories
        for (a, b) in zip(categories, categories.dropFirst()) where isSorted {
            isSorted = a.utf8.lexicographicallyPrecedes(b.utf8)
        }
        guard isSorted, !categories.contains(Preprocessing.pooled) else {
            throw .badCategories(feature: group.feature)
        }
        source = FeatureSchema.categorical.firstIndex { $0.feature.name == group.feature } ?? 0
        self.firstColumn = firstColumn
        categoryCount = categories.count
        self.unseenPlace = unseenPlace
        isCode = encoding == .native
        var size = 2
        while size < 2 * categories.count { size *= 2 }
        firstSlot = slots.count
        mask = size - 1
        slots += Array(repeating: CategorySlot(), count: size)
        for (index, category) in categories.enumerated() {
            let hash = TextHash.hash(category)
            var slot = Int(truncatingIfNeeded: hash) & mask
            while slots[firstSlot + slot].hash != 0 { slot = (slot + 1) & mask }
            slots[firstSlot + slot] = CategorySlot(hash: hash, number: index)
        }
    }

    var columnCount: Int { isCode ? 1 : categoryCount + 1 }

    /// Where a text's hash, which is not 0, is put.
    @inline(__always)
    func place(of hash: UInt64, slots: UnsafeMutableBufferPointer<CategorySlot>) -> Int {
        let number = number(of: hash, slots: slots)
        return number == categoryCount ? unseenPlace : number
    }

    /// The number of a text's hash, which is not 0: its category's or the pool's.
    @inline(__always)
    func number(of hash: UInt64, slots: UnsafeMutableBufferPointer<CategorySlot>) -> Int {
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[firstSlot + slot].hash != 0 {
            if slots[firstSlot + slot].hash == hash { return slots[firstSlot + slot].number }
            slot = (slot + 1) & mask
        }
        return categoryCount
    }
}
