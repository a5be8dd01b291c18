/// A node, and the errors about it.
struct GraphNode {
    let index: Int
    let proto: ONNXNodeProto

    var operation: String { proto.opType }

    /// `node 'dec_Pow' (Pow)`; the place in the file where a name is missing.
    var label: String {
        let name = proto.name.isEmpty ? "number \(index)" : "'\(clipped(proto.name))'"
        let domain = isDefaultDomain ? "" : "\(clipped(proto.domain))."
        return "node \(name) (\(domain)\(clipped(operation)))"
    }

    var isDefaultDomain: Bool { proto.domain.isEmpty || proto.domain == "ai.onnx" }

    func fault(_ reason: String) -> InterchangeError { .node(label: label, reason: reason) }

    /// The attributes of these names and no others.
    ///
    /// - Parameter allowed: An attribute that is not among them might change what the node computes.
    func attributes(_ allowed: Set<String>) throws(InterchangeError) -> [String: ONNXAttributeProto] {
        var found: [String: ONNXAttributeProto] = [:]
        for attribute in proto.attribute {
            guard allowed.contains(attribute.name) else {
                throw fault("its attribute '\(clipped(attribute.name))' is not expected here")
            }
            guard found.updateValue(attribute, forKey: attribute.name) == nil else {
                throw fault("its attribute '\(attribute.name)' is there twice")
            }
        }
        return found
    }
}

/// Texts from a file, short enough for a message.
func clipped(_ text: String) -> String {
    text.unicodeScalars.count <= 80
        ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(80))) + "..."
}
