import SwiftProtobuf

/// The bytes of a model file as messages.
enum ONNXFile {
    /// A forest of 10,000 trees grown from 256 rows takes about 90 MB.
    static let maximumSize = 128 << 20

    /// - Throws: `InterchangeError.notONNX`.
    static func decode(_ bytes: [UInt8]) throws(InterchangeError) -> ONNXModelProto {
        guard bytes.count <= maximumSize else {
            throw .notONNX("it has \(bytes.count) bytes; \(maximumSize) can be read")
        }
        do {
            try bytes.withUnsafeBytes { try MessageScan.check($0) }
            let model = try ONNXModelProto(serializedBytes: bytes, partial: true)
            guard model.hasIrVersion, model.hasGraph else {
                throw InterchangeError.notONNX("it has no graph or no version of the format")
            }
            return model
        } catch let error as InterchangeError {
            throw error
        } catch {
            throw .notONNX("\(error)")
        }
    }

    /// The same model gives the same bytes.
    static func encode(_ model: ONNXModelProto) throws(InterchangeError) -> [UInt8] {
        do {
            return try model.serializedBytes()
        } catch {
            throw .notExportable("\(error)")
        }
    }
}

/// `TensorProto.DataType`, as far as it is used.
enum ElementType: Int32 {
    case float = 1
    case int64 = 7
    case text = 8
    case boolean = 9
    case double = 11
}

/// The operator set of the classical machine learning operators.
let machineLearningDomain = "ai.onnx.ml"
