import DetectorAPI

/// What boosted trees can be told. Names are LightGBM's.
struct BoostedParameters: Sendable {
    static let maximumTrees = 5_000

    var trees: Int
    var leaves: Int
    var learningRate: Double
    /// Rows that a leaf has at least.
    var leafRows: Int
    var lambda: Double
    /// The share of the columns that each tree may split on.
    var columnShare: Double
    var balance: Double
    /// Of frauds and of genuine rows.
    var leastLabels: Int

    static let specifications = [
        ParameterSpecification(
            "n_estimators", .integer(1...maximumTrees), default: .integer(200), meaning: "Number of trees."),
        ParameterSpecification(
            "num_leaves", .integer(2...BoostedPayload.maximumLeaves), default: .integer(31),
            meaning: "Leaves of a tree, at most."),
        ParameterSpecification(
            "learning_rate", .real(0.001...1), default: .real(0.05),
            meaning: "How much each tree adds of what it learned; with less, more trees are needed."),
        ParameterSpecification(
            "min_data_in_leaf", .integer(1...100_000), default: .integer(20),
            meaning: "Training rows that a leaf has at least."),
        ParameterSpecification(
            "lambda_l2", .real(0...10_000), default: .real(5),
            meaning: "Draws the values of leaves towards 0, the more the fewer rows they have."),
        ParameterSpecification(
            "feature_fraction", .real(0.05...1), default: .real(0.8),
            meaning: "Share of the columns that each tree may split on."),
        ParameterSpecification(
            "balance", .real(0...1), default: .real(0),
            meaning:
                "How much more a fraud counts than a genuine row: the ratio of their numbers to this power; 1 lets "
                + "both kinds weigh alike. Probabilities are calibrated afterwards all the same."),
        ParameterSpecification(
            "min_labels", .integer(2...1_000_000), default: .integer(50),
            meaning: "Labelled frauds, and genuine rows, that are wanted at least."),
    ]

    init(_ values: ParameterValues) {
        trees = values.integer("n_estimators")
        leaves = values.integer("num_leaves")
        learningRate = values.real("learning_rate")
        leafRows = values.integer("min_data_in_leaf")
        lambda = values.real("lambda_l2")
        columnShare = values.real("feature_fraction")
        balance = values.real("balance")
        leastLabels = values.integer("min_labels")
    }
}
