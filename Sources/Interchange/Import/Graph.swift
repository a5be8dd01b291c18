/// A graph whose values can be traced to the nodes that compute them. Notes which nodes have been asked for.
final class Graph {
    let proto: ONNXGraphProto
    private var producers: [String: Int] = [:]
    private var constants: [String: Int] = [:]
    private var isUsed: [Bool]

    /// - Throws: `InterchangeError` when a value has two sources, or the graph has parts that are not understood.
    init(_ model: ONNXModelProto) throws(InterchangeError) {
        proto = model.graph
        isUsed = Array(repeating: false, count: proto.node.count)
        guard model.functions.isEmpty else { throw .graph("it brings functions of its own") }
        guard proto.sparseInitializer.isEmpty else { throw .graph("it has sparse constants") }
        for (index, constant) in proto.initializer.enumerated() {
            guard constants.updateValue(index, forKey: constant.name) == nil else {
                throw .graph("the constant '\(clipped(constant.name))' is there twice")
            }
        }
        for (index, node) in proto.node.enumerated() {
            for output in node.output where !output.isEmpty {
                guard constants[output] == nil, producers.updateValue(index, forKey: output) == nil else {
                    throw GraphNode(index: index, proto: node).fault(
                        "its output '\(clipped(output))' is computed twice")
                }
            }
        }
    }

    /// The node that computes a value.
    ///
    /// - Parameters:
    ///   - operation: What it has to be.
    ///   - inputs: How many values it has to take.
    ///   - reader: Who reads the value, for the message; nil: the graph's output.
    /// - Throws: `InterchangeError.node` naming the node that is something else.
    func node(
        computing value: String, _ operation: String, domain: String = "", inputs: Int?,
        for reader: GraphNode?
    ) throws(InterchangeError) -> GraphNode {
        guard let index = producers[value] else {
            let what = constants[value] == nil ? "is no node's output" : "is a constant"
            let reason = "'\(clipped(value))' \(what), where the output of \(operation) is expected"
            throw reader?.fault("its input \(reason)") ?? .graph("the output \(reason)")
        }
        let node = GraphNode(index: index, proto: proto.node[index])
        let isDomain = domain.isEmpty ? node.isDefaultDomain : node.proto.domain == domain
        guard node.operation == operation, isDomain else {
            let place = reader.map { "the input of \($0.label)" } ?? "an output of the graph"
            throw node.fault("it computes \(place), where \(operation) is expected")
        }
        guard inputs == nil || node.proto.input.count == inputs, node.proto.output.first == value else {
            throw node.fault("it has \(node.proto.input.count) inputs or gives several values")
        }
        isUsed[index] = true
        return node
    }

    /// Whether the node has been asked for.
    func isUsed(_ node: GraphNode) -> Bool { isUsed[node.index] }

    /// The node that computes a value, whatever it is; nil for an input or a constant. Asks for nothing.
    func source(of value: String) -> GraphNode? {
        producers[value].map { GraphNode(index: $0, proto: proto.node[$0]) }
    }

    /// The constant that a node takes.
    func tensor(_ input: Int, of node: GraphNode) throws(InterchangeError) -> Tensor {
        let name = node.proto.input[input]
        guard let index = constants[name] else {
            throw node.fault("its input '\(clipped(name))' is not a constant of the graph")
        }
        do {
            return try Tensor(proto.initializer[index])
        } catch {
            throw node.fault("its input '\(clipped(name))' \(error.reason)")
        }
    }

    /// The one number that a node takes as a constant.
    func number(_ input: Int, of node: GraphNode) throws(InterchangeError) -> Double {
        let tensor = try tensor(input, of: node)
        guard tensor.values.count == 1 else {
            throw node.fault("its input '\(clipped(node.proto.input[input]))' is not one number")
        }
        return tensor.values[0]
    }

    /// Checks that a node takes this very number, as a 32-bit float if it has a fraction.
    func expect(_ number: Double, at input: Int, of node: GraphNode) throws(InterchangeError) {
        let found = try self.number(input, of: node)
        guard Float(found) == Float(number) else {
            throw node.fault("its constant is \(found), where \(number) is expected")
        }
    }

    /// Checks that a node takes this very value.
    func expect(_ value: String, at input: Int, of node: GraphNode) throws(InterchangeError) {
        guard node.proto.input[input] == value else {
            throw node.fault(
                "its input is '\(clipped(node.proto.input[input]))', where '\(clipped(value))' is expected")
        }
    }

    /// Checks that every node has been asked for: what is left over would be computed for something unknown.
    func expectAllUsed() throws(InterchangeError) {
        guard let index = isUsed.firstIndex(of: false) else { return }
        throw GraphNode(index: index, proto: proto.node[index]).fault("it has no place in such a graph")
    }
}

/// A constant of numbers.
struct Tensor {
    let dimensions: [Int]
    let values: [Double]

    /// No constant of such a graph is larger: the most are a number for each column.
    private static let maximumCount = 1 << 16

    struct Fault: Error {
        let reason: String
    }

    init(_ proto: ONNXTensorProto) throws(Fault) {
        guard proto.externalData.isEmpty, proto.dataLocation == 0 else {
            throw Fault(reason: "lies in another file")
        }
        let stored = max(
            proto.floatData.count, proto.int64Data.count, proto.doubleData.count, proto.rawData.count / 8)
        guard stored <= Self.maximumCount else {
            throw Fault(reason: "has more than \(Self.maximumCount) numbers")
        }
        var count = 1
        var dimensions: [Int] = []
        for dimension in proto.dims {
            let (product, overflow) = count.multipliedReportingOverflow(by: Int(dimension))
            guard dimension >= 0, !overflow else { throw Fault(reason: "has an impossible shape") }
            count = product
            dimensions.append(Int(dimension))
        }
        self.dimensions = dimensions
        values =
            switch ElementType(rawValue: proto.dataType) {
            case .float:
                try Self.raw(proto, UInt32.self) { Double(Float(bitPattern: $0)) }
                    ?? proto.floatData.map(Double.init)
            case .double:
                try Self.raw(proto, UInt64.self) { Double(bitPattern: $0) } ?? proto.doubleData
            case .int64:
                try Self.raw(proto, UInt64.self) { Double(Int64(bitPattern: $0)) }
                    ?? proto.int64Data.map(Double.init)
            default: throw Fault(reason: "has elements of type \(proto.dataType), where numbers are expected")
            }
        guard values.count == count else {
            throw Fault(reason: "has \(values.count) numbers, where its shape says \(count)")
        }
    }

    /// The numbers of the raw bytes, little-endian as the format has them; nil where there are none.
    private static func raw<Bits: FixedWidthInteger>(
        _ proto: ONNXTensorProto, _: Bits.Type, _ number: (Bits) -> Double
    ) throws(Fault) -> [Double]? {
        guard proto.hasRawData else { return nil }
        let size = MemoryLayout<Bits>.size
        guard proto.rawData.count % size == 0 else { throw Fault(reason: "ends in the middle of a number") }
        return proto.rawData.withUnsafeBytes { raw in
            (0..<raw.count / size).map {
                number(Bits(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * size, as: Bits.self)))
            }
        }
    }
}
