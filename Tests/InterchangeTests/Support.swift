import DetectorAPI
import Foundation
import Testing

@testable import Interchange

/// A small forest of scikit-learn's, converted by skl2onnx 1.20, and scikit-learn's own scores.
/// `make_forests.py fixture`, among the integration tests' scripts, makes it anew.
struct Fixture: Decodable {
    struct Row: Decodable {
        let row: [Float]
        let score: Double
    }

    let offset: Double
    let columns: Int
    let trees: Int
    let rows: [Row]

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "Fixtures")

    static func load() throws -> Fixture {
        try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: folder.appending(path: "forest.json")))
    }

    static func bytes() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: "forest.onnx")))
    }

    static func model() throws -> ONNXModelProto { try ONNXFile.decode(bytes()) }
}

extension DetectorModel {
    func scores(_ values: [Float]) throws -> [Double] {
        var scores = [Double](repeating: 1, count: values.count / columns)
        try values.withUnsafeBufferPointer { values in
            try scores.withUnsafeMutableBufferPointer {
                try score(FeatureRows(values, columns: columns), into: $0)
            }
        }
        return scores
    }
}

extension ONNXModelProto {
    /// Changes the first node whose operator is this.
    mutating func change(_ operation: String, _ body: (inout ONNXNodeProto) -> Void) {
        guard let index = graph.node.firstIndex(where: { $0.opType == operation }) else { return }
        body(&graph.node[index])
    }

    mutating func changeConstant(_ suffix: String, _ body: (inout ONNXTensorProto) -> Void) {
        guard let index = graph.initializer.firstIndex(where: { $0.name.hasSuffix(suffix) }) else { return }
        body(&graph.initializer[index])
    }
}

extension ONNXNodeProto {
    mutating func change(_ attribute: String, _ body: (inout ONNXAttributeProto) -> Void) {
        guard let index = self.attribute.firstIndex(where: { $0.name == attribute }) else { return }
        body(&self.attribute[index])
    }

    mutating func drop(_ name: String) { attribute.removeAll { $0.name == name } }
}
