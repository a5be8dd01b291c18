import DetectorAPI

extension IsolationTrees {
    /// The attributes of a TreeEnsembleRegressor whose output is the mean path length over the normaliser.
    ///
    /// Thresholds and weights are doubles, so that the sum over the trees is rounded to a float once, at the end.
    func ensembleAttributes() -> [ONNXAttributeProto] {
        var nodes = Nodes()
        // A normaliser of 0 means -0.5 for every row: 1 = -log2(0.5), in equal parts.
        let scale = 1 / (Double(trees.count) * (normaliser > 0 ? normaliser : 1))
        for (tree, content) in trees.enumerated() {
            for (place, node) in content.enumerated() {
                switch node {
                case .cut(let column, let threshold, let missingGoesLeft, let left, let right):
                    nodes.add(
                        tree, place, column, "BRANCH_LEQ", Double(threshold), left, right, missingGoesLeft)
                case .leaf(let pathLength, _):
                    nodes.add(tree, place, 0, "LEAF", 0, 0, 0, false)
                    nodes.addWeight(tree, place, (normaliser > 0 ? pathLength : 1) * scale)
                }
            }
        }
        return nodes.attributes
    }
}

private struct Nodes {
    private var treeIDs: [Int64] = []
    private var nodeIDs: [Int64] = []
    private var features: [Int64] = []
    private var modes: [String] = []
    private var values: [Double] = []
    private var trueIDs: [Int64] = []
    private var falseIDs: [Int64] = []
    private var missingTracksTrue: [Int64] = []
    private var targetTrees: [Int64] = []
    private var targetNodes: [Int64] = []
    private var weights: [Double] = []

    mutating func add(
        _ tree: Int, _ node: Int, _ feature: Int, _ mode: String, _ value: Double, _ whenTrue: Int,
        _ whenFalse: Int, _ missingIsTrue: Bool
    ) {
        treeIDs.append(Int64(tree))
        nodeIDs.append(Int64(node))
        features.append(Int64(feature))
        modes.append(mode)
        values.append(value)
        trueIDs.append(Int64(whenTrue))
        falseIDs.append(Int64(whenFalse))
        missingTracksTrue.append(missingIsTrue ? 1 : 0)
    }

    mutating func addWeight(_ tree: Int, _ node: Int, _ weight: Double) {
        targetTrees.append(Int64(tree))
        targetNodes.append(Int64(node))
        weights.append(weight)
    }

    var attributes: [ONNXAttributeProto] {
        [
            .whole("n_targets", 1), .text("aggregate_function", "SUM"), .text("post_transform", "NONE"),
            .wholes("nodes_treeids", treeIDs), .wholes("nodes_nodeids", nodeIDs),
            .wholes("nodes_featureids", features), .texts("nodes_modes", modes),
            .doubles("nodes_values_as_tensor", values), .wholes("nodes_truenodeids", trueIDs),
            .wholes("nodes_falsenodeids", falseIDs),
            .wholes("nodes_missing_value_tracks_true", missingTracksTrue),
            .wholes("target_treeids", targetTrees), .wholes("target_nodeids", targetNodes),
            .wholes("target_ids", Array(repeating: 0, count: weights.count)),
            .doubles("target_weights_as_tensor", weights),
        ]
    }
}
