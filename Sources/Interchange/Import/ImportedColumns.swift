import DetectorAPI
import Features

/// Which features the columns of an imported forest are.
struct ImportedColumns {
    /// The features as they are, in the schema's order.
    let preprocessing: Preprocessing
    /// For each column of the graph its place in the schema's order.
    private let places: [Int]

    /// - Throws: `InterchangeError.features` naming what is unknown, not a number, or there twice.
    static func check(_ features: [String]) throws(InterchangeError) {
        let numeric = FeatureSchema.numeric.map(\.name)
        var seen: Set<String> = []
        for name in features {
            guard numeric.contains(name) else {
                let known = numeric.joined(separator: ", ")
                throw .features(
                    FeatureSchema.index(of: name) != nil
                        ? "feature \(name) is a category; a forest's columns are numbers: \(known)"
                        : "there is no feature '\(name)'; there are: \(known)")
            }
            guard seen.insert(name).inserted else { throw .features("feature \(name) is named twice") }
        }
    }

    init(_ features: [String], graphColumns: Int) throws(InterchangeError) {
        try Self.check(features)
        guard features.count == graphColumns else {
            throw .features(
                "the graph takes \(graphColumns) columns, but \(features.count) features are named")
        }
        let ordered = FeatureSchema.numeric.map(\.name).filter { features.contains($0) }
        places = features.map { ordered.firstIndex(of: $0) ?? 0 }
        preprocessing = Preprocessing(
            scaling: .none,
            numeric: ordered.map { .init(feature: $0, centre: 0, scale: 1, usual: .nan) }, categorical: [])
    }

    func reorder(_ trees: inout IsolationTrees) {
        for tree in trees.trees.indices {
            for node in trees.trees[tree].indices {
                if case .cut(let column, let threshold, let missing, let left, let right) = trees.trees[tree][
                    node]
                {
                    trees.trees[tree][node] = .cut(
                        column: places[column], threshold: threshold, missingGoesLeft: missing, left: left,
                        right: right)
                }
            }
        }
    }
}
