/// A borrowed table of features: `count` rows of `columns` values, row-major, without gaps.
///
/// Valid only during the call that receives it.
@frozen
public struct FeatureRows {
    public let values: UnsafeBufferPointer<Float>
    public let columns: Int
    public let count: Int

    /// - Precondition: `values.count` is a multiple of `columns`, and `columns` is positive.
    @inlinable
    public init(_ values: UnsafeBufferPointer<Float>, columns: Int) {
        precondition(columns > 0 && values.count % columns == 0, "values are not whole rows")
        self.values = values
        self.columns = columns
        self.count = values.count / columns
    }

    /// One row.
    @inlinable
    public subscript(row: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: values[row * columns..<(row + 1) * columns])
    }

    /// Some of the rows, in place.
    @inlinable
    public subscript(rows: Range<Int>) -> FeatureRows {
        FeatureRows(
            UnsafeBufferPointer(rebasing: values[rows.lowerBound * columns..<rows.upperBound * columns]),
            columns: columns)
    }
}

/// What one column of the features means.
public struct FeatureColumn: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case numeric
        /// Values are whole numbers in `0..<cardinality`; anything else, NaN included, is missing.
        case categorical(cardinality: Int)
    }

    public let name: String
    public let kind: Kind

    public init(name: String, kind: Kind = .numeric) {
        self.name = name
        self.kind = kind
    }
}
