import DetectorAPI

/// What an isolation forest can be told. Names and defaults are scikit-learn's.
struct ForestParameters: Sendable {
    static let maximumTrees = 10_000
    static let maximumSampleSize = 65_536

    var trees: Int
    /// Rows that each tree is grown from.
    var sampleSize: Int
    /// The share of the columns that each tree may split on.
    var columnShare: Double

    static let specifications = [
        ParameterSpecification(
            "n_estimators", .integer(1...maximumTrees), default: .integer(100), meaning: "Number of trees."),
        ParameterSpecification(
            "max_samples", .integer(1...maximumSampleSize), default: .integer(256),
            meaning:
                "Rows that each tree is grown from, drawn without replacement; all rows if there are fewer."),
        ParameterSpecification(
            "max_features", .real(0.001...1), default: .real(1),
            meaning: "Share of the columns that each tree may split on; at least one column."),
    ]

    init(_ values: ParameterValues) {
        trees = values.integer("n_estimators")
        sampleSize = values.integer("max_samples")
        columnShare = values.real("max_features")
    }
}
