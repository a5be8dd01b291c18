/// Why a model cannot be taken in or given away.
public enum InterchangeError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The bytes are no ONNX model, or none that can be read.
    case notONNX(String)
    /// A node of the graph is not what it has to be. `label` names it, its operator included.
    case node(label: String, reason: String)
    /// Something else about the graph: its inputs and outputs, say.
    case graph(String)
    /// A model of ours that cannot be told as an ONNX graph.
    case notExportable(String)
    /// Features that do not fit the graph. A mistake of the caller, not of the file.
    case features(String)

    public var description: String {
        switch self {
        case .notONNX(let reason): "the file is no ONNX model that can be read: \(reason)"
        case .node(let label, let reason):
            "the graph is not an isolation forest as skl2onnx converts it: \(label): \(reason)"
        case .graph(let reason): "the graph is not an isolation forest as skl2onnx converts it: \(reason)"
        case .notExportable(let reason): "the model cannot be exported: \(reason)"
        case .features(let reason): reason
        }
    }
}
