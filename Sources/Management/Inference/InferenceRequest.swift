import Exact
import Foundation

/// What `infer` is asked, in the Open Inference Protocol's JSON, with values behind it where a client sends them binary.
struct InferenceRequest: Decodable {
    /// An element of a tensor's data, which may be nested as the shape is.
    enum Value: Decodable {
        case text(String)
        case integer(Int64)
        case real(Double)
        case flag(Bool)
        case list([Value])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let integer = try? container.decode(Int64.self) {
                self = .integer(integer)
            } else if let real = try? container.decode(Double.self) {
                self = .real(real)
            } else if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else {
                self = .list(try container.decode([Value].self))
            }
        }

        var flattened: [Value] {
            if case .list(let values) = self { values.flatMap(\.flattened) } else { [self] }
        }
    }

    struct Parameters: Decodable {
        let binaryDataSize: Int?
        let binaryData: Bool?
        let binaryDataOutput: Bool?

        private enum CodingKeys: String, CodingKey {
            case binaryDataSize = "binary_data_size"
            case binaryData = "binary_data"
            case binaryDataOutput = "binary_data_output"
        }
    }

    struct Input: Decodable {
        let name: String
        let datatype: String
        let shape: [Int]
        let data: [Value]?
        let parameters: Parameters?
    }

    struct Output: Decodable {
        let name: String
        let parameters: Parameters?
    }

    let id: String?
    let inputs: [Input]
    let outputs: [Output]?
    let parameters: Parameters?

    /// - Parameter headerLength: `Inference-Header-Content-Length`: where the JSON ends and binary values begin; nil: it is
    ///   all JSON.
    /// - Throws: `Problem` naming the field at fault.
    static func read(_ body: [UInt8], headerLength: String?) throws -> (InferenceRequest, [InferenceTensor]) {
        let end = try headerLength.map { text -> Int in
            guard let length = Int(text), (0...body.count).contains(length) else {
                throw Problem(
                    .badRequest, "invalid-header",
                    "'\(text)' is no length of the JSON in a body of \(body.count) bytes",
                    field: "Inference-Header-Content-Length")
            }
            return length
        }
        let request: InferenceRequest
        do {
            request = try JSONDecoder().decode(Self.self, from: Data(body[..<(end ?? body.count)]))
        } catch let error as DecodingError {
            throw Problem(describing: error)
        }
        var rest = body[(end ?? body.count)...]
        let tensors = try request.inputs.map { input -> InferenceTensor in
            guard let size = input.parameters?.binaryDataSize else {
                guard let data = input.data else { throw InferenceTensor.wrong(input, "it has no data") }
                return try InferenceTensor(input, data: data)
            }
            guard (0...rest.count).contains(size) else {
                throw InferenceTensor.wrong(input, "the body has no \(size) bytes for it")
            }
            defer { rest = rest.dropFirst(size) }
            return try InferenceTensor(input, bytes: rest.prefix(size))
        }
        guard rest.isEmpty else {
            throw Problem.invalid("\(rest.count) bytes follow that belong to no input", field: "inputs")
        }
        return (request, tensors)
    }

    /// The transactions whose fields the tensors are.
    ///
    /// - Throws: `Problem` for an input that is no field, is there twice, or differs in length.
    static func messages(_ tensors: [InferenceTensor], limit: Int) throws -> [ArraySlice<UInt8>] {
        let known = InferenceModel.inputs.map(\.name)
        for (index, tensor) in tensors.enumerated() {
            guard known.contains(tensor.name) else {
                throw Problem.invalid(
                    "there is no such input; there are \(known.joined(separator: ", "))",
                    field: "inputs.\(tensor.name)")
            }
            guard !tensors[..<index].contains(where: { $0.name == tensor.name }) else {
                throw Problem.invalid("it is given twice", field: "inputs.\(tensor.name)")
            }
            guard tensor.count == tensors[0].count else {
                throw Problem.invalid(
                    "it has \(tensor.count) values where \(tensors[0].name) has \(tensors[0].count)",
                    field: "inputs.\(tensor.name)")
            }
        }
        guard let count = tensors.first?.count, (1...limit).contains(count) else {
            throw Problem.invalid("there are 1 to \(limit) transactions in a request", field: "inputs")
        }
        return (0..<count).map { row in
            var json = JSONWriter()
            json.beginObject()
            for tensor in tensors { tensor.write(row, into: &json) }
            json.endObject()
            return json.bytes[...]
        }
    }
}

extension Problem {
    /// What is missing or of the wrong kind, by its place.
    fileprivate init(describing error: DecodingError) {
        func path(_ keys: [any CodingKey]) -> String? {
            keys.isEmpty
                ? nil : keys.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context):
            self = .invalid("it is missing", field: path(context.codingPath + [key]))
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            self = .invalid("it is of the wrong kind", field: path(context.codingPath))
        case .dataCorrupted(let context) where !context.codingPath.isEmpty:
            self = .invalid("it is of the wrong kind", field: path(context.codingPath))
        case .dataCorrupted(let context):
            self.init(
                .badRequest, "invalid-json",
                "the body is no JSON object: \(context.underlyingError.map { "\($0)" } ?? context.debugDescription)"
            )
        default: self.init(.badRequest, "invalid-json", "the body is no JSON object")
        }
    }
}
