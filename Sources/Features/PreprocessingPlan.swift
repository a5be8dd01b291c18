import Transactions

/// A preprocessing made ready to apply: positions, factors, and a hash table for each categorical feature.
///
/// Immutable; any number of threads may apply it at once. Applying allocates nothing.
public struct PreprocessingPlan: Sendable {
    public let preprocessing: Preprocessing
    /// The encoded columns, in order.
    public let columns: [FeatureColumnInfo]
    /// Where each numeric column stands in a row of numeric features.
    let sources: [Int32]
    let centres: [Float]
    /// 1 / scale.
    let factors: [Float]
    let groups: [CategoryGroup]

    /// Hashes of a row's categories that `apply` reads: one for each of `FeatureSchema.categorical`.
    public static var categoryCount: Int { FeatureSchema.categorical.count }

    /// Columns of an encoded row.
    public var columnCount: Int { columns.count }

    /// Checks a preprocessing, from an artifact say, and compiles it.
    public init(_ preprocessing: Preprocessing) throws(PreprocessingError) {
        guard preprocessing.schemaVersion == FeatureSchema.version else {
            throw .unsupportedSchema(preprocessing.schemaVersion)
        }
        try Self.checkNames(preprocessing)
        var sources: [Int32] = []
        var centres: [Float] = []
        var factors: [Float] = []
        for column in preprocessing.numeric {
            let factor = Float(1 / column.scale)
            guard column.centre.isFinite, Float(column.centre).isFinite, column.scale > 0,
                column.scale.isFinite,
                factor.isFinite, factor > 0
            else { throw .badScale(feature: column.feature) }
            sources.append(Int32(FeatureSchema.index(of: column.feature) ?? 0))
            centres.append(Float(column.centre))
            factors.append(factor)
        }
        var groups: [CategoryGroup] = []
        var column = sources.count
        for group in preprocessing.categorical {
            groups.append(try CategoryGroup(group, firstColumn: column))
            column += group.categories.count + 1
        }
        guard column > 0 else { throw .noColumns }
        self.preprocessing = preprocessing
        self.columns = preprocessing.columns
        self.sources = sources
        self.centres = centres
        self.factors = factors
        self.groups = groups
    }

    private static func checkNames(_ preprocessing: Preprocessing) throws(PreprocessingError) {
        var seen: Set<String> = []
        let numbers = preprocessing.numeric.map { ($0.feature, Feature.Kind.numeric) }
        for (name, kind) in numbers + preprocessing.categorical.map({ ($0.feature, .categorical) }) {
            guard let index = FeatureSchema.index(of: name), FeatureSchema.all[index].kind == kind else {
                throw .unknownFeature(name)
            }
            guard seen.insert(name).inserted else { throw .repeatedFeature(name) }
        }
    }

    /// Encodes a row.
    ///
    /// - Parameters:
    ///   - numeric: `UserWindow.featureCount` features; NaN is missing.
    ///   - categories: `categoryCount` hashes in the order of `FeatureSchema.categorical`; 0 is missing.
    ///   - encoded: `columnCount` places; each becomes finite or, for a missing number, NaN.
    public func apply(
        numeric: UnsafeBufferPointer<Float>, categories: UnsafeBufferPointer<UInt64>,
        into encoded: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(
            numeric.count >= UserWindow.featureCount && categories.count >= Self.categoryCount
                && encoded.count >= columnCount, "too few features or places")
        scale(numeric, into: encoded)
        for index in sources.count..<columnCount { encoded[index] = 0 }
        for group in groups {
            let hash = categories[group.source]
            if hash != 0 { encoded[group.column(of: hash)] = 1 }
        }
    }

    /// Encodes a row whose categories are in a batch.
    public func apply(
        numeric: UnsafeBufferPointer<Float>, batch: TransactionBatch, row: Int,
        into encoded: UnsafeMutableBufferPointer<Float>
    ) {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.categoryCount) { hashes in
            Self.writeCategories(batch, row: row, into: hashes)
            apply(numeric: numeric, categories: UnsafeBufferPointer(hashes), into: encoded)
        }
    }

    /// Writes the `categoryCount` hashes of a batch's row.
    public static func writeCategories(
        _ batch: TransactionBatch, row: Int, into hashes: UnsafeMutableBufferPointer<UInt64>
    ) {
        precondition(hashes.count >= categoryCount, "too few places for the categories")
        for (index, (_, field)) in FeatureSchema.categorical.enumerated() {
            hashes[index] = batch.hash(field, row)
        }
    }

    private func scale(
        _ numeric: UnsafeBufferPointer<Float>, into encoded: UnsafeMutableBufferPointer<Float>
    ) {
        let limit = Float.greatestFiniteMagnitude
        for index in sources.indices {
            let value = (numeric[Int(sources[index])] - centres[index]) * factors[index]
            // Comparisons leave NaN alone.
            encoded[index] = value > limit ? limit : value < -limit ? -limit : value
        }
    }
}

/// The columns of one categorical feature, found by open addressing.
struct CategoryGroup: Sendable {
    /// Position in `FeatureSchema.categorical`.
    let source: Int
    let firstColumn: Int
    /// Categories of their own; the pool's column follows theirs.
    let categoryCount: Int
    /// A power of two, at least twice as many as categories.
    private let slots: [(hash: UInt64, column: Int)]

    init(_ group: Preprocessing.CategoricalColumns, firstColumn: Int) throws(PreprocessingError) {
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
        var size = 2
        while size < 2 * categories.count { size *= 2 }
        // Hash 0 means a free slot; no text has it.
        var slots = [(hash: UInt64, column: Int)](repeating: (0, 0), count: size)
        for (index, category) in categories.enumerated() {
            let hash = TextHash.hash(category)
            var slot = Int(truncatingIfNeeded: hash) & (size - 1)
            while slots[slot].hash != 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = (hash, firstColumn + index)
        }
        self.slots = slots
    }

    /// The column of a text's hash, which is not 0: its own or the pool's.
    @inline(__always)
    func column(of hash: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot].hash != 0 {
            if slots[slot].hash == hash { return slots[slot].column }
            slot = (slot + 1) & mask
        }
        return firstColumn + categoryCount
    }
}
