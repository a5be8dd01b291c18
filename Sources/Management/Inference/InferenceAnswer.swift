import Exact
import HTTPTypes
import Hummingbird
import Serving

/// What a model takes and gives under the Open Inference Protocol.
enum InferenceModel {
    struct Tensor: Encodable, Sendable {
        let name: String
        let datatype: String
        var shape = [-1]
    }

    /// A transaction's fields; the first four are required. Another datatype that fits is taken too.
    static let inputs = [
        Tensor(name: "transaction_id", datatype: "BYTES"), Tensor(name: "user_id", datatype: "BYTES"),
        Tensor(name: "amount", datatype: "FP64"), Tensor(name: "timestamp", datatype: "INT64"),
        Tensor(name: "currency", datatype: "BYTES"), Tensor(name: "merchant_id", datatype: "BYTES"),
        Tensor(name: "category", datatype: "BYTES"), Tensor(name: "country", datatype: "BYTES"),
        Tensor(name: "channel", datatype: "BYTES"), Tensor(name: "device_id", datatype: "BYTES"),
        Tensor(name: "latitude", datatype: "FP64"), Tensor(name: "longitude", datatype: "FP64"),
    ]

    static let outputs = [
        Tensor(name: "score", datatype: "FP64"), Tensor(name: "threshold", datatype: "FP64"),
        Tensor(name: "severity", datatype: "FP64"), Tensor(name: "anomaly", datatype: "BOOL"),
        Tensor(name: "verdict", datatype: "BYTES"),
    ]
}

/// Scored transactions as tensors: in JSON, or behind it where the client asks for binary ones.
struct InferenceAnswer {
    private enum Column {
        /// NaN: there is none.
        case reals([Double])
        case flags([Bool])
        case texts([[UInt8]])
    }

    private let scored: ScoredBatch
    private let verdicts: [[UInt8]]

    init(_ scored: ScoredBatch) {
        self.scored = scored
        verdicts = verdictsOnDemand(scored)
    }

    /// - Throws: `Problem` for an output that there is not.
    func response(
        to request: InferenceRequest, model: String, version: Int
    ) throws -> Response {
        let wanted = try wanted(request)
        var json = JSONWriter()
        var binary: [UInt8] = []
        json.beginObject()
        json.field("model_name", model)
        json.field("model_version", "\(version)")
        if let id = request.id { json.field("id", id) }
        json.beginArray("outputs")
        for (tensor, isBinary) in wanted {
            json.beginObject()
            json.field("name", tensor.name)
            json.field("datatype", tensor.datatype)
            json.key("shape")
            json.append("[")
            json.append(scored.count)
            json.append("]")
            let column = column(tensor.name)
            if isBinary {
                let start = binary.count
                Self.append(column, to: &binary)
                json.beginObject("parameters")
                json.field("binary_data_size", Int64(binary.count - start))
                json.endObject()
            } else {
                json.key("data")
                Self.append(column, to: &json)
            }
            json.endObject()
        }
        json.endArray()
        json.endObject()
        guard !binary.isEmpty else { return .json(bytes: json.bytes) }
        var response = Response.json(bytes: json.bytes + binary)
        response.headers[.contentType] = "application/octet-stream"
        if let length = HTTPField.Name("Inference-Header-Content-Length") {
            response.headers[length] = "\(json.bytes.count)"
        }
        return response
    }

    private func wanted(
        _ request: InferenceRequest
    ) throws -> [(tensor: InferenceModel.Tensor, isBinary: Bool)] {
        let isBinary = request.parameters?.binaryDataOutput ?? false
        guard let outputs = request.outputs, !outputs.isEmpty else {
            return InferenceModel.outputs.map { ($0, isBinary) }
        }
        return try outputs.map { output in
            guard let tensor = InferenceModel.outputs.first(where: { $0.name == output.name }) else {
                let names = InferenceModel.outputs.map(\.name).joined(separator: ", ")
                throw Problem.invalid(
                    "there is no output '\(output.name)'; there are \(names)", field: "outputs")
            }
            return (tensor, output.parameters?.binaryData ?? isBinary)
        }
    }

    private func column(_ name: String) -> Column {
        let rows = 0..<scored.count
        switch name {
        case "score": return .reals(scored.scores)
        case "threshold":
            return .reals(rows.map { scored.groups[Int(scored.groupIndex[$0])].model.threshold })
        case "severity": return .reals(rows.map { scored.severity($0) ?? .nan })
        case "anomaly": return .flags(rows.map(scored.isAnomaly))
        default: return .texts(verdicts)
        }
    }

    private static func append(_ column: Column, to json: inout JSONWriter) {
        json.append("[")
        switch column {
        case .reals(let reals): append(reals, to: &json) { $0.append($1) }
        case .flags(let flags): append(flags, to: &json) { $0.append($1 ? "true" : "false") }
        case .texts(let texts):
            append(texts, to: &json) { json, text in text.withUnsafeBufferPointer { json.append(utf8: $0) } }
        }
        json.append("]")
    }

    private static func append<Value>(
        _ values: [Value], to json: inout JSONWriter, _ write: (inout JSONWriter, Value) -> Void
    ) {
        for (index, value) in values.enumerated() {
            if index > 0 { json.append(",") }
            write(&json, value)
        }
    }

    private static func append(_ column: Column, to binary: inout [UInt8]) {
        switch column {
        case .reals(let reals):
            for real in reals {
                withUnsafeBytes(of: real.bitPattern.littleEndian) { binary.append(contentsOf: $0) }
            }
        case .flags(let flags): binary += flags.map { $0 ? 1 : 0 }
        case .texts(let texts):
            for text in texts {
                withUnsafeBytes(of: UInt32(clamping: text.count).littleEndian) {
                    binary.append(contentsOf: $0)
                }
                binary += text
            }
        }
    }
}
