import DetectorAPI
import IsolationForest
import Testing

@testable import Interchange

/// What is not a converted forest is refused, and the node that does not fit is named.
struct RefusalTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let words: [String]
        let change: @Sendable (inout ONNXModelProto) -> Void

        init(_ words: String..., change: @escaping @Sendable (inout ONNXModelProto) -> Void) {
            self.words = words
            self.change = change
        }

        var testDescription: String { words.joined(separator: ", ") }
    }

    private static let tree = "TreeEnsembleRegressor"

    private static func attribute(
        _ name: String, _ change: @escaping @Sendable (inout ONNXAttributeProto) -> Void
    ) -> @Sendable (inout ONNXModelProto) -> Void {
        { $0.change(tree) { $0.change(name, change) } }
    }

    static let cases: [Case] = [
        // Operators.
        Case("'dec_Pow'", "(Exp)", "Pow is expected") { $0.change("Pow") { $0.opType = "Exp" } },
        Case("'node_sample0_Gather'", "(GatherND)") { $0.change("Gather") { $0.opType = "GatherND" } },
        Case("'eqp_log0_Log'", "com.example.Log") { $0.change("Log") { $0.domain = "com.example" } },
        Case("TreeEnsembleClassifier") { $0.change(tree) { $0.opType = "TreeEnsembleClassifier" } },
        Case("no place in such a graph", "'extra'") {
            var node = ONNXNodeProto()
            (node.name, node.opType, node.input, node.output) = ("extra", "Neg", ["X"], ["Y"])
            $0.graph.node.append(node)
        },
        Case("node number 0 ") { $0.change("Gather") { ($0.name, $0.opType) = ("", "Slice") } },
        Case("functions") { $0.functions = [ONNXFunctionProto()] },
        // Wiring.
        Case("'dec_Pow'", "where the output of Neg is expected") {
            $0.change("Pow") { $0.input[1] = "nowhere" }
        },
        Case("'dec_Sum'", "is a constant") { $0.change("Sum") { $0.input[0] = "dec_Powcst" } },
        Case("computed twice") { model in
            let output = model.graph.node[0].output
            model.change(tree) { $0.output = output }
        },
        Case("'node_sample1_Gather'", "between the graph's input and the trees") {
            let output = $0.graph.node.first { $0.name == "node_sample1_Gather" }?.output[0] ?? ""
            $0.change("Gather") { $0.input[0] = output }
        },
        Case("'node_sample0_Gather'", "'X'") { $0.change("Gather") { $0.input[0] = "other" } },
        Case("several values") { $0.change("Sum") { $0.output.insert("first", at: 0) } },
        Case("Div") { $0.change("Sum") { $0.output = ["dec_C0"] } },
        Case("'dec_Neg1'", "(Neg)", "inputs") {
            $0.graph.node[$0.graph.node.firstIndex { $0.name == "dec_Neg1" } ?? 0].input = []
        },
        Case("'predict_Add'", "1 outputs") { $0.graph.output.removeLast() },
        Case("0 inputs", "where one is expected") { $0.graph.input = [] },
        Case("elements of type 11") { $0.graph.input[0].type.tensorType.elemType = 11 },
        Case("how many columns") { $0.graph.input[0].type.tensorType.shape.dim.removeLast() },
        Case("how many columns") { $0.graph.input[0].type.tensorType.shape.dim[1].dimValue = .max },
        Case("one tree of the forest already", "'node_sample0_TreeEnsembleRegressor'") {
            $0.change("Sum") { $0.input[1] = $0.input[0] }
        },
        Case("'dec_Sum'", "1 to 10000") {
            $0.change("Sum") { $0.input = Array(repeating: $0.input[0], count: 10_001) }
        },
        // Constants.
        Case("'dec_Pow'", "2.0 is expected") { $0.changeConstant("dec_Powcst") { $0.floatData = [3] } },
        Case("'eqp_log0_Add'") { $0.changeConstant("eqp_log0_Addcst") { $0.floatData = [0.5] } },
        Case("'dec_Div'", "no 3 trees give") { $0.changeConstant("dec_Divcst") { $0.floatData = [-9] } },
        Case("'dec_Div'", "no 3 trees give") { $0.changeConstant("dec_Divcst") { $0.floatData = [.nan] } },
        Case("'dec_Add'", "constant is") { $0.changeConstant("dec_Addcst") { $0.floatData = [.infinity] } },
        Case("'dec_Div'", "its shape says 2") { $0.changeConstant("dec_Divcst") { $0.dims = [2] } },
        Case("'dec_Div'", "impossible shape") { $0.changeConstant("dec_Divcst") { $0.dims = [.max, 4] } },
        Case("'dec_Div'", "another file") { $0.changeConstant("dec_Divcst") { $0.dataLocation = 1 } },
        Case("'dec_Div'", "type 8") { $0.changeConstant("dec_Divcst") { $0.dataType = 8 } },
        Case("'dec_Div'", "middle of a number") {
            $0.changeConstant("dec_Divcst") { $0.rawData = .init([1, 2, 3]) }
        },
        Case("'dec_Div'", "not a constant") { $0.changeConstant("dec_Divcst") { $0.name = "other" } },
        Case("'node_sample0_Gather'", "columns 0 to 2") {
            $0.changeConstant("Gathercst") { $0.int64Data = [0, 1, 3] }
        },
        Case("'node_sample0_Gather'", "columns 0 to 2") {
            $0.changeConstant("Gathercst") { $0.int64Data = [0, -1, 2] }
        },
        Case("'node_sample0_Gather'", "more than 65536 numbers") {
            $0.changeConstant("Gathercst") { $0.int64Data = Array(repeating: 0, count: 65_537) }
        },
        Case("'node_sample0_Gather'", "axis") { $0.change("Gather") { $0.change("axis") { $0.i = 0 } } },
        Case("Reshape", "one column") {
            $0.changeConstant("path_length0_Reshapecst") { $0.int64Data = [1, -1] }
        },
        Case("Cast", "does not cast") { $0.change("Cast") { $0.change("to") { $0.i = 6 } } },
        // Trees.
        Case(tree, "base_values") { $0.change(tree) { $0.attribute.append(.whole("base_values", 1)) } },
        Case(tree, "there twice") { $0.change(tree) { $0.attribute.append($0.attribute[0]) } },
        Case(tree, "nodes_nodeids") { $0.change(tree) { $0.drop("nodes_nodeids") } },
        Case(tree, "nodes_values has 0") { $0.change(tree) { $0.drop("nodes_values") } },
        Case(tree, "nodes_modes has") {
            $0.change(tree) { $0.change("nodes_modes") { $0.strings.removeLast() } }
        },
        Case(tree, "BRANCH_GT", change: attribute("nodes_modes") { $0.strings[0] = .init("BRANCH_GT".utf8) }),
        Case(tree, "n_targets", change: attribute("n_targets") { $0.i = 2 }),
        Case(tree, "post_transform", change: attribute("post_transform") { $0.s = .init("SOFTMAX".utf8) }),
        Case(tree, "more than one tree", change: attribute("nodes_treeids") { $0.ints[2] = 1 }),
        Case(tree, "compares feature 3 of 3", change: attribute("nodes_featureids") { $0.ints[0] = 3 }),
        Case(tree, "compares feature -1", change: attribute("nodes_featureids") { $0.ints[0] = -1 }),
        Case(tree, "NaN", change: attribute("nodes_values") { $0.floats[0] = .nan }),
        Case(tree, "more than one way", change: attribute("nodes_truenodeids") { $0.ints[0] = 0 }),
        Case(tree, "is not there", change: attribute("nodes_truenodeids") { $0.ints[0] = 999 }),
        Case(tree, "there twice", change: attribute("nodes_nodeids") { $0.ints[1] = 0 }),
        Case(tree, "has no weight") {
            $0.change(tree) {
                $0.change("target_nodeids") { $0.ints.removeLast() }
                $0.change("target_ids") { $0.ints.removeLast() }
                $0.change("target_treeids") { $0.ints.removeLast() }
                $0.change("target_weights") { $0.floats.removeLast() }
            }
        },
        Case(tree, "is no leaf", change: attribute("target_nodeids") { $0.ints[0] = 0 }),
        Case(tree, "no leaf's number", change: attribute("target_weights") { $0.floats[0] = 2.5 }),
        Case("LabelEncoder", "has no key", change: attribute("target_weights") { $0.floats[0] = 500 }),
        Case("LabelEncoder", "training rows") {
            $0.change("LabelEncoder") { $0.change("values_floats") { $0.floats[0] = 0 } }
        },
        Case("LabelEncoder", "whole number") {
            $0.change("LabelEncoder") { $0.change("values_floats") { $0.floats[0] = 1.5 } }
        },
        Case("LabelEncoder", "whole number") {
            $0.change("LabelEncoder") { $0.change("values_floats") { $0.floats[0] = .nan } }
        },
        Case("LabelEncoder", "keys_int64s") { $0.change("LabelEncoder") { $0.drop("keys_int64s") } },
        Case("'path_length0_LabelEncoder'", "way to leaf") {
            let index = $0.graph.node.firstIndex { $0.name == "path_length0_LabelEncoder" } ?? 0
            $0.graph.node[index].change("values_floats") { $0.floats[0] += 1 }
        },
    ]

    @Test("A changed graph is refused, and the place named", arguments: cases)
    func changed(_ change: Case) throws {
        var model = try Fixture.model()
        let before = model
        change.change(&model)
        #expect(model != before, "the case changes nothing")
        let bytes = try ONNXFile.encode(model)
        let error = #expect(throws: InterchangeError.self) { try readForest(bytes) }
        let text = error?.description ?? ""
        for word in change.words { #expect(text.contains(word), "\(text)") }
    }

    @Test("Bytes that are no model say so", arguments: [0, 1, 10, 500, 5_000])
    func cutOff(_ length: Int) throws {
        let bytes = Array(try Fixture.bytes().prefix(length))
        let error = #expect(throws: InterchangeError.self) { try readForest(bytes) }
        guard case .notONNX = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("A few bytes that would become millions of messages are refused before they do")
    func bomb() {
        // The graph, field 7, of empty nodes, field 1.
        let nodes = Array(repeating: [0x0A, 0x00] as [UInt8], count: 3_000_000).flatMap { $0 }
        var bytes: [UInt8] = [0x08, 0x08, 0x3A]
        var length = nodes.count
        while length >= 0x80 {
            bytes.append(UInt8(length & 0x7F) | 0x80)
            length >>= 7
        }
        bytes.append(UInt8(length))
        #expect(throws: InterchangeError.notONNX("it has more than 2000000 parts")) {
            try readForest(bytes + nodes)
        }
    }

    @Test("A tree as deep as it has nodes is refused")
    func deepTree() throws {
        var model = try Fixture.model()
        let depth = 5_000
        model.change(Self.tree) { node in
            let inner = 0..<Int64(depth)
            let leaves = inner.map { $0 + Int64(depth) + 1 }
            node.change("nodes_nodeids") { $0.ints = Array(0...Int64(2 * depth)) }
            node.change("nodes_truenodeids") {
                $0.ints = inner.map { $0 + 1 } + Array(repeating: 0, count: depth + 1)
            }
            node.change("nodes_falsenodeids") { $0.ints = leaves + Array(repeating: 0, count: depth + 1) }
            for name in ["nodes_treeids", "nodes_featureids", "nodes_missing_value_tracks_true"] {
                node.change(name) { $0.ints = Array(repeating: 0, count: 2 * depth + 1) }
            }
            node.change("nodes_values") { $0.floats = Array(repeating: 0, count: 2 * depth + 1) }
            node.change("nodes_modes") {
                $0.strings =
                    Array(repeating: .init("BRANCH_LEQ".utf8), count: depth)
                    + Array(repeating: .init("LEAF".utf8), count: depth + 1)
            }
            for name in ["target_nodeids", "target_weights", "target_ids", "target_treeids"] {
                node.change(name) {
                    $0.ints = []
                    $0.floats = []
                }
            }
        }
        let bytes = try ONNXFile.encode(model)
        let error = #expect(throws: InterchangeError.self) { try readForest(bytes) }
        #expect(error?.description.contains("node_sample0_TreeEnsembleRegressor") == true)
    }

    @Test("Damaged files are refused or give a forest that scores; nothing traps", arguments: [1, 2, 3])
    func damaged(_ seed: UInt64) throws {
        let bytes = try Fixture.bytes()
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<700 {
            var damaged = bytes
            for _ in 0...generator.below(4) {
                let place = generator.below(bytes.count)
                damaged[place] =
                    generator.below(2) == 0
                    ? damaged[place] ^ UInt8(1 << generator.below(8)) : UInt8(generator.below(256))
            }
            if generator.below(4) == 0 { damaged.removeLast(1 + generator.below(bytes.count - 1)) }
            guard let forest = try? readForest(damaged),
                let model = try? IsolationForest().model(of: forest.trees)
            else { continue }
            let rows = [Float](repeating: 0.5, count: 2 * model.columns)
            #expect(try model.scores(rows).allSatisfy { (-1...0).contains($0) })
        }
    }
}
