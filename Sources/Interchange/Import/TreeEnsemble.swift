import DetectorAPI

/// The one tree of a TreeEnsembleRegressor node, as the node's attributes tell it.
struct TreeEnsemble {
    /// The most inner nodes on a way; a balanced tree of 2^31 rows has 31.
    static let maximumDepth = 256

    static let maximumNodes = 1 << 22

    let node: GraphNode
    private let nodeIDs: [Int64]
    private let features: [Int64]
    private let isLeaf: [Bool]
    private let thresholds: [Float]
    private let trueIDs: [Int64]
    private let falseIDs: [Int64]
    private let missingTracksTrue: [Int64]
    /// A node's place, by its id.
    private let places: [Int64: Int]
    /// A leaf's weight, by its place.
    private let weights: [Int: Float]

    private static let attributes: Set<String> = [
        "n_targets", "post_transform", "aggregate_function", "nodes_treeids", "nodes_nodeids",
        "nodes_featureids",
        "nodes_modes", "nodes_values", "nodes_truenodeids", "nodes_falsenodeids", "nodes_hitrates",
        "nodes_missing_value_tracks_true", "target_treeids", "target_nodeids", "target_ids", "target_weights",
    ]

    /// - Throws: `InterchangeError.node` for attributes that are missing, of different lengths, or mean something else
    ///   than a tree of cuts `x <= threshold` and one weight a leaf.
    init(_ node: GraphNode) throws(InterchangeError) {
        self.node = node
        let attributes = try node.attributes(Self.attributes)
        func text(_ name: String, _ usual: String) -> String {
            attributes[name].map { String(decoding: $0.s, as: UTF8.self) } ?? usual
        }
        guard text("post_transform", "NONE") == "NONE", text("aggregate_function", "SUM") == "SUM",
            attributes["n_targets"]?.i == 1
        else {
            throw node.fault("it does not give the sum of one target, n_targets 1 and post_transform NONE")
        }
        nodeIDs = attributes["nodes_nodeids"]?.ints ?? []
        let count = nodeIDs.count
        guard (1...Self.maximumNodes).contains(count) else {
            throw node.fault(
                "its attribute nodes_nodeids is missing, empty or longer than \(Self.maximumNodes)")
        }
        func whole(_ name: String, _ count: Int) throws(InterchangeError) -> [Int64] {
            let found = attributes[name]?.ints ?? []
            guard found.count == count else {
                throw node.fault(
                    "its attribute \(name) has \(found.count) elements, where there are \(count) nodes")
            }
            return found
        }
        func floats(_ name: String, _ count: Int) throws(InterchangeError) -> [Float] {
            let found = attributes[name]?.floats ?? []
            guard found.count == count else {
                throw node.fault(
                    "its attribute \(name) has \(found.count) elements, where there are \(count) nodes")
            }
            return found
        }
        features = try whole("nodes_featureids", count)
        trueIDs = try whole("nodes_truenodeids", count)
        falseIDs = try whole("nodes_falsenodeids", count)
        thresholds = try floats("nodes_values", count)
        let hasTracks = attributes["nodes_missing_value_tracks_true"]?.ints.isEmpty == false
        missingTracksTrue =
            hasTracks
            ? try whole("nodes_missing_value_tracks_true", count) : Array(repeating: 0, count: count)
        isLeaf = try Self.leaves(node, attributes["nodes_modes"]?.strings.map { Array($0) } ?? [], count)
        let treeIDs = try whole("nodes_treeids", count)
        guard treeIDs.allSatisfy({ $0 == treeIDs[0] }) else { throw node.fault("it has more than one tree") }
        var places: [Int64: Int] = [:]
        for (place, id) in nodeIDs.enumerated() {
            guard places.updateValue(place, forKey: id) == nil else {
                throw node.fault("tree node \(id) is there twice")
            }
        }
        self.places = places
        let targets = attributes["target_nodeids"]?.ints ?? []
        let targetTrees = try whole("target_treeids", targets.count)
        let targetIDs = try whole("target_ids", targets.count)
        guard targetTrees.allSatisfy({ $0 == treeIDs[0] }), targetIDs.allSatisfy({ $0 == 0 }) else {
            throw node.fault("it has weights of another tree or target")
        }
        var weights: [Int: Float] = [:]
        for (id, weight) in zip(targets, try floats("target_weights", targets.count)) {
            guard let place = places[id], isLeaf[place] else {
                throw node.fault("tree node \(id) has a weight but is no leaf")
            }
            guard weights.updateValue(weight, forKey: place) == nil else {
                throw node.fault("leaf \(id) has two weights")
            }
        }
        self.weights = weights
    }

    private static func leaves(
        _ node: GraphNode, _ modes: [[UInt8]], _ count: Int
    ) throws(InterchangeError) -> [Bool] {
        guard modes.count == count else {
            throw node.fault(
                "its attribute nodes_modes has \(modes.count) elements, where there are \(count) nodes")
        }
        let (cut, leaf) = (Array("BRANCH_LEQ".utf8), Array("LEAF".utf8))
        for mode in modes where mode != cut && mode != leaf {
            throw node.fault(
                "a tree node's mode is '\(clipped(String(decoding: mode, as: UTF8.self)))'; BRANCH_LEQ and LEAF are known"
            )
        }
        return modes.map { $0 == leaf }
    }

    /// The tree's nodes, the root first and every child after its parent.
    ///
    /// - Parameters:
    ///   - columns: The graph's columns that the node's features are.
    ///   - leaf: Makes a leaf of its weight and its depth.
    /// - Throws: `InterchangeError.node` for ways that go round, meet, lead nowhere or to too deep a place.
    func nodes(
        columns: [Int], leaf: (Float, Int) throws(InterchangeError) -> IsolationNode
    ) throws(InterchangeError) -> [IsolationNode] {
        var found: [IsolationNode] = []
        // The first node is the root. A node's place in the queue is its place in the result.
        var queue = [(place: 0, depth: 0)]
        var isSeen = Array(repeating: false, count: nodeIDs.count)
        isSeen[0] = true
        func child(_ id: Int64, of parent: Int) throws(InterchangeError) -> Int {
            guard let place = places[id] else {
                throw node.fault("tree node \(nodeIDs[parent]) has the child \(id), which is not there")
            }
            guard !isSeen[place] else { throw node.fault("more than one way leads to tree node \(id)") }
            isSeen[place] = true
            return place
        }
        while found.count < queue.count {
            let (place, depth) = queue[found.count]
            if isLeaf[place] {
                guard let weight = weights[place] else {
                    throw node.fault("leaf \(nodeIDs[place]) has no weight")
                }
                found.append(try leaf(weight, depth))
                continue
            }
            guard depth < Self.maximumDepth else {
                throw node.fault("its tree is deeper than \(Self.maximumDepth)")
            }
            guard let feature = Int(exactly: features[place]), columns.indices.contains(feature) else {
                throw node.fault(
                    "tree node \(nodeIDs[place]) compares feature \(features[place]) of \(columns.count)")
            }
            guard !thresholds[place].isNaN else {
                throw node.fault("the threshold of tree node \(nodeIDs[place]) is NaN")
            }
            let left = try child(trueIDs[place], of: place)
            let right = try child(falseIDs[place], of: place)
            found.append(
                .cut(
                    column: columns[feature], threshold: thresholds[place],
                    missingGoesLeft: missingTracksTrue[place] != 0, left: queue.count, right: queue.count + 1)
            )
            queue.append((left, depth + 1))
            queue.append((right, depth + 1))
        }
        guard found.count == nodeIDs.count else { throw node.fault("it has tree nodes that no way leads to") }
        return found
    }
}
