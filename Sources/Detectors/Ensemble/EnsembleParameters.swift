import DetectorAPI

/// What an ensemble can be told: some of its members' parameters, and how its members are weighed.
struct EnsembleParameters {
    /// The forest's and the z-score's parameters of the same names, with their ranges, defaults and meanings.
    static let forestNames = ["n_estimators", "max_samples", "mode"]
    static let zscoreNames = ["robust"]

    let forest: ParameterValues
    let zscore: ParameterValues
    /// Of the forest, the z-score of all columns, and all single columns together. Not all 0.
    let weights: (forest: Double, zscore: Double, columns: Double)
    let learns: Bool
    let firmness: Double

    static let specifications =
        EnsembleMembers.forest.info.parameters.filter { forestNames.contains($0.name) }
        + EnsembleMembers.zscore.info.parameters.filter { zscoreNames.contains($0.name) }
        + [
            weight("forest_weight", "Weight of the isolation forest."),
            weight("zscore_weight", "Weight of the z-score of all columns together."),
            weight(
                "column_weight",
                "Weight of the columns' z-scores, each by itself; they share it until labels tell them apart."
            ),
            ParameterSpecification(
                "learn", .boolean, default: .boolean(true),
                meaning: "Learn the weights from labels where there are enough."),
            ParameterSpecification(
                "firmness", .real(0.1...1_000_000), default: .real(20),
                meaning: "How firmly learned weights keep to those given: the strength of a ridge penalty."),
        ]

    private static func weight(_ name: String, _ meaning: String) -> ParameterSpecification {
        ParameterSpecification(name, .real(0...1_000), default: .real(1), meaning: meaning)
    }

    /// - Throws: `DetectorError.invalidParameter` when every weight is 0.
    init(_ values: ParameterValues) throws {
        func passed(_ names: [String]) -> [String: ParameterValue] {
            values.values.filter { names.contains($0.key) }
        }
        forest = try EnsembleMembers.forest.info.checked(passed(Self.forestNames))
        zscore = try EnsembleMembers.zscore.info.checked(passed(Self.zscoreNames))
        weights = (
            values.real("forest_weight"), values.real("zscore_weight"), values.real("column_weight")
        )
        learns = values.boolean("learn")
        firmness = values.real("firmness")
        guard weights.forest + weights.zscore + weights.columns > 0 else {
            throw DetectorError.invalidParameter(name: "forest_weight", reason: "every weight is 0")
        }
    }

    /// The weights of the members in their order: forest, z-score, then the columns. They sum to 1.
    func memberWeights(columns: Int) -> [Double] {
        let total = weights.forest + weights.zscore + weights.columns
        let each = weights.columns / Double(columns) / total
        return [weights.forest / total, weights.zscore / total] + [Double](repeating: each, count: columns)
    }
}
