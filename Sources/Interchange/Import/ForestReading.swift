import DetectorAPI

/// An isolation forest that was read from an ONNX file.
public struct ImportedForest: Sendable, Hashable {
    public var trees: IsolationTrees
    /// `score < threshold` is an anomaly: scikit-learn's `offset_`, which the file has as a 32-bit float.
    public var threshold: Double
    /// What wrote the file, `skl2onnx 1.20.0`; empty when it does not say.
    public var producer: String
}

/// Reads a scikit-learn IsolationForest that skl2onnx converted.
///
/// The graph is recognised node by node, from its outputs back to its input; nothing is evaluated and nothing guessed.
///
/// - Parameter bytes: The file's.
/// - Throws: `InterchangeError`; a node that is not what skl2onnx writes there is named.
public func readForest(_ bytes: [UInt8]) throws(InterchangeError) -> ImportedForest {
    let model = try ONNXFile.decode(bytes)
    guard model.producerName != ownProducerName else {
        throw .graph(
            "ml-service wrote it, for other tools; `models export --format artifact` writes what is imported")
    }
    let graph = try Graph(model)
    let input = try GraphInput(graph)
    let outputs = graph.proto.output.map(\.name)
    guard (2...3).contains(outputs.count) else {
        let reason = "of \(outputs.count) outputs of the graph, where label and scores are expected"
        throw outputs.first.flatMap { graph.source(of: $0) }?.fault("it computes the first \(reason)")
            ?? .graph("it computes none \(reason)")
    }
    // scores = -2^-(sum / normaliser) - offset
    let decision = try graph.node(computing: outputs[1], "Add", inputs: 2, for: nil)
    let offset = try graph.number(1, of: decision)
    guard offset.isFinite else { throw decision.fault("its constant is \(offset)") }
    let score = try graph.node(computing: decision.proto.input[0], "Neg", inputs: 1, for: decision)
    if outputs.count == 3, outputs[2] != score.proto.output[0] {
        throw .graph("its third output '\(clipped(outputs[2]))' is not score_samples")
    }
    let power = try graph.node(computing: score.proto.input[0], "Pow", inputs: 2, for: score)
    try graph.expect(2, at: 0, of: power)
    let exponent = try graph.node(computing: power.proto.input[1], "Neg", inputs: 1, for: power)
    let quotient = try graph.node(computing: exponent.proto.input[0], "Div", inputs: 2, for: exponent)
    let sum = try graph.node(computing: quotient.proto.input[0], "Sum", inputs: nil, for: quotient)
    try checkLabel(graph, outputs[0], decision: outputs[1])

    let paths = sum.proto.input
    guard (1...ForestTree.maximumTrees).contains(paths.count) else {
        throw sum.fault("it sums \(paths.count) trees; 1 to \(ForestTree.maximumTrees) can be read")
    }
    let divisor = try graph.number(1, of: quotient)
    let normaliser = divisor / Double(paths.count)
    guard normaliser == 0 || (1...ForestTree.maximumNormaliser).contains(normaliser) else {
        throw quotient.fault("its constant is \(divisor), which no \(paths.count) trees give")
    }
    var reader = ForestTree(graph: graph, input: input)
    var trees: [[IsolationNode]] = []
    for path in paths { trees.append(try reader.read(path, for: sum)) }
    try graph.expectAllUsed()
    return ImportedForest(
        trees: IsolationTrees(
            columns: input.columns, sampleSize: reader.sampleSize, normaliser: normaliser, trees: trees),
        threshold: -offset,
        producer: clipped(
            [model.producerName, model.producerVersion].filter { !$0.isEmpty }.joined(separator: " ")))
}

/// label = 1 - 2 x (scores < 0)
private func checkLabel(_ graph: Graph, _ output: String, decision: String) throws(InterchangeError) {
    let label = try graph.node(computing: output, "Add", inputs: 2, for: nil)
    try graph.expect(1, at: 1, of: label)
    let product = try graph.node(computing: label.proto.input[0], "Mul", inputs: 2, for: label)
    try graph.expect(-2, at: 1, of: product)
    let cast = try graph.cast(product.proto.input[0], to: .int64, for: product)
    let less = try graph.node(computing: cast.proto.input[0], "Less", inputs: 2, for: cast)
    try graph.expect(decision, at: 0, of: less)
    try graph.expect(0, at: 1, of: less)
}

/// The graph's one input.
struct GraphInput {
    let columns: Int
    let name: String

    init(_ graph: Graph) throws(InterchangeError) {
        let constants = Set(graph.proto.initializer.map(\.name))
        // In old versions of the format constants are inputs too.
        let inputs = graph.proto.input.filter { !constants.contains($0.name) }
        guard inputs.count == 1 else {
            let names = inputs.prefix(5).map { "'\(clipped($0.name))'" }.joined(separator: ", ")
            throw .graph("it has \(inputs.count) inputs \(names), where one is expected")
        }
        name = inputs[0].name
        let type = inputs[0].type.tensorType
        guard type.elemType == ElementType.float.rawValue else {
            throw .graph(
                "its input '\(clipped(name))' has elements of type \(type.elemType), where 1, float, is expected"
            )
        }
        let dimensions = type.shape.dim
        guard dimensions.count == 2, (1...1 << 15).contains(dimensions[1].dimValue) else {
            throw .graph("its input '\(clipped(name))' does not say how many columns a row has")
        }
        columns = Int(dimensions[1].dimValue)
    }
}

extension Graph {
    /// The Cast that computes a value, to that type.
    func cast(_ value: String, to type: ElementType, for reader: GraphNode) throws(InterchangeError)
        -> GraphNode
    {
        let cast = try node(computing: value, "Cast", inputs: 1, for: reader)
        guard try cast.attributes(["to", "saturate", "round_mode"])["to"]?.i == Int64(type.rawValue) else {
            throw cast.fault("it does not cast to \(type)")
        }
        return cast
    }
}
