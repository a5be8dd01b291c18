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
    var storage: Storage
    var mode: Mode
    /// Columns a cut, in the extended mode.
    var dimensions: Int

    enum Mode: String, Sendable {
        case auto, standard, guided, extended
    }

    enum Storage: String, Sendable {
        case auto, plain, packed
    }

    /// Models fitted on this many rows or fewer are packed unless told otherwise.
    static let packedRows = 20_000

    /// Fewer rows say too little about tails and gaps.
    static let guidedRows = 64

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
        ParameterSpecification(
            "mode", .choice(["auto", "standard", "guided", "extended"]), default: .text("auto"),
            meaning:
                "standard cuts at random as in the paper; guided half of the trees in columns with heavy tails and "
                + "half at gaps; extended by several columns at once; auto is guided where there are at least "
                + "\(guidedRows) rows to tell tails and gaps from."),
        ParameterSpecification(
            "ndim", .integer(1...HyperplanePayload.maximumTerms), default: .integer(2),
            meaning: "Columns that a cut of the extended mode looks at."),
        ParameterSpecification(
            "storage", .choice(["auto", "plain", "packed"]), default: .text("auto"),
            meaning:
                "Artifacts that are scored from as they are, or a third as large; auto packs those fitted on "
                + "at most \(packedRows) rows, of which there may be many."),
    ]

    init(_ values: ParameterValues) {
        trees = values.integer("n_estimators")
        sampleSize = values.integer("max_samples")
        storage = Storage(rawValue: values.choice("storage")) ?? .auto
        mode = Mode(rawValue: values.choice("mode")) ?? .auto
        dimensions = values.integer("ndim")
        columnShare = values.real("max_features")
    }
}
