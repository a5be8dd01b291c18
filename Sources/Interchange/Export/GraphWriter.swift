/// Puts a graph together, value by value. Every function that adds a node gives the name of its output.
struct GraphWriter {
    private(set) var graph = ONNXGraphProto()

    init(name: String) { graph.name = name }

    // MARK: Inputs, outputs, constants

    mutating func input(_ name: String, _ type: ElementType, columns: Int, _ meaning: String) -> String {
        graph.input.append(Self.value(name, type, columns: columns, meaning))
        return name
    }

    mutating func output(_ name: String, _ type: ElementType, columns: Int, _ meaning: String) {
        graph.output.append(Self.value(name, type, columns: columns, meaning))
    }

    mutating func constant(_ name: String, floats: [Float]) -> String {
        constant(name, .float, count: floats.count) { $0.floatData = floats }
    }

    mutating func constant(_ name: String, wholes: [Int64]) -> String {
        constant(name, .int64, count: wholes.count) { $0.int64Data = wholes }
    }

    mutating func constant(_ name: String, doubles: [Double]) -> String {
        constant(name, .double, count: doubles.count) { $0.doubleData = doubles }
    }

    private mutating func constant(
        _ name: String, _ type: ElementType, count: Int, _ fill: (inout ONNXTensorProto) -> Void
    ) -> String {
        var tensor = ONNXTensorProto()
        tensor.name = name
        tensor.dims = [1, Int64(count)]
        tensor.dataType = type.rawValue
        fill(&tensor)
        graph.initializer.append(tensor)
        return name
    }

    private static func value(
        _ name: String, _ type: ElementType, columns: Int, _ meaning: String
    ) -> ONNXValueInfoProto {
        var value = ONNXValueInfoProto()
        value.name = name
        value.docString = meaning
        value.type.tensorType.elemType = type.rawValue
        var rows = ONNXTensorShapeProto.Dimension()
        rows.dimParam = "rows"
        var width = ONNXTensorShapeProto.Dimension()
        width.dimValue = Int64(columns)
        value.type.tensorType.shape.dim = [rows, width]
        return value
    }

    // MARK: Nodes

    /// - Parameter output: The value's name, and the node's.
    @discardableResult
    mutating func node(
        _ operation: String, domain: String = "", _ inputs: [String], output: String,
        _ attributes: [ONNXAttributeProto] = []
    ) -> String {
        var node = ONNXNodeProto()
        node.name = output
        node.opType = operation
        if !domain.isEmpty { node.domain = domain }
        node.input = inputs
        node.output = [output]
        node.attribute = attributes
        graph.node.append(node)
        return output
    }

    mutating func cast(_ input: String, to type: ElementType, output: String) -> String {
        node("Cast", [input], output: output, [.whole("to", Int64(type.rawValue))])
    }
}

extension ONNXAttributeProto {
    private init(_ name: String, _ type: AttributeType) {
        self.init()
        self.name = name
        self.type = type
    }

    static func whole(_ name: String, _ value: Int64) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .int)
        attribute.i = value
        return attribute
    }

    static func real(_ name: String, _ value: Float) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .float)
        attribute.f = value
        return attribute
    }

    static func reals(_ name: String, _ values: [Float]) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .floats)
        attribute.floats = values
        return attribute
    }

    static func text(_ name: String, _ value: String) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .string)
        attribute.s = .init(value.utf8)
        return attribute
    }

    static func wholes(_ name: String, _ values: [Int64]) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .ints)
        attribute.ints = values
        return attribute
    }

    static func texts(_ name: String, _ values: [String]) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .strings)
        attribute.strings = values.map { .init($0.utf8) }
        return attribute
    }

    static func doubles(_ name: String, _ values: [Double]) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto(name, .tensor)
        attribute.t.name = name
        attribute.t.dims = [Int64(values.count)]
        attribute.t.dataType = ElementType.double.rawValue
        attribute.t.doubleData = values
        return attribute
    }
}
