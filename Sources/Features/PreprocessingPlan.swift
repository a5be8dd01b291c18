import Transactions

/// A preprocessing made ready to apply: positions, factors, and a hash table for each categorical feature.
///
/// Immutable; any number of threads may apply it at once. Applying allocates nothing.
public struct PreprocessingPlan: Sendable {
    public let preprocessing: Preprocessing
    /// The encoded columns, in order.
    public var columns: [FeatureColumnInfo] { preprocessing.columns }
    let groups: [CategoryGroup]
    private let tables: PlanTables

    /// Hashes of a row's categories that `apply` reads: one for each of `FeatureSchema.categorical`.
    public static var categoryCount: Int { FeatureSchema.categorical.count }

    /// Columns of an encoded row.
    public let columnCount: Int

    /// Where the schema's numeric features are that the model may look at: those of the version that it was fitted to, and
    /// of references only if it uses any.
    public let featureRanges: [Range<Int>]

    /// Whether a column comes from reference tables.
    public let usesReferences: Bool

    /// Checks a preprocessing, from an artifact say, and compiles it.
    public init(_ preprocessing: Preprocessing) throws(PreprocessingError) {
        guard FeatureSchema.versions.contains(preprocessing.schemaVersion) else {
            throw .unsupportedSchema(preprocessing.schemaVersion)
        }
        let sources = try Self.sources(preprocessing)
        var scales: [ColumnScale] = []
        scales.reserveCapacity(sources.count)
        for (column, source) in zip(preprocessing.numeric, sources) {
            scales.append(try ColumnScale(column, source: source))
        }
        var groups: [CategoryGroup] = []
        var slots: [CategorySlot] = []
        var column = scales.count
        for group in preprocessing.categorical {
            let compiled = try CategoryGroup(
                group, preprocessing.encoding, firstColumn: column,
                unseenPlace: preprocessing.unseenPlace(group), slots: &slots)
            groups.append(compiled)
            column += compiled.columnCount
        }
        guard column > 0 else { throw .noColumns }
        self.preprocessing = preprocessing
        columnCount = column
        usesReferences = scales.contains { UserWindow.isReference($0.source) }
        let references = UserWindow.referenceRange
        let count = FeatureSchema.numericCount(version: preprocessing.schemaVersion)
        let compared =
            references.upperBound..<max(references.upperBound, min(count, UserWindow.fraudDaysPlace))
        featureRanges = usesReferences ? [0..<count] : [0..<references.lowerBound, compared]
        self.groups = groups
        let cold =
            preprocessing.coldBelow == nil
            ? [] : sources.indices.filter { Self.coldFeatures.contains(sources[$0]) }
        tables = PlanTables(
            scales: scales, groups: groups, slots: slots, coldBelow: preprocessing.coldBelow ?? 0,
            coldColumns: cold)
    }

    private static let coldFeatures = Set(Preprocessing.coldFeatures.compactMap(FeatureSchema.index))

    /// Checks the names of all features.
    ///
    /// - Returns: Where the numeric ones stand in the schema.
    private static func sources(_ preprocessing: Preprocessing) throws(PreprocessingError) -> [Int] {
        var isSeen = [Bool](repeating: false, count: FeatureSchema.all.count)
        var place = 0
        func find(_ name: String, in range: Range<Int>) throws(PreprocessingError) {
            guard let index = FeatureSchema.index(of: name, from: place), range.contains(index) else {
                throw .unknownFeature(name)
            }
            guard !isSeen[index] else { throw .repeatedFeature(name) }
            isSeen[index] = true
            place = index + 1
        }
        let numeric = 0..<FeatureSchema.numericCount(version: preprocessing.schemaVersion)
        let categorical = FeatureSchema.numeric.count..<FeatureSchema.all.count
        var sources: [Int] = []
        sources.reserveCapacity(preprocessing.numeric.count)
        for column in preprocessing.numeric {
            try find(column.feature, in: numeric)
            sources.append(place - 1)
        }
        for column in preprocessing.categorical { try find(column.feature, in: categorical) }
        return sources
    }

    /// Encodes a row.
    ///
    /// - Parameters:
    ///   - numeric: `UserWindow.featureCount` features; NaN is missing.
    ///   - categories: `categoryCount` hashes in the order of `FeatureSchema.categorical`; 0 is missing.
    ///   - encoded: `columnCount` places; each becomes finite or, for what is missing, NaN.
    public func apply(
        numeric: UnsafeBufferPointer<Float>, categories: UnsafeBufferPointer<UInt64>,
        into encoded: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(
            numeric.count >= UserWindow.featureCount && categories.count >= Self.categoryCount
                && encoded.count >= columnCount, "too few features or places")
        tables.apply(
            numeric, encoded, (categories[0], categories[1], categories[2], categories[3]), columnCount)
    }

    /// Encodes a row whose categories are in a batch.
    public func apply(
        numeric: UnsafeBufferPointer<Float>, batch: TransactionBatch, row: Int,
        into encoded: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(
            numeric.count >= UserWindow.featureCount && encoded.count >= columnCount,
            "too few features or places")
        tables.apply(numeric, encoded, Self.categories(batch, row: row), columnCount)
    }

    /// Writes the `categoryCount` hashes of a batch's row.
    public static func writeCategories(
        _ batch: TransactionBatch, row: Int, into hashes: UnsafeMutableBufferPointer<UInt64>
    ) {
        precondition(hashes.count >= categoryCount, "too few places for the categories")
        let categories = categories(batch, row: row)
        (hashes[0], hashes[1], hashes[2], hashes[3]) = categories
    }

    /// As `FeatureSchema.categorical` has them; a test keeps the two together.
    @inline(__always)
    private static func categories(_ batch: TransactionBatch, row: Int) -> (UInt64, UInt64, UInt64, UInt64) {
        (
            batch.hash(.category, row), batch.hash(.country, row), batch.hash(.channel, row),
            batch.hash(.currency, row)
        )
    }

    /// Where a numeric column stands in a row of numeric features.
    func source(ofColumn column: Int) -> Int { tables.source(ofColumn: column) }

    /// The number of a category's hash, which is not 0, among a group's categories; the pool's when it is none of them.
    func number(of hash: UInt64, in group: CategoryGroup) -> Int { tables.number(of: hash, in: group) }
}
