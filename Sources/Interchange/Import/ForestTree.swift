import DetectorAPI

/// Reads the part of a graph that computes one tree's path length.
///
///     leaf   = TreeEnsembleRegressor(Gather(input, columns)): the number of the leaf
///     n      = Reshape(LabelEncoder(Cast(leaf))): its training rows
///     nodes  = Reshape(LabelEncoder(Cast(leaf))): nodes on the way to it, itself among them
///     path   = nodes + c(n) - 1
///     c(n)   = [n = 2] + [n > 2] x (2 (ln max(m - 1, 1) + gamma) - 2 max(m - 1, 0) / max(m, 1)), m = [n > 2] x n
struct ForestTree {
    static let maximumTrees = 10_000
    static let maximumNormaliser = 1_000.0
    private static let eulerGamma = 0.5772156649015329

    let graph: Graph
    let input: GraphInput
    /// The most training rows of a tree so far.
    private(set) var sampleSize = 1

    init(graph: Graph, input: GraphInput) {
        self.graph = graph
        self.input = input
    }

    /// - Parameter path: The value that is the path length.
    mutating func read(_ path: String, for sum: GraphNode) throws(InterchangeError) -> [IsolationNode] {
        let depth = try graph.node(computing: path, "Add", inputs: 2, for: sum)
        try graph.expect(-1, at: 1, of: depth)
        let total = try graph.node(computing: depth.proto.input[0], "Add", inputs: 2, for: depth)
        let nodesOnWay = try LeafTable(graph, total.proto.input[0], for: total)
        let rows = try readAverage(total.proto.input[1], for: total)
        guard nodesOnWay.leaf == rows.leaf else {
            throw nodesOnWay.node.fault("it reads another tree than \(rows.node.label)")
        }
        // A tree that counts twice would also be read twice: a small file could ask for any amount of work.
        if let regressor = graph.source(of: rows.leaf), graph.isUsed(regressor) {
            throw regressor.fault("it is one tree of the forest already")
        }
        let ensemble = try TreeEnsemble(
            graph.node(
                computing: rows.leaf, "TreeEnsembleRegressor", domain: machineLearningDomain, inputs: 1,
                for: rows.node))
        let columns = try readColumns(of: ensemble.node)
        var rowCount = 0
        let nodes = try ensemble.nodes(columns: columns) { weight, depth throws(InterchangeError) in
            guard try nodesOnWay.number(weight, of: ensemble) == depth + 1 else {
                throw nodesOnWay.node.fault(
                    "the length of the way to leaf \(weight) is not \(depth + 1) nodes")
            }
            let count = try rows.number(weight, of: ensemble)
            guard count >= 1 else { throw rows.node.fault("leaf \(weight) has \(count) training rows") }
            rowCount += count
            return .leaf(pathLength: Double(depth) + AveragePath.length(count), rows: count)
        }
        sampleSize = max(sampleSize, rowCount)
        return nodes
    }

    private func readColumns(of ensemble: GraphNode) throws(InterchangeError) -> [Int] {
        let gather = try graph.node(computing: ensemble.proto.input[0], "Gather", inputs: 2, for: ensemble)
        guard try gather.attributes(["axis"])["axis"]?.i == 1 else { throw gather.fault("its axis is not 1") }
        if let between = graph.source(of: gather.proto.input[0]) {
            throw between.fault(
                "it stands between the graph's input and the trees, which have to read the input itself")
        }
        try graph.expect(input.name, at: 0, of: gather)
        let columns = try graph.tensor(1, of: gather)
        guard columns.dimensions.count == 1, !columns.values.isEmpty,
            columns.values.allSatisfy({ (0..<Double(input.columns)).contains($0) && $0 == $0.rounded() })
        else { throw gather.fault("it does not choose columns 0 to \(input.columns - 1) of the input") }
        return columns.values.map { Int($0) }
    }

    /// Recognises c(n).
    ///
    /// - Returns: n's table.
    private func readAverage(_ value: String, for total: GraphNode) throws(InterchangeError) -> LeafTable {
        let average = try graph.node(computing: value, "Add", inputs: 2, for: total)
        let isTwo = try graph.cast(average.proto.input[0], to: .float, for: average)
        let equal = try graph.node(computing: isTwo.proto.input[0], "Equal", inputs: 2, for: isTwo)
        try graph.expect(2, at: 1, of: equal)
        let n = equal.proto.input[0]
        let rows = try LeafTable(graph, n, for: equal)

        let many = try graph.node(computing: average.proto.input[1], "Mul", inputs: 2, for: average)
        let isMany = many.proto.input[1]
        let cast = try graph.cast(isMany, to: .float, for: many)
        let greater = try graph.node(computing: cast.proto.input[0], "Greater", inputs: 2, for: cast)
        try graph.expect(n, at: 0, of: greater)
        try graph.expect(2, at: 1, of: greater)

        let difference = try graph.node(computing: many.proto.input[0], "Add", inputs: 2, for: many)
        // 2 (ln max(m - 1, 1) + gamma)
        let first = try graph.node(computing: difference.proto.input[0], "Mul", inputs: 2, for: difference)
        try graph.expect(2, at: 1, of: first)
        let harmonic = try graph.node(computing: first.proto.input[0], "Add", inputs: 2, for: first)
        try graph.expect(Self.eulerGamma, at: 1, of: harmonic)
        let logarithm = try graph.node(computing: harmonic.proto.input[0], "Log", inputs: 1, for: harmonic)
        let atLeastOne = try maximum(logarithm.proto.input[0], 1, for: logarithm)
        let lessOne = atLeastOne.proto.input[0]
        let minus = try graph.node(computing: lessOne, "Add", inputs: 2, for: atLeastOne)
        try graph.expect(-1, at: 1, of: minus)
        let m = minus.proto.input[0]
        let masked = try graph.node(computing: m, "Mul", inputs: 2, for: minus)
        try graph.expect(isMany, at: 0, of: masked)
        try graph.expect(n, at: 1, of: masked)
        // -2 max(m - 1, 0) / max(m, 1)
        let second = try graph.node(computing: difference.proto.input[1], "Mul", inputs: 2, for: difference)
        try graph.expect(-2, at: 1, of: second)
        let share = try graph.node(computing: second.proto.input[0], "Div", inputs: 2, for: second)
        let above = try maximum(share.proto.input[0], 0, for: share)
        try graph.expect(lessOne, at: 0, of: above)
        let below = try maximum(share.proto.input[1], 1, for: share)
        try graph.expect(m, at: 0, of: below)
        return rows
    }

    private func maximum(
        _ value: String, _ least: Double, for reader: GraphNode
    ) throws(InterchangeError) -> GraphNode {
        let node = try graph.node(computing: value, "Max", inputs: 2, for: reader)
        try graph.expect(least, at: 1, of: node)
        return node
    }
}

/// A number for each leaf: Reshape(LabelEncoder(Cast(leaf))).
struct LeafTable {
    /// The LabelEncoder.
    let node: GraphNode
    /// The value that is the leaf's number.
    let leaf: String
    private let numbers: [Int64: Float]

    init(_ graph: Graph, _ value: String, for reader: GraphNode) throws(InterchangeError) {
        let reshape = try graph.node(computing: value, "Reshape", inputs: 2, for: reader)
        _ = try reshape.attributes(["allowzero"])
        guard try graph.tensor(1, of: reshape).values == [-1, 1] else {
            throw reshape.fault("it does not make one column, [-1, 1]")
        }
        node = try graph.node(
            computing: reshape.proto.input[0], "LabelEncoder", domain: machineLearningDomain, inputs: 1,
            for: reshape)
        leaf = try graph.cast(node.proto.input[0], to: .int64, for: node).proto.input[0]
        let attributes = try node.attributes([
            "keys_int64s", "values_floats", "default_float", "default_int64", "default_string",
        ])
        let keys = attributes["keys_int64s"]?.ints ?? []
        let values = attributes["values_floats"]?.floats ?? []
        guard keys.count == values.count, !keys.isEmpty else {
            throw node.fault("it has \(keys.count) keys_int64s and \(values.count) values_floats")
        }
        var numbers: [Int64: Float] = [:]
        for (key, value) in zip(keys, values) {
            guard numbers.updateValue(value, forKey: key) == nil else {
                throw node.fault("the key \(key) is there twice")
            }
        }
        self.numbers = numbers
    }

    /// The whole number of the leaf that has this weight.
    func number(_ weight: Float, of ensemble: TreeEnsemble) throws(InterchangeError) -> Int {
        guard let key = Int64(exactly: weight) else {
            throw ensemble.node.fault("the weight \(weight) of a leaf is no leaf's number")
        }
        guard let value = numbers[key] else { throw node.fault("it has no key for leaf \(key)") }
        guard value.magnitude <= 0x1p24, let number = Int(exactly: value) else {
            throw node.fault("the value \(value) of leaf \(key) is not a whole number up to 2^24")
        }
        return number
    }
}
